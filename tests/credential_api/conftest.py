"""An application over fakes: devices in a dict, an STS that a test tells what to answer, a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict
from support.clock import FakeClock

from syncd.credential_api.application import PATH, Application
from syncd.credential_api.devices import Device, digest_of
from syncd.credential_api.issue import Role
from syncd.credential_api.messages import Answer, Request
from syncd.credential_api.presign import S3Presigner
from syncd.credential_api.throttle import Rate, Throttle

TOKEN = "tok-CANARY-of-cam-07"
SECRET = "sec/CANARY+key"
SESSION = "ses//CANARY==token"
ROLE = Role(arn="arn:aws:iam::123456789012:role/syncd-upload", region="eu-central-1")


@dataclass
class FakeDevices:
    """Devices by token; `trouble` is raised instead of any answer."""

    found: dict[str, Device] = field(default_factory=dict)
    trouble: Exception | None = None

    def by_digest(self, digest: str) -> Device | None:
        if self.trouble is not None:
            raise self.trouble
        return {digest_of(token): device for token, device in self.found.items()}.get(digest)


@dataclass
class FakeSts:
    """Gives sessions out of nothing; `trouble` is raised instead."""

    clock: FakeClock
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    trouble: Exception | None = None

    def assume_role(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(arguments)
        if self.trouble is not None:
            raise self.trouble
        ends = datetime.fromtimestamp(self.clock.now(), UTC) + timedelta(seconds=arguments["DurationSeconds"])
        return {
            "Credentials": {
                "AccessKeyId": "ASIA7",
                "SecretAccessKey": SECRET,
                "SessionToken": SESSION,
                "Expiration": ends,
            },
            "AssumedRoleUser": {"Arn": "arn:aws:sts::1:assumed-role/r/s", "AssumedRoleId": "AROA:s"},
        }


class Desk:
    """The application, with what a test may change about it, and the log it wrote."""

    def __init__(self, clock: FakeClock, events: list[EventDict]) -> None:
        self.clock = clock
        self.devices = FakeDevices({TOKEN: Device(name="cam-07", bucket="captures", prefix="cam-07/")})
        self.sts = FakeSts(clock)
        self.events = events
        self.application = Application(
            devices=self.devices,
            sts=self.sts,
            presigner=S3Presigner(ROLE.region),
            role=ROLE,
            throttle=Throttle(Rate(burst=3, every=10.0), monotonic=clock.monotonic),
            clock=clock.now,
        )

    def ask(
        self,
        method: str = "POST",
        path: str = PATH,
        *,
        body: bytes | dict[str, Any] | None = None,
        source: str = "192.0.2.7",
        **headers: str,
    ) -> Answer:
        """As cam-07 does it, unless it is said otherwise; `authorization=""` leaves the header out."""
        content = {"device": "cam-07"} if body is None and method == "POST" else body
        sent = {"authorization": f"Bearer {TOKEN}", **headers}
        return self.application.handle(
            Request(
                method=method,
                path=path,
                headers={name: value for name, value in sent.items() if value},
                body=content
                if isinstance(content, bytes)
                else b""
                if content is None
                else json.dumps(content).encode(),
                source=source,
            )
        )

    def refusal(self, answer: Answer) -> tuple[int, str]:
        """Status and code; every answer must have the contract's form and headers."""
        assert set(answer.document) == {"error"}
        assert set(answer.document["error"]) == {"code", "message"}
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status, answer.document["error"]["code"]


@pytest.fixture
def events() -> Iterator[list[EventDict]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def desk(clock: FakeClock, events: list[EventDict]) -> Desk:
    return Desk(clock, events)
