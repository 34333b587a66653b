"""From a request line to an S3 operation: which one it is, on what, and which right it needs.

Every query parameter must belong to the operation; anything else of S3 is answered with NotImplemented.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

from syncd.demo.loopback import Request
from syncd.demo.store.faults import Record
from syncd.demo.store.habits import Habits
from syncd.demo.store.keys import Principal
from syncd.demo.store.objects import Bucket
from syncd.demo.store.refusals import S3Error, not_implemented

MAX_KEY_BYTES = 1024
_VIRTUAL = ".localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of S3: how it is recognised, and the IAM action that allows it."""

    name: str
    method: str
    scope: str
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    action: str = ""
    needs_length: bool = False


def _operation(
    name: str,
    method: str,
    scope: str,
    action: str,
    required: str = "",
    optional: str = "",
    *,
    body: bool = False,
) -> Operation:
    return Operation(
        name=name,
        method=method,
        scope=scope,
        required=frozenset(required.split()),
        optional=frozenset(optional.split()) | {"x-id"},
        action=action,
        needs_length=body,
    )


OPERATIONS = (
    _operation("AssumeRole", "POST", "service", "sts:AssumeRole", body=True),
    _operation("CreateBucket", "PUT", "bucket", "s3:CreateBucket"),
    _operation("HeadBucket", "HEAD", "bucket", "s3:ListBucket"),
    _operation(
        "ListObjectsV2",
        "GET",
        "bucket",
        "s3:ListBucket",
        "list-type",
        "prefix encoding-type max-keys start-after continuation-token",
    ),
    _operation(
        "ListMultipartUploads",
        "GET",
        "bucket",
        "s3:ListBucketMultipartUploads",
        "uploads",
        "prefix encoding-type max-uploads key-marker upload-id-marker",
    ),
    _operation("PutObject", "PUT", "object", "s3:PutObject", body=True),
    _operation("GetObject", "GET", "object", "s3:GetObject"),
    _operation("HeadObject", "HEAD", "object", "s3:GetObject"),
    _operation("DeleteObject", "DELETE", "object", "s3:DeleteObject"),
    _operation("CreateMultipartUpload", "POST", "object", "s3:PutObject", "uploads"),
    _operation("UploadPart", "PUT", "object", "s3:PutObject", "uploadId partNumber", body=True),
    _operation(
        "ListParts",
        "GET",
        "object",
        "s3:ListMultipartUploadParts",
        "uploadId",
        "max-parts part-number-marker",
    ),
    _operation("CompleteMultipartUpload", "POST", "object", "s3:PutObject", "uploadId", body=True),
    _operation("AbortMultipartUpload", "DELETE", "object", "s3:AbortMultipartUpload", "uploadId"),
)

# What these headers ask for would be ignored silently; better to say that it is not here.
_UNSUPPORTED_HEADERS = (
    "x-amz-copy-source",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption-customer-",
    "x-amz-grant-",
    "x-amz-write-offset-bytes",
    "x-amz-website-redirect-location",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is about."""

    bucket: str
    key: str
    query: dict[str, str]

    @property
    def scope(self) -> str:
        """`object`, `bucket` or `service`."""
        if self.key:
            return "object"
        return "bucket" if self.bucket else "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was recognised, signed and allowed."""

    request: Request
    record: Record
    principal: Principal
    bucket: Bucket
    key: str
    query: dict[str, str]
    now: float
    habits: Habits

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        return self.request.headers

    def number(self, name: str, default: int, most: int) -> int:
        """A number of the query, at most `most`. Raises S3Error InvalidArgument."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or int(text) > 2**31 - 1:
            raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range")
        return min(int(text), most)

    def may(self, action: str, key: str | None = None) -> bool:
        """Whether the caller may do this to the bucket, or to one of its keys."""
        return self.principal.may(action, resource(self.bucket.name, key or ""))


def _split_place(request: Request) -> tuple[str, str]:
    """Bucket and key as they stand there: the bucket before `.localhost` in the host's name, or first in the path."""
    host = request.headers.get("host", "").partition(":")[0]
    path = request.path.removeprefix("/")
    if host.endswith(_VIRTUAL):
        return host.removesuffix(_VIRTUAL), path
    bucket, _, key = path.partition("/")
    return bucket, key


def read_target(request: Request) -> Target:
    """Which bucket and key a request means, in the path's style or in the host's. Raises S3Error InvalidURI, KeyTooLongError."""
    bucket, key = _split_place(request)
    try:
        decoded = unquote_to_bytes(key).decode()
        query = [item.partition("=")[::2] for item in request.query.split("&") if item]
        pairs = {unquote(name, errors="strict"): unquote(text, errors="strict") for name, text in query}
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "Couldn't parse the specified URI.") from None
    if len(pairs) != len(query):
        raise S3Error("InvalidArgument", "A query parameter stands there twice.")
    if len(decoded.encode()) > MAX_KEY_BYTES:
        raise S3Error(
            "KeyTooLongError",
            "Your key is too long",
            Size=len(decoded.encode()),
            MaxSizeAllowed=MAX_KEY_BYTES,
        )
    return Target(bucket=unquote(bucket), key=decoded, query=pairs)


def recognise(request: Request, target: Target) -> Operation:
    """The operation that the request is. Raises S3Error NotImplemented, MethodNotAllowed."""
    given = target.query.keys()
    for each in OPERATIONS:
        if (each.method, each.scope) == (request.method, target.scope) and (
            each.required <= given <= each.required | each.optional
        ):
            return each
    if request.method not in {"GET", "HEAD", "PUT", "POST", "DELETE"}:
        raise S3Error("MethodNotAllowed", "The specified method is not allowed against this resource.")
    arguments = ", ".join(sorted(given)) or "no arguments"
    raise not_implemented(f"{request.method} on the {target.scope} with {arguments}")


def check_headers(request: Request, operation: Operation) -> None:
    """Raise S3Error for headers that this store cannot honour, and for a body of unknown length."""
    for name in request.headers:
        if name.startswith(_UNSUPPORTED_HEADERS):
            raise not_implemented(f"the header {name}")
    if "transfer-encoding" in request.headers:
        raise not_implemented("Transfer-Encoding")
    if operation.needs_length and request.body.length is None:
        raise S3Error("MissingContentLength", "You must provide the Content-Length HTTP header.")


def resource(bucket: str, key: str = "") -> str:
    """The ARN of a bucket, or of one of its keys."""
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
