"""A store with tiny parts and short sessions, real boto3 clients at it, and a clock that tests can move."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from syncd.demo.store import Store

MIN_PART = 5


@dataclass
class MovableClock:
    """Real time plus an offset."""

    offset: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def store(tmp_path: Path, clock: MovableClock) -> Iterator[Store]:
    with Store(tmp_path / "store", min_part_size=MIN_PART, min_session_seconds=1, clock=clock) as running:
        yield running


ClientMaker = Callable[..., Any]


@pytest.fixture
def connect() -> Iterator[ClientMaker]:
    """Makes clients of a store: with its long-lived key, or with given credentials; closed at the end."""
    with ExitStack() as stack:

        def make(
            store: Store, credentials: dict[str, str] | None = None, service: str = "s3", **config: Any
        ) -> Any:
            settings: dict[str, Any] = {
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "retries": {"total_max_attempts": 1},
                "s3": {"addressing_style": "path"},
                "proxies": {},
            }
            keys = credentials or {
                "aws_access_key_id": store.access_key,
                "aws_secret_access_key": store.secret_key,
            }
            client = boto3.session.Session(region_name=store.region, **keys).client(
                service, endpoint_url=store.url, config=Config(**settings | config)
            )
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def s3(store: Store, connect: ClientMaker) -> Any:
    return connect(store)


@pytest.fixture
def sts(store: Store, connect: ClientMaker) -> Any:
    return connect(store, service="sts", parameter_validation=False)


@pytest.fixture
def session(store: Store, connect: ClientMaker, sts: Any) -> Callable[..., Any]:
    """Makes S3 clients that hold a fresh session; the parameters are AssumeRole's."""

    def make(**parameters: Any) -> Any:
        wanted = {"RoleArn": store.role_arn, "RoleSessionName": "device", "DurationSeconds": 60}
        answer = sts.assume_role(**wanted | parameters)["Credentials"]
        return connect(
            store,
            {
                "aws_access_key_id": answer["AccessKeyId"],
                "aws_secret_access_key": answer["SecretAccessKey"],
                "aws_session_token": answer["SessionToken"],
            },
        )

    return make


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str


def refusal(call: Callable[..., Any], **arguments: Any) -> Refusal:
    """How the call is refused; a call that succeeds fails the test."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return Refusal(response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"])


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
