"""Reads S3's good answers into our nouns, and takes none on trust: a 200 may be a portal's HTML or empty.

Also the names that S3 has for our algorithms. Raises LostAnswer for an answer that does not hold what it must,
ChecksumIgnored for one that passes over the sum we sent.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from syncd.adapters.s3.faults import Asked
from syncd.adapters.s3.outages import LostAnswer
from syncd.errors import ChecksumIgnored, EncryptionIgnored
from syncd.model import Algorithm, OpenUpload, Part, RemoteObject, Stored

FIELD: Mapping[Algorithm, str] = {
    Algorithm.CRC64NVME: "ChecksumCRC64NVME",
    Algorithm.CRC32: "ChecksumCRC32",
    Algorithm.CRC32C: "ChecksumCRC32C",
    Algorithm.SHA256: "ChecksumSHA256",
}
NAME: Mapping[Algorithm, str] = {algorithm: algorithm.value.upper() for algorithm in FIELD}
TYPE: Mapping[Algorithm, str] = {
    Algorithm.CRC64NVME: "FULL_OBJECT",
    Algorithm.CRC32: "FULL_OBJECT",
    Algorithm.CRC32C: "FULL_OBJECT",
    Algorithm.SHA256: "COMPOSITE",
}
MARK = "syncd-upload"  # the metadata that holds the transfer's token
DEVICE = "syncd-device"  # and who sent it

_ETAG = re.compile(r'"[^"]+"')
_Answer = Mapping[str, Any]


def etag(answer: _Answer, asked: Asked) -> str:
    """The ETag, in quotes. Raises LostAnswer for none, an empty or an unquoted one."""
    value = answer.get("ETag")
    if not isinstance(value, str) or not _ETAG.fullmatch(value):
        raise LostAnswer(f"{asked}: the answer has no proper ETag ({value!r})")
    return value


def echoed(answer: _Answer, asked: Asked) -> None:
    """The answer must name our bucket and key. Raises LostAnswer."""
    key = answer.get("Key")
    if not answer.get("Bucket") or not isinstance(key, str) or asked.key not in {key, unquote(key)}:
        raise LostAnswer(
            f"{asked}: the answer does not name the object (Key {key!r}): was it S3 that answered?"
        )


def checksum(answer: _Answer, algorithm: Algorithm) -> str | None:
    """The sum by that algorithm, if the answer shows one."""
    return answer.get(FIELD[algorithm]) or None if algorithm in FIELD else None


def honoured(answer: _Answer, asked: Asked, algorithm: Algorithm, sent: str) -> None:
    """The answer to a body must show the sum that we sent with it.

    Raises ChecksumIgnored when it shows none, LostAnswer when it shows another.
    """
    if algorithm not in FIELD:
        return
    shown = checksum(answer, algorithm)
    if shown is None:
        raise ChecksumIgnored(
            f"{asked}: the store does not confirm the {NAME[algorithm]} checksum", etag=answer.get("ETag")
        )
    if shown != sent:
        raise LostAnswer(f"{asked}: the store has the {NAME[algorithm]} {shown}, we sent {sent}")


def encrypted(answer: _Answer, asked: Asked, wanted: str | None, *, etag: str | None = None) -> None:
    """The answer to a Put or Create must name the encryption that we asked for. Raises EncryptionIgnored."""
    shown = answer.get("ServerSideEncryption")
    if wanted is not None and shown != wanted:
        raise EncryptionIgnored(f"{asked}: the store encrypts with {shown}, asked was {wanted}", etag=etag)


def promised(answer: _Answer, asked: Asked, algorithm: Algorithm) -> None:
    """Create's answer must name exactly the algorithm and type that we asked for. Raises ChecksumIgnored."""
    if algorithm not in FIELD:
        return
    shown = (answer.get("ChecksumAlgorithm"), answer.get("ChecksumType"))
    if shown != (NAME[algorithm], TYPE[algorithm]):
        raise ChecksumIgnored(
            f"{asked}: the store answers checksum {shown}, asked was {(NAME[algorithm], TYPE[algorithm])}"
        )


