"""The credential API's own application on loopback, in the tests' hands: faults, answers in its place, a count of calls.

One token opens every device: for each request the devices are the one that asks. Tests step in with the words of the
store's faults: every request is a Record of the operation "Credentials".
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import structlog

from syncd.credential_api.application import PATH, Application
from syncd.credential_api.devices import NAME, Device, digest_of
from syncd.credential_api.issue import LIST_ACTION, Role
from syncd.credential_api.messages import Request as ApiRequest
from syncd.credential_api.messages import error_document
from syncd.credential_api.presign import S3Presigner
from syncd.credential_api.sts import AwsSts
from syncd.credential_api.throttle import Rate, Throttle
from syncd.demo.loopback import Answer, LoopbackServer, Request
from syncd.demo.store.faults import Fault, Faults, Record
from syncd.demo.store.suffer import befall, dress

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

OPERATION = "Credentials"
# It lives in the process of tests that look at what the daemon or a verb says.
_SILENT = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

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


@dataclass(frozen=True)
class OneDevice:
    """`Devices` of one, by the digest of its token."""

    digest: str
    device: Device

    def by_digest(self, digest: str) -> Device | None:
        return self.device if digest == self.digest else None


class Endpoint:
    """The credential API on loopback between `start` and `stop`; its port stays the same over stops.

    `issued` counts the sessions given out, `calls` every request. `override` may answer in its place, `faults` do what
    they do to the store. `bucket_actions` are what its sessions may do to the bucket itself, `tagging` whether they
    may tag.
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
        self.tagging = True
        self._issuer = issuer
        self._device = device
        self._clock = clock
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._client: STSClient | None = None
        self._throttle = Throttle(Rate(burst=1_000_000))
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
        instead = self.override(request) if self.override is not None else None
        return instead if instead is not None else self.credentials(request)

    def credentials(self, request: Request) -> Answer:
        """What it answers where nobody stands in the way."""
        asked = ApiRequest(
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=request.body.read() if request.body.length else b"",
            source="127.0.0.1",
        )
        answer = self._application(_name(asked.body) or self._device).handle(asked)
        return Answer(status=answer.status, headers=answer.headers, body=answer.body)

    def _application(self, name: str) -> Application:
        device = Device(
            name=name,
            bucket=self._issuer.bucket,
            prefix=f"{name}/",
            tagging=self.tagging,
            list_uploads=LIST_ACTION in self.bucket_actions,
        )
        return Application(
            devices=OneDevice(digest_of(self.token), device),
            sts=_Counting(self),
            presigner=self._presigner,
            role=Role(
                arn=self._issuer.role_arn, region=self._issuer.region, session_seconds=self.session_seconds
            ),
            throttle=self._throttle,
            clock=self._clock,
            log=_SILENT,
        )

    @cached_property
    def _presigner(self) -> S3Presigner:
        return S3Presigner(self._issuer.region, self._issuer.url)

    def sts(self) -> STSClient:
        """The client of the store's STS, made when it is first needed."""
        with self._lock:
            if self._client is None:
                self._client = _sts_client(self._issuer)
            return self._client


@dataclass
class _Counting:
    """`Sts` that counts on its endpoint what it gave."""

    endpoint: Endpoint

    def assume_role(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        assumed = AwsSts(self.endpoint.sts()).assume_role(arguments)
        with self.endpoint._lock:
            self.endpoint.issued += 1
        return assumed


def _name(body: bytes) -> str | None:
    """The device that the body names, if it may be one."""
    try:
        name = json.loads(body)["device"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) and NAME.fullmatch(name) else None


def _instead(fault: Fault, status: int) -> Answer:
    answer = error_answer(status, fault.code, fault.message, fault.headers)
    return answer if fault.body is None else replace(answer, body=fault.body, repeat=fault.repeat)


def json_answer(status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
    """The document as an answer; nobody on the way may keep it."""
    base = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(status=status, headers=base | (headers or {}), body=json.dumps(document).encode())


def error_answer(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    """A refusal in the contract's form."""
    return json_answer(status, error_document(code, message), headers)


def _sts_client(issuer: Issuer) -> STSClient:
    """As `sts_client` makes it, except that it tries once: a script counts what it did."""
    import boto3
    from botocore.config import Config

    config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, proxies={})
    session = boto3.session.Session(
        aws_access_key_id=issuer.access_key,
        aws_secret_access_key=issuer.secret_key,
        region_name=issuer.region,
    )
    return session.client("sts", endpoint_url=issuer.url, config=config)
