"""The demo's credential API: knows one token, calls AssumeRole at the store, answers as the contract says.

`POST /v1/credentials` with a bearer token and {"device": ...} gives the AssumeRole answer plus Destination, the
session cut down to the device's own prefix; `GET` gives the container form. Tests step in with the words of the store's
faults: every request is a Record of the operation "Credentials". It is no model for a deployment: one
token opens every device, and there is no TLS.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import structlog

from syncd.demo.loopback import Answer, LoopbackServer, Request
from syncd.demo.store.faults import Fault, Faults, Record
from syncd.demo.store.suffer import befall, dress

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

log = structlog.get_logger()

PATH = "/v1/credentials"
OPERATION = "Credentials"
_MAX_BODY = 4096
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,57}")
_ACTIONS = (
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:GetObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)

# What a test puts in the way: sees the request, answers it, or lets it pass with None.
Override = Callable[[Request], Answer | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Where sessions come from, and for what: the store's STS, its long-lived key, its role and bucket."""

    url: str
    access_key: str
    secret_key: str = field(repr=False)
    role_arn: str
    bucket: str
    region: str


class RefusedError(Exception):
    """The endpoint says no: an HTTP status with a code and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Endpoint:
    """The credential API on loopback between `start` and `stop`; its port stays the same over stops.

    `issued` counts the sessions given out, `calls` every request. `override` may answer in its place, `faults` do what
    they do to the store. `bucket_actions` are what its sessions may do to the bucket itself.
    """

    def __init__(
        self,
        issuer: Issuer,
        *,
        token: str,
        device: str = "demo",
        session_seconds: int = 60,
        bucket_actions: tuple[str, ...] = (),
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issued = 0
        self.calls = 0
        self.token = token
        self.session_seconds = session_seconds
        self.override: Override | None = None
        self.faults: Faults | None = None
        self.bucket_actions = bucket_actions
        self._issuer = issuer
        self._device = device
        self._clock = clock
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._client: STSClient | None = None
        self._server = LoopbackServer(self._respond, port=port, clock=clock)

    @property
    def url(self) -> str:
        """What the daemon is configured with; known after the first start."""
        return self._server.url + PATH

    def start(self) -> None:
        """Listen; after a `stop`, on the same port as before."""
        self._stopping.clear()
        self._server.start()

    def stop(self) -> None:
        """Go away: stop listening and hang up; again is harmless."""
        self._stopping.set()
        self._server.stop()
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _respond(self, request: Request) -> Answer:
        with self._lock:
            self.calls += 1
        faults = self.faults
        if faults is None:
            return self._answer(request)
        record = self._record(request)
        answer = self._meet(faults.before(record), request, lambda: self._answer(request))
        record.status = answer.status
        return self._meet(faults.after(record), request, lambda: answer)

    def _record(self, request: Request) -> Record:
        return Record(
            at=self._clock(),
            request_id=secrets.token_hex(8),
            method=request.method,
            operation=OPERATION,
            length=request.body.length or 0,
        )

    def _meet(self, fault: Fault | None, request: Request, otherwise: Callable[[], Answer]) -> Answer:
        """Let the fault happen to the request; where that does not end it, to the answer that comes otherwise."""
        if fault is None:
            return otherwise()
        befall(fault, request.body, self._stopping)
        return dress(fault, _instead(fault, fault.status) if fault.status is not None else otherwise())

    def _answer(self, request: Request) -> Answer:
        try:
            instead = self.override(request) if self.override is not None else None
            return instead if instead is not None else self._credentials(request)
        except RefusedError as refused:
            return error_answer(refused.status, refused.code, str(refused))

    def _credentials(self, request: Request) -> Answer:
        if request.path != PATH:
            raise RefusedError(404, "not_found", f"there is only {PATH} here")
        if request.method not in {"GET", "POST"}:
            raise RefusedError(405, "method_not_allowed", "POST or GET")
        self._authenticate(request)
        device = self._device if request.method == "GET" else _read_device(request)
        document = self._assume(device)
        with self._lock:
            self.issued += 1
        if request.method == "GET":
            return json_answer(200, _container_form(document["Credentials"]))
        return json_answer(200, document)

    def _authenticate(self, request: Request) -> None:
        wanted = f"Bearer {self.token}".encode()
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), wanted):
            raise RefusedError(401, "unauthorized", "the token is missing or wrong")

    def _assume(self, device: str) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - heavy, and only needed here

        prefix = f"{device}/"
        try:
            answer = self._sts().assume_role(
                RoleArn=self._issuer.role_arn,
                RoleSessionName=f"syncd-{device}"[:64],
                DurationSeconds=self.session_seconds,
                Policy=session_policy(self._issuer.bucket, prefix, self.bucket_actions),
            )
        except (BotoCoreError, ClientError) as error:
            log.warning("assume_role_failed", device=device, error=str(error))
            raise RefusedError(503, "unavailable", "no credentials can be had at the moment") from error
        credentials = dict(answer["Credentials"])
        credentials["Expiration"] = answer["Credentials"]["Expiration"].isoformat()
        return {
            "Credentials": credentials,
            "AssumedRoleUser": answer["AssumedRoleUser"],
            "Destination": {"Bucket": self._issuer.bucket, "Prefix": prefix, "Region": self._issuer.region},
        }

    def _sts(self) -> STSClient:
        with self._lock:
            if self._client is None:
                self._client = _sts_client(self._issuer)
            return self._client


def session_policy(bucket: str, prefix: str, bucket_actions: tuple[str, ...] = ()) -> str:
    """What a session may do below the prefix, as compact JSON (some gateways refuse policies with spaces)."""
    statements = [_allow(_ACTIONS, f"arn:aws:s3:::{bucket}/{prefix}*")]
    if bucket_actions:
        statements.append(_allow(bucket_actions, f"arn:aws:s3:::{bucket}"))
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _allow(actions: tuple[str, ...], arn: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": arn}


def _instead(fault: Fault, status: int) -> Answer:
    answer = error_answer(status, fault.code, fault.message, fault.headers)
    return answer if fault.body is None else replace(answer, body=fault.body, repeat=fault.repeat)


def json_answer(status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
    """The document as an answer; nobody on the way may keep it."""
    base = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(status=status, headers=base | (headers or {}), body=json.dumps(document).encode())


def error_answer(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """A refusal in the contract's form."""
    return json_answer(status, {"error": {"code": code, "message": message}}, headers)