def swept_at(answer: _Answer) -> float | None:
    """When a lifecycle rule of the bucket ends the upload that was created; None where no rule is named."""
    return _seconds(answer.get("AbortDate")) or None


def stored(answer: _Answer, asked: Asked, algorithm: Algorithm) -> Stored:
    """What a Put or Complete stored."""
    return Stored(
        etag=etag(answer, asked),
        checksum=checksum(answer, algorithm),
        version_id=answer.get("VersionId"),
    )


def part(listed: _Answer, asked: Asked, algorithm: Algorithm) -> Part:
    """One part of a ListParts page."""
    try:
        number, size = int(listed["PartNumber"]), int(listed["Size"])
    except (KeyError, TypeError, ValueError) as error:
        raise LostAnswer(f"{asked}: a listed part has no number or size") from error
    return Part(number=number, size=size, etag=etag(listed, asked), checksum=checksum(listed, algorithm))


def remote_object(answer: _Answer, asked: Asked) -> RemoteObject:
    """What HEAD shows."""
    size = answer.get("ContentLength")
    if not isinstance(size, int):
        raise LostAnswer(f"{asked}: the answer has no size")
    # Some stores change the case of metadata names.
    metadata = {name.lower(): value for name, value in dict(answer.get("Metadata") or {}).items()}
    customer_key = bool(answer.get("SSECustomerAlgorithm"))
    by_kms = str(answer.get("ServerSideEncryption") or "").startswith("aws:kms")
    return RemoteObject(
        etag=etag(answer, asked),
        size=size,
        token=metadata.get(MARK),
        device=metadata.get(DEVICE),
        checksums={kind: shown for kind in FIELD if (shown := checksum(answer, kind))},
        etag_is_md5=not (customer_key or by_kms),
        encryption=answer.get("ServerSideEncryption"),
        version_id=answer.get("VersionId"),
    )


def open_uploads(page: _Answer, asked: Asked) -> list[OpenUpload]:
    """All uploads on a ListMultipartUploads page."""
    if not page.get("Bucket"):
        raise LostAnswer(f"{asked}: the answer does not name the bucket: was it S3 that answered?")
    return [
        OpenUpload(
            key=upload["Key"], upload_id=upload["UploadId"], initiated_at=_seconds(upload.get("Initiated"))
        )
        for upload in page.get("Uploads") or []
        if upload.get("Key") and upload.get("UploadId")
    ]


def uploads_of(page: _Answer, asked: Asked) -> list[tuple[str, float]]:
    """The uploads of exactly this key on a ListMultipartUploads page, as (upload id, initiated at)."""
    found = open_uploads(page, asked)
    return [(upload.upload_id, upload.initiated_at) for upload in found if upload.key == asked.key]


def next_uploads(page: _Answer, asked: Asked, markers: Mapping[str, str]) -> dict[str, str] | None:
    """Where the next page begins; None when there is none, or none with this key (which sorts before longer ones).

    Raises LostAnswer for a listing that stands still.
    """
    return next_page(page, asked, markers) if page.get("NextKeyMarker") == asked.key else None


def next_page(page: _Answer, asked: Asked, markers: Mapping[str, str]) -> dict[str, str] | None:
    """Where the next page begins; None when there is none. Raises LostAnswer for a listing that stands still."""
    if not page.get("IsTruncated"):
        return None
    following = {
        "KeyMarker": page.get("NextKeyMarker") or "",
        "UploadIdMarker": page.get("NextUploadIdMarker") or "",
    }
    if following == markers or not following["KeyMarker"]:
        raise LostAnswer(f"{asked}: the listing does not get beyond upload {following['UploadIdMarker']}")
    return following


def _seconds(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, dt.datetime) else 0.0
