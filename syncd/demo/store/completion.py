"""CompleteMultipartUpload: every rule between a list of parts and an object.

The checksum of the whole is computed over the bytes as they lie on disk, not taken from the parts' checksums. A repeat
of the request that made the object now under the key is answered as the first was; after the object has been replaced
or deleted the upload is simply gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from xml.etree.ElementTree import Element

from syncd.demo.loopback import Answer
from syncd.demo.store.calls import Call
from syncd.demo.store.contents import check_conditions, encryption_headers, etag_of
from syncd.demo.store.documents import Node, document, malformed, quoted, read_document
from syncd.demo.store.intake import PREFIX, default_algorithm, read_small, stated_checksum
from syncd.demo.store.multipart import checksum_element, no_such_upload, open_upload
from syncd.demo.store.objects import ObjectRecord, PartRecord, Upload
from syncd.demo.store.refusals import S3Error
from syncd.demo.store.sums import ALGORITHMS, COMPOSITE, FULL_OBJECT, composite, header_value, new_sum

MAX_DOCUMENT = 4 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """One part as the request lists it; `checksums` by algorithm."""

    number: int
    etag: str
    checksums: dict[str, str]


def complete_upload(min_part_size: int) -> Callable[[Call], Answer]:
    """The operation, for parts of at least this size."""

    def operation(call: Call) -> Answer:
        stated = stated_checksum(call.headers, composite=True)
        if _made_by(call) is None:
            open_upload(call)  # refused before the body is read
        listed = read_list(read_small(call.request, MAX_DOCUMENT))
        if call.habits.ignores_checksums:
            listed = [replace(each, checksums={}) for each in listed]
        digest = _digest(call, listed)
        made = _made_by(call)
        if made is not None:
            return _repeated(call, made, digest)
        upload = open_upload(call)
        with upload.lock:
            made = _made_by(call)
            if made is not None:
                return _repeated(call, made, digest)
            return _complete(call, upload, listed, stated, min_part_size, digest)

    return operation


def read_list(content: bytes) -> list[Listed]:
    """The parts that the document lists. Raises S3Error MalformedXML, also for an empty list."""
    parts = [
        _listed(each) for each in read_document(content, "CompleteMultipartUpload") if each.tag == "Part"
    ]
    if not parts:
        raise malformed()
    return parts


def _listed(element: Element) -> Listed:
    texts = {each.tag: (each.text or "").strip() for each in element}
    number = texts.get("PartNumber", "")
    if not (number.isascii() and number.isdigit()) or "ETag" not in texts:
        raise malformed()
    checksums = {
        name: texts[checksum_element(name)] for name in ALGORITHMS if checksum_element(name) in texts
    }
    return Listed(int(number), texts["ETag"].strip('"'), checksums)


def _complete(
    call: Call,
    upload: Upload,
    listed: list[Listed],
    stated: tuple[str, str] | None,
    min_part_size: int,
    digest: str,
) -> Answer:
    if upload.closed:
        raise no_such_upload()
    _check_order(upload, listed)
    parts = [_match(upload, each) for each in listed]
    _check_sizes(parts, min_part_size)
    size = sum(part.size for part in parts)
    if call.headers.get("x-amz-mp-object-size", str(size)) != str(size):
        raise S3Error(
            "InvalidRequest",
            "The provided 'x-amz-mp-object-size' header value does not match what was computed.",
        )
    algorithm, checksum_type, checksum = _whole(call, upload, parts)
    _check_whole(call, upload, stated, (algorithm, checksum))
    record = ObjectRecord(
        key=call.key,
        size=size,
        etag=multipart_etag(upload, parts),
        modified=call.now,
        description=upload.description,
        files=tuple((part.file, part.size) for part in parts),
        algorithm=algorithm,
        checksum=checksum,
        checksum_type=checksum_type,
        upload_id=upload.upload_id,
        completed_by=digest,
    )
    with call.bucket.lock:
        check_conditions(call)
        call.bucket.close_upload(upload, record)
    return _answer(call, record)


def multipart_etag(upload: Upload, parts: Sequence[PartRecord]) -> str:
    """The MD5 of the parts' MD5s, and how many they are."""
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    md5 = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    return f"{etag_of(md5, upload.description)}-{len(parts)}"


