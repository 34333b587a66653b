"""The one table of what S3's answers mean: by operation and code, by code, by status where there is no code.

Nothing here raises; `faults` turns a meaning into one of our kinds. A code that no line knows is LOST when a server broke
down over it and BUSY otherwise, so an unknown error is waited out and never dropped.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Meaning(enum.Enum):
    """What an answer says about the request, named by what becomes of it."""

    BUSY = "not done, try again later"
    LOST = "perhaps done, the answer does not tell"
    CREDENTIALS = "the credentials are not accepted"
    CLOCK = "the signature's time is too far off"
    PERMISSION = "the credentials do not allow it"
    BUCKET = "the destination as a whole refuses"
    REGION = "the bucket lives in another region"
    UNSUPPORTED = "the store does not implement it"
    GONE = "the multipart upload is not there"
    PARTS = "Complete does not accept the list"
    EXISTS = "a condition met another object"
    RACE = "a conditional write raced another one"
    REFUSED = "this file cannot go like this"
    NOT_SHOWN = "not there, or not for our eyes"


def _all(meaning: Meaning, codes: str) -> dict[str, Meaning]:
    return dict.fromkeys(codes.split(), meaning)


BY_CODE: Mapping[str, Meaning] = {
    **_all(
        Meaning.BUSY,
        "SlowDown ServiceUnavailable Busy ServerBusy TooManyRequests RequestLimitExceeded BandwidthLimitExceeded"
        " Throttling ThrottlingException RequestThrottled RequestThrottledException RequestTimeout"
        " RequestTimeoutException OperationAborted IncompleteBody BadDigest InvalidDigest"
        " XAmzContentSHA256Mismatch XAmzContentChecksumMismatch ContentSHA256Mismatch MissingContentLength"
        " ReducedConcurrency",
    ),
    **_all(Meaning.LOST, "InternalError InternalFailure InternalServerError"),
    **_all(
        Meaning.CREDENTIALS,
        "ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken InvalidTokenId InvalidAccessKeyId"
        " InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch InvalidSecurity"
        " AuthorizationHeaderMalformed MissingSecurityHeader InvalidSignatureException AuthFailure",
    ),
    **_all(Meaning.CLOCK, "RequestTimeTooSkewed RequestExpired RequestInTheFuture"),
    **_all(
        Meaning.PERMISSION,
        "AccessDenied AccessDeniedException AccessForbidden UnauthorizedAccess UnauthorizedAccessError"
        " KMS.AccessDeniedException",
    ),
    **_all(
        Meaning.BUCKET,
        "NoSuchBucket InvalidBucketName InvalidBucketState InvalidBucketOwner AllAccessDisabled AccountProblem NotSignedUp"
        " NotSignedUpForS3 QuotaExceeded QuotaExceededException BucketQuotaExceeded XMinioStorageFull"
        " XMinioAdminBucketQuotaExceeded StorageFull InsufficientStorage UserSuspended InvalidStorageClass"
        " InvalidEncryptionAlgorithmError KMS.NotFoundException KMS.DisabledException"
        " KMS.KMSInvalidStateException NoSuchAccessPoint InvalidRegion"
        " InvalidTag",  # they are the configuration's: no file is to blame
    ),
    **_all(Meaning.REGION, "PermanentRedirect TemporaryRedirect Redirect IllegalLocationConstraintException"),
    **_all(Meaning.UNSUPPORTED, "NotImplemented MethodNotAllowed XNotImplemented UnsupportedOperation"),
    **_all(Meaning.GONE, "NoSuchUpload"),
    **_all(Meaning.PARTS, "InvalidPart InvalidPartOrder"),
    **_all(Meaning.EXISTS, "PreconditionFailed"),
    **_all(Meaning.RACE, "ConditionalRequestConflict"),
    **_all(
        Meaning.REFUSED,
        "KeyTooLong KeyTooLongError EntityTooLarge InvalidURI InvalidObjectName MetadataTooLarge"
        " UnsupportedMetadata XMinioInvalidObjectName ObjectLocked"
        " EntityTooSmall",  # of parts: the same plan would meet the same answer, after all bytes were sent again
    ),
}

# What a code means in one operation, where that differs from the line above.
BY_OPERATION: Mapping[tuple[str, str], Meaning] = {
    **{
        (operation, "NoSuchKey"): Meaning.GONE  # Ceph RGW's word for NoSuchUpload
        for operation in ("upload_part", "list_parts", "complete", "abort")
    },
    ("complete", "BadDigest"): Meaning.PARTS,  # the whole sum, or the type of sum, disagrees with the parts
    ("complete", "InvalidDigest"): Meaning.PARTS,
    ("complete", "InvalidRequest"): Meaning.PARTS,  # MpuObjectSize disagrees; a part's sum is missing
    ("complete", "MalformedXML"): Meaning.PARTS,  # an empty list
    **{
        ("list_uploads", code): Meaning.NOT_SHOWN
        for code in ("AccessDenied", "NotImplemented", "MethodNotAllowed", "AccessForbidden")
    },
    ("put", "NoSuchKey"): Meaning.EXISTS,  # If-Match on a key that is not there: the condition did not hold
    ("put", "OperationAborted"): Meaning.RACE,
    ("complete", "OperationAborted"): Meaning.RACE,
}

# The same for answers without a code: HEAD never has one, for want of a body.
BY_OPERATION_AND_STATUS: Mapping[tuple[str, int], Meaning] = {
    ("head", 400): Meaning.CREDENTIALS,  # expired or foreign tokens
    ("head", 401): Meaning.CREDENTIALS,
    ("head", 403): Meaning.NOT_SHOWN,
    ("head", 404): Meaning.NOT_SHOWN,
    ("list_uploads", 403): Meaning.NOT_SHOWN,
    ("list_uploads", 405): Meaning.NOT_SHOWN,
    ("list_uploads", 501): Meaning.NOT_SHOWN,
}

# Where the answer has no code that S3 would give: no body, HTML, a proxy's or a captive portal's words.
BY_STATUS: Mapping[int, Meaning] = {
    405: Meaning.UNSUPPORTED,
    408: Meaning.BUSY,
    409: Meaning.RACE,
    412: Meaning.EXISTS,
    413: Meaning.REFUSED,
    425: Meaning.BUSY,
    429: Meaning.BUSY,
    501: Meaning.UNSUPPORTED,
    507: Meaning.BUCKET,
}

_REDIRECTS = range(300, 400)
_CONDITIONAL = {"put", "complete"}
_SERVER_BROKE = 500
_SERVER_REFUSES = 503


def meaning(operation: str, status: int, code: str, *, named_region: str | None) -> Meaning:
    """What an answer means. `code` is empty where S3 gave none; `named_region` is the one that the answer points to."""
    found = _listed(operation, status, code, named_region)
    if found in {Meaning.EXISTS, Meaning.RACE} and operation not in _CONDITIONAL:
        return Meaning.BUSY
    if found is Meaning.BUSY and status >= _SERVER_BROKE and status != _SERVER_REFUSES:
        # Busy inside a 200 or 500: something had begun.
        return Meaning.LOST
    return found


def _listed(operation: str, status: int, code: str, named_region: str | None) -> Meaning:
    wrong_region = status in _REDIRECTS or code in {"AuthorizationHeaderMalformed", "InvalidRegion"}
    if named_region and (wrong_region or (operation, status) == ("head", 400)):
        return Meaning.REGION
    if code:
        found = BY_OPERATION.get((operation, code)) or BY_CODE.get(code)
    else:
        found = BY_OPERATION_AND_STATUS.get((operation, status)) or BY_STATUS.get(status)
    if found is None:
        return Meaning.LOST if status >= _SERVER_BROKE else Meaning.BUSY
    if found is Meaning.REGION and not named_region:
        return Meaning.BUSY  # only a redirect: it names no bucket's home
    return found
