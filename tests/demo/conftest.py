"""A store with tiny parts and short sessions, real boto3 clients and a raw wire to it, and a clock that tests move."""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
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


@pytest.fixture(scope="session")
def boto() -> Any:
    return boto3.session.Session(region_name="us-east-1")  # shared: it caches the service models


@pytest.fixture
def connect(boto: Any) -> Iterator[Callable[..., Any]]:
    """Makes clients of a store, by its long-lived key or the given ones; closed at the end."""
    with ExitStack() as stack:

        def make(store: Store, keys: dict[str, str] | None = None, service: str = "s3", **config: Any) -> Any:
            settings: dict[str, Any] = {
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "retries": {"total_max_attempts": 1},
                "s3": {"addressing_style": "path"},
                "proxies": {},
                "parameter_validation": False,
            }
            long_lived = {"aws_access_key_id": store.access_key, "aws_secret_access_key": store.secret_key}
            client = boto.client(
                service, endpoint_url=store.url, config=Config(**settings | config), **(keys or long_lived)
            )
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def s3(store: Store, connect: Callable[..., Any]) -> Any:
    return connect(store)


@pytest.fixture
def sts(store: Store, connect: Callable[..., Any]) -> Any:
    return connect(store, service="sts")


@pytest.fixture
def assume(store: Store, sts: Any) -> Callable[..., dict[str, str]]:
    """Calls AssumeRole; gives the keys as boto3 takes them."""

    def call(**parameters: Any) -> dict[str, str]:
        wanted = {"RoleArn": store.role_arn, "RoleSessionName": "device", "DurationSeconds": 60}
        answer = sts.assume_role(**wanted | parameters)["Credentials"]
        return {
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }

    return call


@pytest.fixture
def refused() -> Callable[..., tuple[int, str]]:
    """Makes a call that must be refused; gives status and code."""

    def call(operation: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
        with pytest.raises(ClientError) as caught:
            operation(**arguments)
        response = caught.value.response
        return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]

    return call


def _crc(data: bytes, polynomial: int, size: int) -> bytes:
    """A reflected CRC bit by bit, as the definition has it."""
    register = mask = (1 << 8 * size) - 1
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (polynomial if register & 1 else 0)
    return (register ^ mask).to_bytes(size, "big")


@pytest.fixture
def checksum() -> Callable[[str, bytes], str]:
    """Computes a checksum's header value without the store's arithmetic."""
    functions: dict[str, Callable[[bytes], bytes]] = {
        "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
        "CRC32C": lambda data: _crc(data, 0x82F63B78, 4),
        "CRC64NVME": lambda data: _crc(data, 0x9A6C9329AC4BC9B5, 8),
        "SHA1": lambda data: hashlib.sha1(data).digest(),
        "SHA256": lambda data: hashlib.sha256(data).digest(),
        "MD5": lambda data: hashlib.md5(data).digest(),
    }
    return lambda name, data: base64.b64encode(functions[name](data)).decode()


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return self.body.decode().partition("<Code>")[2].partition("</Code>")[0]


class Signer(S3SigV4Auth):
    """botocore's own signer, which lets a test say what the content hash shall be."""

    content_hash: str | None = None

    def payload(self, request: Any) -> str:
        return self.content_hash or super().payload(request)


@dataclass
class Wire:
    """Sends requests that boto3 would not: signed by botocore, changed afterwards, sent as they are."""

    store: Store
    keys: dict[str, str] = field(default_factory=dict)

    def sign(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        content_hash: str | None = None,
    ) -> dict[str, str]:
        keys = self.keys or {"access_key": self.store.access_key, "secret_key": self.store.secret_key}
        request = AWSRequest(method, self.store.url + target, dict(headers or {}), body)
        request.context["client_config"] = Config(s3={"addressing_style": "path"})
        request.context["has_streaming_input"] = False
        signer = Signer(Credentials(**keys), "s3", "us-east-1")
        signer.content_hash = content_hash
        signer.add_auth(request)
        return dict(request.headers.items())

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        with closing(http.client.HTTPConnection("127.0.0.1", self.store.port, timeout=20)) as connection:
            connection.request(method, target, body or None, headers)
            with connection.getresponse() as response:
                return Reply(
                    response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
                )

    def call(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        content_hash: str | None = None,
    ) -> Reply:
        """Sign and send."""
        return self.send(method, target, self.sign(method, target, headers, body, content_hash), body)


@pytest.fixture
def wire(store: Store) -> Wire:
    return Wire(store)
