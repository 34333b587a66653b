"""Whole objects: PutObject, GetObject, HeadObject, DeleteObject, and what they share with multipart uploads."""

from __future__ import annotations

import hashlib
import os
import re
import time
from urllib.parse import parse_qsl

from syncd.demo.loopback import Answer, Body, FileSpan
from syncd.demo.store.calls import Call
from syncd.demo.store.documents import quoted
from syncd.demo.store.intake import PREFIX, Intake, default_algorithm, read_small
from syncd.demo.store.objects import Bucket, Description, ObjectRecord
from syncd.demo.store.refusals import S3Error, not_implemented
from syncd.demo.store.sums import FULL_OBJECT

MAX_BODY = 5 << 30
SMALL = 1 << 16
_KEPT = {
    "content-type": "Content-Type",
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
    "x-amz-storage-class": "x-amz-storage-class",
    "x-amz-server-side-encryption": "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "x-amz-server-side-encryption-aws-kms-key-id",
}
_META = "x-amz-meta-"
_ENCRYPTION = "x-amz-server-side-encryption"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MAX_METADATA = 2048
_STORAGE_CLASSES = {
    *("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"),
    *("GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "GLACIER_IR", "SNOW", "EXPRESS_ONEZONE"),
}
_MAX_TAGS = 10
_TAG_NAME = re.compile(r"[\w +\-=.:/@]{1,128}")
_TAG_VALUE = re.compile(r"[\w +\-=.:/@]{0,256}")


def put_object(call: Call) -> Answer:
    """Store the body under the key, if it is what its headers say and the conditions hold, before and after it came."""
    description = describe(call)
    intake = Intake(call.headers, default=default_algorithm(call.habits))
    check_size(call.request.body)
    check_conditions(call)
    file = call.bucket.new_data_file()
    receive(call.bucket, file, call.request.body, intake)
    record = ObjectRecord(
        key=call.key,
        size=intake.size,
        etag=etag_of(intake.md5, description),
        modified=call.now,
        description=description,
        files=((file, intake.size),),
        algorithm=intake.algorithm,
        checksum=intake.checksum,
        checksum_type=FULL_OBJECT if intake.algorithm else None,
    )
    try:
        with call.bucket.lock:
            check_conditions(call)
            call.bucket.put(record)
    except S3Error:
        call.bucket.discard(file)
        raise
    return Answer(
        headers={"ETag": quoted(record.etag)} | checksum_headers(record) | encryption_headers(description)
    )


def get_object(call: Call) -> Answer:
    """The object's bytes, all or one range of them."""
    record = existing(call)
    headers = object_headers(call, record)
    span = read_range(call.headers.get("range", ""), record.size)
    if span is None:
        spans = [FileSpan(call.bucket.data / name, 0, size) for name, size in record.files]
        return Answer(headers=headers, spans=tuple(spans))
    first, last = span
    for name in [name for name in headers if name.startswith(PREFIX)]:
        del headers[name]  # they speak of the whole object
    headers["Content-Range"] = f"bytes {first}-{last}/{record.size}"
    return Answer(status=206, headers=headers, spans=cut(call.bucket, record, first, last))


def head_object(call: Call) -> Answer:
    """All about the object but its bytes; its checksum when asked by x-amz-checksum-mode."""
    record = existing(call)
    spans = [FileSpan(call.bucket.data / name, 0, size) for name, size in record.files]
    return Answer(headers=object_headers(call, record), spans=tuple(spans))


def delete_object(call: Call) -> Answer:
    """Remove the object; a missing one is as good as removed."""
    read_small(call.request, SMALL)
    call.bucket.delete(call.key)
    return Answer(status=204)


def describe(call: Call) -> Description:
    """What the headers of a Put or Create say about the object. Raises S3Error for what they may not say."""
    headers = {shown: call.headers[name] for name, shown in _KEPT.items() if name in call.headers}
    metadata = {
        name.removeprefix(_META): text for name, text in call.headers.items() if name.startswith(_META)
    }
    if sum(len(name) + len(text) for name, text in metadata.items()) > _MAX_METADATA:
        raise S3Error("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size.")
    if headers.get("x-amz-storage-class", "STANDARD") not in _STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", "The storage class you specified is not valid")
    if headers.get(_ENCRYPTION, "AES256") not in {"AES256", "aws:kms"}:
        raise S3Error("InvalidArgument", "The encryption method specified is not supported")
    if f"{_ENCRYPTION}-aws-kms-key-id" in headers and headers.get(_ENCRYPTION) != "aws:kms":
        raise S3Error("InvalidArgument", f"{_ENCRYPTION}: aws:kms is required with a KMS key id")
    tagging = call.headers.get("x-amz-tagging", "")
    if tagging and not call.may("s3:PutObjectTagging", call.key):
        raise S3Error("AccessDenied", "Access Denied: s3:PutObjectTagging")
    return Description(headers=headers, metadata=metadata, tags=read_tags(tagging))


def read_tags(header: str) -> dict[str, str]:
    """The tags that a header sets. Raises S3Error for any that S3 would not take."""
    pairs = parse_qsl(header, keep_blank_values=True)
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > _MAX_TAGS:
        raise S3Error("BadRequest", "Object tags cannot be greater than 10")
    for name, value in tags.items():
        if not _TAG_NAME.fullmatch(name) or name.startswith("aws:"):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid")
        if not _TAG_VALUE.fullmatch(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid")
    return tags


def etag_of(md5: str, description: Description) -> str:
    """The ETag of a body: its MD5, but under aws:kms something else, as AWS warns."""
    if description.headers.get(_ENCRYPTION) != "aws:kms":
        return md5
    return hashlib.md5(f"kms {md5}".encode(), usedforsecurity=False).hexdigest()


def check_size(body: Body) -> None:
    """Raise S3Error for a body larger than 5 GiB."""
    if (body.length or 0) > MAX_BODY:
        raise S3Error(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            ProposedSize=body.length or 0,
            MaxSizeAllowed=MAX_BODY,
        )


def check_conditions(call: Call) -> None:
    """Raise S3Error unless If-None-Match and If-Match allow a write to the key now."""
    none_match, match = call.headers.get("if-none-match"), call.headers.get("if-match")
    current = call.bucket.objects.get(call.key)
    if none_match is not None and match is not None:
        raise not_implemented("If-Match together with If-None-Match")
    if none_match not in {None, "*"}:
        raise not_implemented("If-None-Match with an ETag on a write")
    if none_match is not None and current is not None:
        raise _precondition_failed("If-None-Match")
    if match is not None:
        if not call.may("s3:GetObject", call.key):
            raise S3Error("AccessDenied", "Access Denied: If-Match needs s3:GetObject")
        if current is None:
            raise S3Error("NoSuchKey", "The specified key does not exist.", Key=call.key)
        if match.strip('"') != current.etag:
            raise _precondition_failed("If-Match")


def receive(bucket: Bucket, file: str, body: Body, intake: Intake) -> None:
    """Take the body into the file below the data directory; nothing is left of one that ends early or is not as announced."""
    path = bucket.data / file
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            for block in body.blocks():
                target.write(block)
                intake.update(block)
        intake.verify()
    except BaseException:
        bucket.discard(file)
        raise


def existing(call: Call) -> ObjectRecord:
    """The object under the key. Raises S3Error: NoSuchKey only for those who may list the bucket, as on AWS."""
    read_small(call.request, SMALL)
    record = call.bucket.objects.get(call.key)
    if record is None:
        if call.habits.hides_missing or not call.may("s3:ListBucket"):
            raise S3Error("AccessDenied", "Access Denied")
        raise S3Error("NoSuchKey", "The specified key does not exist.", Key=call.key)
    match, none_match = call.headers.get("if-match"), call.headers.get("if-none-match")
    if match is not None and match not in {"*", quoted(record.etag), record.etag}:
        raise _precondition_failed("If-Match")
    if none_match is not None and none_match in {"*", quoted(record.etag), record.etag}:
        raise S3Error("NotModified", "Not Modified")
    return record


def object_headers(call: Call, record: ObjectRecord) -> dict[str, str]:
    """What GET and HEAD say about an object."""
    headers = {
        "ETag": quoted(record.etag),
        "Last-Modified": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(record.modified)),
        "Accept-Ranges": "bytes",
        "Content-Type": "binary/octet-stream",
    } | record.description.headers
    headers |= {f"{_META}{name}": text for name, text in record.description.metadata.items()}
    if record.description.tags:
        headers["x-amz-tagging-count"] = str(len(record.description.tags))
    if call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= checksum_headers(record)
    return headers


def checksum_headers(record: ObjectRecord) -> dict[str, str]:
    """The object's checksum and its type, where it has one."""
    if record.algorithm is None or record.checksum is None or record.checksum_type is None:
        return {}
    return {f"{PREFIX}{record.algorithm}": record.checksum, f"{PREFIX}type": record.checksum_type}


def encryption_headers(description: Description) -> dict[str, str]:
    """How the object is said to be encrypted, as every answer about a write repeats it."""
    return {name: text for name, text in description.headers.items() if name.startswith(_ENCRYPTION)}


def read_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of the one range that is asked for; None for all. Raises S3Error InvalidRange."""
    match = _RANGE.fullmatch(header)
    if match is None or match.groups() == ("", ""):
        return None
    start, end = match.groups()
    if start:
        first, last = int(start), min(int(end), size - 1) if end else size - 1
    else:
        first, last = max(size - int(end), 0), size - 1
    if first >= size or first > last:
        raise S3Error("InvalidRange", "The requested range is not satisfiable", ActualObjectSize=size)
    return first, last


def cut(bucket: Bucket, record: ObjectRecord, first: int, last: int) -> tuple[FileSpan, ...]:
    """The pieces of the object's files that hold the bytes from `first` to `last`."""
    spans = []
    begin = 0
    for name, size in record.files:
        start, end = max(first - begin, 0), min(last + 1 - begin, size)
        if start < end:
            spans.append(FileSpan(bucket.data / name, start, end - start))
        begin += size
    return tuple(spans)


def _precondition_failed(condition: str) -> S3Error:
    return S3Error(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        Condition=condition,
    )
