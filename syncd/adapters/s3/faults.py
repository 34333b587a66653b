"""Translates what botocore raises into our kinds of failure, with a message that names the thing and a hint.

Messages carry the operation, the object, S3's own code and words: never a header, a signature or a secret. One private
kind is born here and ends in this package: `LostAnswer`, a Transient whose request may have been carried out, so
that nobody repeats a Create blindly and a Put or Complete becomes doubtful.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.exceptions

from syncd.adapters.s3.codes import Meaning, meaning
from syncd.adapters.s3.outages import LostAnswer, translate_outage
from syncd.errors import (
    Conflict,
    LockedOut,
    ObjectExists,
    PartsRejected,
    Refused,
    SyncdError,
    Transient,
    UploadGone,
)

RETRY_AFTER_CAP = 900.0

_ACTIONS: Mapping[str, str] = {
    "put": "s3:PutObject",
    "create": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete": "s3:PutObject",
    "list_parts": "s3:ListMultipartUploadParts",
    "abort": "s3:AbortMultipartUpload",
    "head": "s3:GetObject",
    "list_uploads": "s3:ListBucketMultipartUploads",
}


class NotShown(SyncdError):
    """What was asked for is not there, or not for our eyes. Ends in this package."""


class Unsupported(LockedOut):
    """The store does not implement something in the request: perhaps the checksum, then there is a way on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request was about, for messages: `operation` is the port's word for it.

    `also`: what it needed beside the right that the operation itself needs; `owner`: whose the bucket had to be.
    """

    operation: str
    bucket: str
    key: str
    also: tuple[str, ...] = ()
    owner: str | None = None

    def __str__(self) -> str:
        return f"{self.operation.replace('_', ' ')} of s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An error answer, read so that nothing in it need be there: `code` is empty where S3 gave none."""

    status: int
    code: str
    message: str
    details: Mapping[str, str]
    headers: Mapping[str, str]

    def __str__(self) -> str:
        said = f": {self.message}" if self.message else ""
        return f"{self.code or 'no S3 error code'} (HTTP {self.status}){said}"


def read_answer(error: botocore.exceptions.ClientError, secrets: tuple[str, ...] = ()) -> Answer:
    """The error answer out of a ClientError, however sparse or strange the XML was; none of the secrets is repeated."""
    told = error.response.get("Error")
    details = {name: value for name, value in _dictionary(told).items() if isinstance(value, str)}
    metadata = _dictionary(error.response.get("ResponseMetadata"))
    code = details.get("Code", "")
    return Answer(
        status=int(metadata.get("HTTPStatusCode") or 0),
        code="" if code.isdigit() or code == "Unknown" else code,
        message=_one_line(details.get("Message", ""), secrets),
        details=details,
        headers=_dictionary(metadata.get("HTTPHeaders")),
    )


def translate(
    error: Exception, asked: Asked, *, region: str | None = None, secrets: tuple[str, ...] = ()
) -> SyncdError:
    """The one of our kinds that `error` stands for. `region`: the one that was asked, to tell a wrong one.

    `secrets` are taken out of what the store says.
    """
    if isinstance(error, botocore.exceptions.ClientError):
        return _from_answer(read_answer(error, secrets), asked, region)
    return translate_outage(error, str(asked))


def _from_answer(answer: Answer, asked: Asked, region: str | None) -> SyncdError:
    named = _named_region(answer, region)
    found = _by_words(answer, asked) or meaning(
        asked.operation, answer.status, answer.code, named_region=named
    )
    if found is Meaning.REGION:
        return LockedOut(
            f"{asked}: {answer}",
            code="region",
            hint=f"bucket {asked.bucket} is in region {named}, not in {region}: set destination.region to {named}",
        )
    if found in _PLAIN:
        return _PLAIN[found](f"{asked}: {answer}")
    return _LONGER[found](answer, asked)


def _by_words(answer: Answer, asked: Asked) -> Meaning | None:
    """Where one code stands for many things and only its words tell which."""
    if answer.code not in {"InvalidArgument", "InvalidRequest"}:
        return None
    if asked.operation in {"put", "create"} and "checksum" in answer.message.lower():
        return Meaning.UNSUPPORTED  # "Checksum algorithm provided is unsupported"
    return Meaning.REFUSED if "key" in answer.details.get("ArgumentName", "").lower() else None


_PLAIN: Mapping[Meaning, Callable[[str], SyncdError]] = {
    Meaning.GONE: UploadGone,
    Meaning.PARTS: PartsRejected,
    Meaning.EXISTS: ObjectExists,
    Meaning.RACE: Conflict,
    Meaning.NOT_SHOWN: NotShown,
}


def _busy(answer: Answer, asked: Asked) -> SyncdError:
    hint = _BYTES_CHANGE if answer.code in _OTHER_BYTES else _stranger(answer)
    return Transient(f"{asked}: {answer}", hint=hint, retry_after=retry_after(answer.headers))


