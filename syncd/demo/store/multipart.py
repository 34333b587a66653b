"""Multipart uploads up to their completion: Create, UploadPart, ListParts, Abort.

As on AWS, an upload that was created with a checksum algorithm takes only parts that bring a checksum by it. One that
was created without takes only parts without (AWS adds CRC64NVME by itself there; so does this store, at Complete).
"""

from __future__ import annotations

import email.utils
import secrets

from syncd.demo.loopback import Answer
from syncd.demo.store.calls import Call
from syncd.demo.store.contents import (
    SMALL,
    check_size,
    describe,
    encryption_headers,
    etag_of,
    receive,
)
from syncd.demo.store.documents import Node, document, quoted, timestamp
from syncd.demo.store.intake import PREFIX, Intake, read_small
from syncd.demo.store.objects import PartRecord, Upload
from syncd.demo.store.refusals import S3Error
from syncd.demo.store.sums import ALGORITHMS, TYPES

MAX_PARTS = 10_000
PAGE = 1_000
RULE_ID = "sweep-open-uploads"
_DAY = 86_400


def create_upload(call: Call) -> Answer:
    """Begin an upload; the answer repeats the algorithm and the type that were granted."""
    read_small(call.request, SMALL)
    algorithm, checksum_type = _checksum_plan(call.headers)
    upload = Upload(
        upload_id=secrets.token_hex(32),
        key=call.key,
        initiated=call.now,
        description=describe(call),
        algorithm=algorithm,
        checksum_type=checksum_type,
    )
    call.bucket.open_upload(upload)
    headers = encryption_headers(upload.description)
    if algorithm is not None and checksum_type is not None:
        headers |= {f"{PREFIX}algorithm": algorithm.upper(), f"{PREFIX}type": checksum_type}
    headers |= _end_by_rule(call, upload)
    children: list[Node] = [("Bucket", call.bucket.name), ("Key", call.key), ("UploadId", upload.upload_id)]
    return Answer(headers=headers, body=document("InitiateMultipartUploadResult", children))


def upload_part(call: Call) -> Answer:
    """Take a part in, verified; the same number again replaces it. What the head shows to be wrong is refused unread."""
    upload = open_upload(call)
    number = call.number("partNumber", 0, MAX_PARTS + 1)
    if not 1 <= number <= MAX_PARTS:
        raise S3Error(
            "InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        )
    check_size(call.request.body)
    intake = Intake(call.headers)
    _check_algorithm(upload, intake)
    file = call.bucket.new_part_file(upload, number)
    try:
        receive(call.bucket, file, call.request.body, intake)
    except FileNotFoundError:  # aborted or completed just now
        raise no_such_upload() from None
    part = PartRecord(
        number=number,
        size=intake.size,
        etag=etag_of(intake.md5, upload.description),
        checksum=intake.checksum,
        modified=call.now,
        file=file,
    )
    with upload.lock:
        if upload.closed:
            call.bucket.discard(file)
            raise no_such_upload()
        call.bucket.add_part(upload, part)
    headers = {"ETag": quoted(part.etag)} | encryption_headers(upload.description)
    if intake.algorithm is not None and part.checksum is not None:
        headers[f"{PREFIX}{intake.algorithm}"] = part.checksum
    return Answer(headers=headers)


def list_parts(call: Call) -> Answer:
    """A page of the parts that have arrived, by number."""
    read_small(call.request, SMALL)
    upload = open_upload(call)
    marker, page = call.number("part-number-marker", 0, 2**31), call.number("max-parts", PAGE, PAGE)
    with upload.lock:
        later = [upload.parts[number] for number in sorted(upload.parts) if number > marker]
    shown = later[:page]
    children: list[Node] = [
        ("Bucket", call.bucket.name),
        ("Key", call.key),
        ("UploadId", upload.upload_id),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", shown[-1].number if shown else marker),
        ("MaxParts", page),
        ("IsTruncated", "true" if len(later) > len(shown) else "false"),
        ("StorageClass", "STANDARD"),
    ]
    if upload.algorithm is not None and upload.checksum_type is not None:
        children += [
            ("ChecksumAlgorithm", upload.algorithm.upper()),
            ("ChecksumType", upload.checksum_type),
        ]
    children += [("Part", _part_node(upload, part)) for part in shown]
    return Answer(headers=_end_by_rule(call, upload), body=document("ListPartsResult", children))


def abort_upload(call: Call) -> Answer:
    """Forget the upload and its parts."""
    read_small(call.request, SMALL)
    upload = open_upload(call)
    with upload.lock:
        if upload.closed:
            raise no_such_upload()
        call.bucket.drop_upload(upload)
    return Answer(status=204)


def open_upload(call: Call) -> Upload:
    """The upload that the call names, if it is open and this key's. Raises S3Error NoSuchUpload."""
    upload = call.bucket.uploads.get(call.query.get("uploadId", ""))
    if upload is None or upload.key != call.key:
        raise no_such_upload()
    return upload


def _end_by_rule(call: Call, upload: Upload) -> dict[str, str]:
    """When the lifecycle rule ends this upload: at a midnight, as S3 has it; nothing where there is no rule."""
    days = call.habits.sweeps_after_days
    if days is None:
        return {}
    end = (upload.initiated // _DAY + days + 1) * _DAY
    return {
        "x-amz-abort-date": email.utils.formatdate(end, usegmt=True),
        "x-amz-abort-rule-id": RULE_ID,
    }


def no_such_upload() -> S3Error:
    """There is no such upload: never was, aborted, or completed."""
    return S3Error(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed.",
    )


def checksum_element(algorithm: str) -> str:
    """The name of an algorithm's element in S3's documents."""
    return f"Checksum{algorithm.upper()}"


def _checksum_plan(headers: dict[str, str]) -> tuple[str | None, str | None]:
    """Algorithm and type of the upload, the type by default as AWS has it. Raises S3Error InvalidRequest."""
    algorithm, wanted = headers.get(f"{PREFIX}algorithm", "").lower(), headers.get(f"{PREFIX}type")
    if not algorithm:
        if wanted is not None:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return None, None
    if algorithm not in ALGORITHMS:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            f"types: [{', '.join(name.upper() for name in ALGORITHMS)}]",
        )
    if wanted is None:
        return algorithm, TYPES[algorithm][0]
    if wanted not in TYPES[algorithm]:
        raise S3Error(
            "InvalidRequest",
            f"The {wanted} checksum type cannot be used with the {algorithm} checksum algorithm.",
        )
    return algorithm, wanted


def _check_algorithm(upload: Upload, intake: Intake) -> None:
    if intake.algorithm != upload.algorithm:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm or 'null'}, "
            f"actual checksum Type: {intake.algorithm or 'null'}",
        )


def _part_node(upload: Upload, part: PartRecord) -> list[Node]:
    node: list[Node] = [
        ("PartNumber", part.number),
        ("LastModified", timestamp(part.modified)),
        ("ETag", quoted(part.etag)),
        ("Size", part.size),
    ]
    if upload.algorithm is not None and part.checksum is not None:
        node.append((checksum_element(upload.algorithm), part.checksum))
    return node
