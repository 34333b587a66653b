"""The store's Security Token Service: AssumeRole for its one role, nothing else.

Errors have STS's own codes and form. Only the long-lived key may call it; sessions cannot be chained.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from syncd.demo.loopback import Answer, Request
from syncd.demo.store.auth import Gate
from syncd.demo.store.documents import Node, document
from syncd.demo.store.keys import Keyring
from syncd.demo.store.policy import MalformedPolicyError
from syncd.demo.store.refusals import S3Error

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_VERSION = "2011-06-15"
_MAX_FORM = 64 << 10
_MAX_POLICY = 2048
_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_PARAMETERS = {"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "Policy"}
# What the gate says in S3's words, in the words of STS.
_CODES = {
    "InvalidAccessKeyId": ("InvalidClientTokenId", 403),
    "InvalidToken": ("InvalidClientTokenId", 403),
    "ExpiredToken": ("ExpiredToken", 403),
    "RequestTimeTooSkewed": ("SignatureDoesNotMatch", 403),
    "AuthorizationHeaderMalformed": ("SignatureDoesNotMatch", 403),
    "AccessDenied": ("AccessDenied", 403),
}


class StsError(Exception):
    """A call of STS is refused."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenService:
    """Gives out sessions of the role; `min_seconds` is 900 on AWS, shorter for tests."""

    gate: Gate
    keyring: Keyring
    role_arn: str
    min_seconds: int
    max_seconds: int
    clock: Callable[[], float]

    def assume_role(self, request: Request, request_id: str) -> Answer:
        """Answer one AssumeRole. Raises StsError, and S3Error for a signature that is not good."""
        if (request.body.length or 0) > _MAX_FORM:
            raise StsError("ValidationError", "The request is too big")
        content = request.body.read()
        principal = self.gate.admit(request, service="sts", content_hash=hashlib.sha256(content).hexdigest())
        form = _read_form(content)
        if principal.session is not None:
            raise StsError(
                "AccessDenied",
                "A session of this store is not authorized to perform sts:AssumeRole",
                status=403,
            )
        if form.get("RoleArn") != self.role_arn:
            raise StsError(
                "AccessDenied",
                f"Not authorized to perform sts:AssumeRole on {form.get('RoleArn')}",
                status=403,
            )
        return self._issue(form, request_id)

    def _issue(self, form: dict[str, str], request_id: str) -> Answer:
        name, policy = form.get("RoleSessionName", ""), form.get("Policy")
        if not _NAME.fullmatch(name):
            raise StsError("ValidationError", r"RoleSessionName must match [\w+=,.@-]{2,64}")
        if policy is not None and not 1 <= len(policy) <= _MAX_POLICY:
            raise StsError("ValidationError", f"Policy must have 1 to {_MAX_POLICY} characters")
        now = self.clock()
        # Whole seconds, so that the session ends exactly when the answer says.
        expires_at = float(int(now) + self._duration(form))
        try:
            session = self.keyring.issue(name=name, policy=policy, expires_at=expires_at, now=now)
        except MalformedPolicyError as error:
            raise StsError("MalformedPolicyDocument", str(error)) from error
        user: list[Node] = [
            ("AssumedRoleId", f"AROASYNCDDEMOROLE:{name}"),
            ("Arn", f"{self.role_arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{name}"),
        ]
        credentials: list[Node] = [
            ("AccessKeyId", session.access_key),
            ("SecretAccessKey", session.secret_key),
            ("SessionToken", session.token),
            ("Expiration", _timestamp(expires_at)),
        ]
        result: list[Node] = [("AssumedRoleUser", user), ("Credentials", credentials)]
        if policy is not None:
            result.append(("PackedPolicySize", 100 * len(policy) // _MAX_POLICY))
        metadata: list[Node] = [("RequestId", request_id)]
        children: list[Node] = [("AssumeRoleResult", result), ("ResponseMetadata", metadata)]
        return _answer(200, document("AssumeRoleResponse", children, namespace=_NAMESPACE))

    def _duration(self, form: dict[str, str]) -> int:
        text = form.get("DurationSeconds", "3600")
        seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1  # noqa: PLR2004
        if not self.min_seconds <= seconds <= self.max_seconds:
            raise StsError(
                "ValidationError",
                f"DurationSeconds must be between {self.min_seconds} and {self.max_seconds}, not {text}",
            )
        return seconds


def refusal(error: S3Error | StsError) -> StsError:
    """What STS says where the gate, or this module, said no."""
    if isinstance(error, StsError):
        return error
    code, status = _CODES.get(error.code, (error.code, error.status))
    return StsError(code, error.message, status=status)


def error_answer(error: StsError, request_id: str) -> Answer:
    """The refusal as STS writes it."""
    fault = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004
    inner: list[Node] = [("Type", fault), ("Code", error.code), ("Message", error.message)]
    children: list[Node] = [("Error", inner), ("RequestId", request_id)]
    return _answer(error.status, document("ErrorResponse", children, namespace=_NAMESPACE))


def _answer(status: int, body: bytes) -> Answer:
    return Answer(status=status, headers={"Content-Type": "text/xml"}, body=body)


def _read_form(content: bytes) -> dict[str, str]:
    try:
        form = dict(parse_qsl(content.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise StsError("MalformedQueryString", "The body is no form") from None
    if form.get("Action") != "AssumeRole" or form.get("Version") != _VERSION:
        raise StsError("InvalidAction", f"Could not find operation {form.get('Action')}")
    # Session tags would only matter to conditions, which policies here cannot have.
    unknown = {name for name in form if name not in _PARAMETERS and not name.startswith("Tags.")}
    if unknown:
        raise StsError("ValidationError", f"This store does not know {', '.join(sorted(unknown))}")
    return form


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