def _lost(answer: Answer, asked: Asked) -> SyncdError:
    return LostAnswer(f"{asked}: {answer}", hint=_stranger(answer), retry_after=retry_after(answer.headers))


def _credentials(answer: Answer, asked: Asked) -> SyncdError:
    return LockedOut(
        f"{asked}: {answer}",
        code="credentials",
        hint="the store does not accept the credentials; new ones are asked for by themselves",
        retry_after=retry_after(answer.headers),
    )


def _clock(answer: Answer, asked: Asked) -> SyncdError:
    here = answer.details.get("RequestTime", "another time")
    there = answer.details.get("ServerTime") or answer.headers.get("date", "otherwise")
    return LockedOut(
        f"{asked}: {answer}",
        code="clock",
        hint=f"the request was signed at {here}, the store's clock says {there}: set the clock (timedatectl set-ntp true)",
    )


def _permission(answer: Answer, asked: Asked) -> SyncdError:
    action = " or ".join((_ACTIONS.get(asked.operation, "the action"), *asked.also))
    return LockedOut(
        f"{asked}: {answer}",
        code="permission",
        hint=f"the credentials lack {action} on s3://{asked.bucket}/{asked.key}: look at the role's policy, "
        "the session policy's prefix and the bucket policy" + _or_owner(asked),
    )


def _or_owner(asked: Asked) -> str:
    if asked.owner is None:
        return ""
    return f"; or the bucket is not account {asked.owner}'s, as destination.expected_bucket_owner says"


_OTHER_BYTES = {
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "ContentSHA256Mismatch",
}
_BYTES_CHANGE = (
    "other bytes arrive than were sent: look at the line, a proxy on it, and this machine's memory"
)

_KMS = "destination.kms_key_id"
_KEY_TO_CHECK: Mapping[str, str] = {
    "InvalidTag": "destination.tags",
    "InvalidStorageClass": "destination.storage_class",
    "InvalidEncryptionAlgorithmError": "destination.server_side_encryption",
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
}


def _bucket(answer: Answer, asked: Asked) -> SyncdError:
    missing = answer.code == "NoSuchBucket"
    hint = f"there is no bucket {asked.bucket}" if missing else f"bucket {asked.bucket} refuses every object"
    key = _KEY_TO_CHECK.get(answer.code, "destination.bucket and the account behind it")
    return LockedOut(f"{asked}: {answer}", code="bucket", hint=f"{hint}: check {key}")


def _unsupported(answer: Answer, asked: Asked) -> SyncdError:
    return Unsupported(
        f"{asked}: {answer}",
        code="bucket",
        hint="the store does not implement what was asked: check destination.endpoint_url and the store's documentation",
    )


def _refused(answer: Answer, asked: Asked) -> SyncdError:
    hint = "the store does not take this file under this key, or of this size"
    if answer.code == "EntityTooSmall":
        hint = "the store wants larger parts: raise upload.part_size; what is planned from then on has them"
    return Refused(f"{asked}: {answer}", hint=hint)


_LONGER: Mapping[Meaning, Callable[[Answer, Asked], SyncdError]] = {
    Meaning.BUSY: _busy,
    Meaning.LOST: _lost,
    Meaning.CREDENTIALS: _credentials,
    Meaning.CLOCK: _clock,
    Meaning.PERMISSION: _permission,
    Meaning.BUCKET: _bucket,
    Meaning.UNSUPPORTED: _unsupported,
    Meaning.REFUSED: _refused,
}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The server's wish in seconds, capped at 15 minutes: Retry-After (seconds or a date), x-amz-retry-after (milliseconds).

    Nonsense is no wish; of two the longer counts.
    """
    wishes = [wish for wish in (_wish(headers), _wish_of_amazon(headers)) if wish is not None]
    return min(max(wishes), RETRY_AFTER_CAP) if wishes else None


def _wish(headers: Mapping[str, str]) -> float | None:
    wish = headers.get("retry-after", "").strip()
    if wish.isdecimal():
        return float(wish)
    try:
        then = email.utils.parsedate_to_datetime(wish)
        # By the server's own clock: ours may be wrong.
        seconds = (then - email.utils.parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None


def _wish_of_amazon(headers: Mapping[str, str]) -> float | None:
    wish = headers.get("x-amz-retry-after", "").strip()
    return float(wish) / 1000 if wish.isdecimal() else None


def _named_region(answer: Answer, asked_region: str | None) -> str | None:
    named = answer.headers.get("x-amz-bucket-region") or answer.details.get("Region")
    return named if named and named != asked_region else None


def _stranger(answer: Answer) -> str | None:
    if answer.code:
        return None
    return "this does not look like an S3 answer: a proxy, a captive portal or a wrong endpoint_url may be in between"


def _dictionary(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _one_line(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