def _check_order(upload: Upload, listed: list[Listed]) -> None:
    numbers = [each.number for each in listed]
    ascending = all(a < b for a, b in pairwise(numbers))
    consecutive = numbers == list(range(1, len(numbers) + 1))
    if not ascending or (upload.algorithm is not None and not consecutive):
        raise S3Error(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order by part "
            "number, and with checksums from 1 without gaps.",
        )


def _match(upload: Upload, listed: Listed) -> PartRecord:
    part = upload.parts.get(listed.number)
    if part is None or part.etag != listed.etag:
        raise _invalid_part(listed)
    if upload.algorithm is not None and upload.algorithm not in listed.checksums:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using a {upload.algorithm} checksum. The complete request must include the "
            f"checksum for each part. It was missing for part {listed.number} in the request.",
        )
    recorded = {upload.algorithm: part.checksum} if upload.algorithm is not None else {}
    if listed.checksums != recorded:
        raise _invalid_part(listed)
    return part


def _invalid_part(listed: Listed) -> S3Error:
    return S3Error(
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
        "specified entity tag or checksum may not match the part's.",
        PartNumber=listed.number,
        ETag=listed.etag,
    )


def _check_sizes(parts: Sequence[PartRecord], min_part_size: int) -> None:
    for part in parts[:-1]:
        if part.size < min_part_size:
            raise S3Error(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                ProposedSize=part.size,
                MinSizeAllowed=min_part_size,
                PartNumber=part.number,
                ETag=part.etag,
            )


def _whole(
    call: Call, upload: Upload, parts: Sequence[PartRecord]
) -> tuple[str | None, str | None, str | None]:
    """Algorithm, type and value of the object's checksum."""
    if upload.algorithm is not None and upload.checksum_type == COMPOSITE:
        values = [part.checksum or "" for part in parts]
        return upload.algorithm, COMPOSITE, composite(upload.algorithm, values)
    algorithm = upload.algorithm or default_algorithm(call.habits)
    if algorithm is None:
        return None, None, None
    total = new_sum(algorithm)
    for block in call.bucket.blocks(tuple((part.file, part.size) for part in parts)):
        total.update(block)
    return algorithm, FULL_OBJECT, header_value(total.digest())


def _check_whole(
    call: Call, upload: Upload, stated: tuple[str, str] | None, whole: tuple[str | None, str | None]
) -> None:
    stated_type = call.headers.get(f"{PREFIX}type")
    if stated_type is not None and stated_type != upload.checksum_type:
        raise S3Error(
            "BadDigest",
            f"The checksum type {stated_type} is not the one that the upload was created with.",
        )
    if stated is None:
        return
    if stated[0] != upload.algorithm:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm or 'null'}, "
            f"actual checksum Type: {stated[0]}",
        )
    if stated != whole:
        raise S3Error("BadDigest", f"The {stated[0]} you specified did not match the calculated checksum.")


def _made_by(call: Call) -> ObjectRecord | None:
    if call.habits.complete_again != "same answer":
        return None
    record = call.bucket.objects.get(call.key)
    return record if record is not None and record.upload_id == call.query["uploadId"] else None


def _digest(call: Call, listed: list[Listed]) -> str:
    """What makes a repeated request the same: the list, and the headers that say what the object shall be."""
    names = sorted(name for name in call.headers if name.startswith(PREFIX))
    headers = {name: call.headers[name] for name in (*names, "x-amz-mp-object-size") if name in call.headers}
    said = [headers, [(each.number, each.etag, each.checksums) for each in listed]]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _repeated(call: Call, record: ObjectRecord, digest: str) -> Answer:
    if record.completed_by != digest:
        raise no_such_upload()
    return _answer(call, record)


def _answer(call: Call, record: ObjectRecord) -> Answer:
    children: list[Node] = [
        ("Location", f"http://{call.headers.get('host', '')}/{call.bucket.name}/{record.key}"),
        ("Bucket", call.bucket.name),
        ("Key", record.key),
        ("ETag", quoted(record.etag)),
    ]
    if record.algorithm is not None and record.checksum is not None and record.checksum_type is not None:
        children += [
            (checksum_element(record.algorithm), record.checksum),
            ("ChecksumType", record.checksum_type),
        ]
    return Answer(
        headers=encryption_headers(record.description),
        body=document("CompleteMultipartUploadResult", children),
    )