def _read_device(request: Request) -> str:
    if request.body.length is None or request.body.length > _MAX_BODY:
        raise RefusedError(400, "bad_request", f"a body of at most {_MAX_BODY} bytes is needed")
    try:
        document = json.loads(request.body.read())
    except (ValueError, RecursionError):
        raise RefusedError(400, "bad_request", "the body is not JSON") from None
    device = document.get("device") if isinstance(document, dict) else None
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise RefusedError(400, "bad_device", "device must match [A-Za-z0-9][A-Za-z0-9._-]{0,57}")
    return device


def _container_form(credentials: dict[str, Any]) -> dict[str, Any]:
    return {
        "AccessKeyId": credentials["AccessKeyId"],
        "SecretAccessKey": credentials["SecretAccessKey"],
        "Token": credentials["SessionToken"],
        "Expiration": credentials["Expiration"],
    }


def _sts_client(issuer: Issuer) -> STSClient:
    import boto3  # noqa: PLC0415 - heavy, and only needed here
    from botocore.config import Config  # noqa: PLC0415

    # Without validation, because botocore insists on 900 s and the store may allow less.
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, proxies={})
    session = boto3.session.Session(
        aws_access_key_id=issuer.access_key,
        aws_secret_access_key=issuer.secret_key,
        region_name=issuer.region,
    )
    return session.client("sts", endpoint_url=issuer.url, config=config)
