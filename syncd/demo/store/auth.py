"""Signature Version 4, the header form, judged by own arithmetic: who signed this request, and did they really.

Refused: requests without a signature, presigned URLs, Signature Version 2, signed chunked bodies.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from syncd.demo.loopback import Request
from syncd.demo.store.keys import Keyring, Principal
from syncd.demo.store.refusals import S3Error, not_implemented

UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_SKEW = 900.0
_ALGORITHM = "AWS4-HMAC-SHA256"
_CREDENTIAL = re.compile(r"([A-Za-z0-9]{4,128})/(\d{8})/([a-z0-9-]+)/([a-z0-9]+)/aws4_request")
_STAMP = re.compile(r"\d{8}T\d{6}Z")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an Authorization header says."""

    access_key: str
    day: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """The credential's scope, as it is signed."""
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


class Gate:
    """Lets in whom the keyring knows, within 15 minutes of the store's clock, for one region."""

    def __init__(self, keyring: Keyring, *, region: str, clock: Callable[[], float]) -> None:
        self._keyring = keyring
        self._region = region
        self._clock = clock

    def admit(self, request: Request, *, service: str, content_hash: str | None = None) -> Principal:
        """Who signed the request. Raises S3Error with AWS's code for what is wrong with it.

        `content_hash` is for services whose requests do not state it in a header.
        """
        claim = read_claim(request)
        content_hash = content_hash if content_hash is not None else stated_content_hash(request)
        self._check_scope(claim, service)
        principal = self._keyring.find(claim.access_key)
        if principal is None:
            raise S3Error(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
                AWSAccessKeyId=claim.access_key,
            )
        self._check_session(principal, request)
        stamp = self._check_time(claim, request)
        _check_coverage(claim, request)
        canonical = canonical_request(request, claim.signed, content_hash)
        expected = sign(claim, principal.secret_key, stamp, canonical)
        if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
            raise S3Error(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                CanonicalRequest=canonical,
            )
        return principal

    def _check_scope(self, claim: Claim, service: str) -> None:
        if claim.service != service:
            raise S3Error(
                "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; incorrect service {claim.service!r}. "
                f"This endpoint belongs to {service!r}.",
            )
        if claim.region != self._region:
            raise S3Error(
                "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; the region {claim.region!r} is wrong; "
                f"expecting {self._region!r}",
                Region=self._region,
            )

    def _check_session(self, principal: Principal, request: Request) -> None:
        given = request.headers.get("x-amz-security-token", "")
        wanted = principal.session.token if principal.session is not None else ""
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise S3Error("InvalidToken", "The provided token is malformed or otherwise invalid.")
        if principal.session is not None and principal.session.expires_at <= self._clock():
            raise S3Error("ExpiredToken", "The provided token has expired.")

    def _check_time(self, claim: Claim, request: Request) -> str:
        stamp = request.headers.get("x-amz-date", "")
        if not _STAMP.fullmatch(stamp):
            raise S3Error("AccessDenied", "AWS authentication requires a valid x-amz-date header")
        try:
            signed_at = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
        except ValueError:
            raise S3Error("AccessDenied", "AWS authentication requires a valid x-amz-date header") from None
        if abs(self._clock() - signed_at) > MAX_SKEW:
            raise S3Error(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                RequestTime=stamp,
                ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock())),
                MaxAllowedSkewMilliseconds=int(MAX_SKEW * 1000),
            )
        if not stamp.startswith(claim.day):
            raise S3Error("SignatureDoesNotMatch", "The credential's date is not the date of the request.")
        return stamp


def stated_content_hash(request: Request) -> str:
    """What an S3 request says about its body: a SHA-256 in hex, or UNSIGNED. Raises S3Error for anything else."""
    stated = request.headers.get("x-amz-content-sha256")
    if stated is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if stated.startswith("STREAMING-"):
        raise not_implemented(f"aws-chunked bodies ({stated})")
    if stated != UNSIGNED and not _HASH.fullmatch(stated):
        raise S3Error(
            "InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value."
        )
    return stated


def read_claim(request: Request) -> Claim:
    """Take the Authorization header apart. Raises S3Error when it is missing or no Signature Version 4."""
    header = request.headers.get("authorization")
    if header is None:
        raise S3Error("AccessDenied", "Access Denied: the request is not signed")
    algorithm, _, rest = header.partition(" ")
    if algorithm != _ALGORITHM:
        raise S3Error(
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        )
    fields = dict(item.strip().partition("=")[::2] for item in rest.split(","))
    credential = _CREDENTIAL.fullmatch(fields.get("Credential", ""))
    if credential is None or not {"SignedHeaders", "Signature"} <= fields.keys():
        raise S3Error(
            "AuthorizationHeaderMalformed", "The authorization header that you provided is not valid."
        )
    access_key, day, region, service = credential.groups()
    return Claim(
        access_key=access_key,
        day=day,
        region=region,
        service=service,
        signed=tuple(fields["SignedHeaders"].split(";")),
        signature=fields["Signature"],
    )


def canonical_request(request: Request, signed: tuple[str, ...], content_hash: str) -> str:
    """The canonical form that S3 signs: the path decoded and encoded once, query and headers in order."""
    headers = [f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed]
    return "\n".join(
        [
            request.method,
            _encode(unquote_to_bytes(request.path), safe="/~"),
            _canonical_query(request.query),
            "".join(headers),
            ";".join(signed),
            content_hash,
        ]
    )


def sign(claim: Claim, secret_key: str, stamp: str, canonical: str) -> str:
    """The signature in hex that the holder of the secret would have made."""
    digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
    text = f"{_ALGORITHM}\n{stamp}\n{claim.scope}\n{digest}"
    key = f"AWS4{secret_key}".encode()
    for step in (*claim.scope.split("/"), text):
        key = hmac.digest(key, step.encode(), "sha256")
    return key.hex()


def _check_coverage(claim: Claim, request: Request) -> None:
    unsigned = [
        name
        for name in sorted(request.headers)
        if (name == "host" or name.startswith("x-amz-")) and name not in claim.signed
    ]
    if unsigned:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(unsigned),
        )


def _canonical_query(query: str) -> str:
    pairs = []
    for item in query.split("&") if query else []:
        name, _, value = item.partition("=")
        pairs.append((_encode(unquote_to_bytes(name)), _encode(unquote_to_bytes(value))))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encode(raw: bytes, safe: str = "~") -> str:
    return quote(raw, safe=safe)
