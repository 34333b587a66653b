"""The servers that the contract of `ObjectStore` is held against, and what each is known to do otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer
from support.fake_store import FakeStore, Kept

from syncd.adapters.s3.answers import FIELD
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.outages import LostAnswer
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.sums import AwsSums
from syncd.demo.store import Store
from syncd.errors import ChecksumIgnored, Doubtful
from syncd.model import Algorithm, CredentialSet, Target

BUCKET = "captures"
SUMMED = [algorithm.value for algorithm in FIELD]
DID_NOT_RAISE = pytest.fail.Exception

# What moto 5.2 is known to do otherwise: the clause of the contract, and how keeping it fails there. A deviation is
# asserted like anything else: once moto mends its ways the line must go.
NO_ECHO = (ChecksumIgnored, "does not confirm the")
MOTO: dict[str, tuple[type[BaseException], str]] = {
    **{f"put with {name}": NO_ECHO for name in SUMMED},
    **{f"multipart with {name}": NO_ECHO for name in SUMMED},
    **{f"put with a wrong {name}": NO_ECHO for name in SUMMED},  # accepted, and not echoed
    **{f"part with a wrong {name}": NO_ECHO for name in SUMMED},
    **{f"complete with a wrong {name}": NO_ECHO for name in SUMMED},
    "put with a wrong md5": (DID_NOT_RAISE, "DID NOT RAISE"),
    "part with a wrong md5": (DID_NOT_RAISE, "DID NOT RAISE"),
    "complete under if-match": (DID_NOT_RAISE, "DID NOT RAISE"),
    "parts out of order": (DID_NOT_RAISE, "DID NOT RAISE"),
    "a wrong size": (DID_NOT_RAISE, "DID NOT RAISE"),
    "complete after abort": (Doubtful, "HTTP 500"),
    "a part after abort": (LostAnswer, "HTTP 500"),
    "the time of an upload": (AssertionError, "1289422113"),  # always 2010-11-10
}


@dataclass
class FixedCredentials:
    """Our port over one set that never changes."""

    only: CredentialSet

    def current(self) -> CredentialSet:
        return self.only

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:
        return self.only


@dataclass
class Destination:
    """A store under test, and the server behind it as its administrator sees it."""

    name: str
    store: S3Store | FakeStore
    admin: object
    deviations: dict[str, tuple[type[BaseException], str]]
    assume: Callable[[str], S3Store] | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def clause(self, words: str) -> Iterator[None]:
        """What must hold, unless this server is known to break it: then it must break it just so."""
        if words not in self.deviations:
            yield
            return
        kind, why = self.deviations[words]
        with pytest.raises(kind, match=why):
            yield

    def target(self, algorithm: Algorithm = Algorithm.MD5, key: str | None = None) -> Target:
        """A key that no other test uses."""
        number = next(self.numbers)
        return Target(
            bucket=BUCKET,
            key=key or f"cam-07/{number}.bin",
            algorithm=algorithm,
            token=f"token-{number}",
            metadata={"syncd-device": "cam-07"},
            content_type="video/mp4",
        )

    def content(self, target: Target) -> bytes:
        return self.admin.get_object(Bucket=target.bucket, Key=target.key)["Body"].read()


@dataclass
class BytesBody:
    """A body in memory with its sum; `claimed` replaces the sum by a wrong one."""

    data: bytes
    algorithm: Algorithm
    claimed: str | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def checksum(self) -> str:
        if self.claimed is not None:
            return self.claimed
        running = AwsSums().new(self.algorithm)
        running.update(self.data)
        return running.value()

    def sent(self, count: int) -> None:
        """Not of interest here."""

    def read_at(self, offset: int, size: int) -> memoryview:
        return memoryview(self.data)[offset : offset + size]


def open_at(url: str, access_key: str, secret_key: str, token: str | None = None) -> S3Store:
    only = CredentialSet(access_key=access_key, secret_key=secret_key, session_token=token, expires_at=None)
    settings = Settings(endpoint_url=url, connect_timeout=10, read_timeout=20)
    return S3Store(Clients(settings, FixedCredentials(only)))


def admin_of(url: str, access_key: str, secret_key: str, service: str = "s3") -> object:
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="session")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Destination]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Store(tmp_path_factory.mktemp("strict"), min_part_size=5))
        keys = (server.url, server.access_key, server.secret_key)
        store = open_at(*keys)
        stack.callback(store.close)
        sts = admin_of(*keys, service="sts")
        stack.callback(sts.close)
        admin = admin_of(*keys)
        stack.callback(admin.close)

        def assume(policy: str) -> S3Store:
            given = sts.assume_role(RoleArn=server.role_arn, RoleSessionName="cam-07", Policy=policy)[
                "Credentials"
            ]
            limited = open_at(
                server.url, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
            )
            stack.callback(limited.close)
            return limited

        yield Destination("strict", store, admin, {}, assume)


@pytest.fixture(scope="session")
def moto() -> Iterator[Destination]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = (f"http://{host}:{port}", "AKIATEST", "secret")
    store = open_at(*keys)
    admin = admin_of(*keys)
    admin.create_bucket(Bucket=BUCKET)
    yield Destination("moto", store, admin, MOTO)
    store.close()
    admin.close()
    server.stop()


@dataclass
class FakeAdmin:
    """What the tests do as the fake's administrator."""

    fake: FakeStore

    def get_object(self, Bucket: str, Key: str) -> dict[str, io.BytesIO]:  # noqa: N803 - as boto3 calls them
        return {"Body": io.BytesIO(self.fake.objects[Bucket, Key].data)}

    def head_object(self, Bucket: str, Key: str) -> dict[str, object]:  # noqa: N803
        kept = self.fake.objects[Bucket, Key]
        return {"ContentType": kept.content_type, "Metadata": kept.metadata}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        etag = f'"{hashlib.md5(Body).hexdigest()}"'
        self.fake.objects[Bucket, Key] = Kept(Body, etag, {}, Algorithm.NONE, "", None)


@pytest.fixture(scope="session")
def fake() -> Destination:
    """The store in memory that sweeps of thousands of trials run on: no rumour, but held to the same contract."""
    store = FakeStore(buckets={BUCKET})
    return Destination(
        "fake", store, FakeAdmin(store), {"the time of an upload": (AssertionError, "2000000000")}
    )


@pytest.fixture(params=["strict", "moto"])
def served(request: pytest.FixtureRequest) -> Destination:
    """One behind HTTP, where answers come in pages."""
    found: Destination = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["strict", "moto", "fake"])
def destination(request: pytest.FixtureRequest) -> Destination:
    found: Destination = request.getfixturevalue(request.param)
    return found
