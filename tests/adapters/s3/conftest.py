"""A scripted HTTP server and small fakes of our ports, for everything about S3 that a real store would never do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import pytest

from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.sums import AwsSums
from syncd.errors import LockedOut
from syncd.model import Algorithm, CredentialSet, Target


@dataclass
class Seen:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = True


@dataclass
class Reply:
    """What to answer. `raw` replaces all of it; `before_body` answers without reading the body, `drop` with nothing."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False
    before_body: bool = False
    hang: bool = False

    def encode(self) -> bytes:
        if self.raw is not None:
            return self.raw
        head = {
            "Content-Length": str(len(self.body)),
            "Date": "Tue, 24 Nov 2026 12:00:00 GMT",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in head.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def error(status: int, code: str, message: str = "told you", extra: str = "", **headers: str) -> Reply:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message>{extra}</Error>'
    return Reply(status, body.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class ScriptedServer:
    """Answers one scripted reply after the other; the last one for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.replies: list[Reply] = []
        self.seen: list[Seen] = []
        self.connections = 0
        self.released = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def begin(self) -> None:
        """Forget what was before: one server serves all tests."""
        self.replies, self.seen, self.connections = [], [], 0
        self.released.clear()

    def script(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def close(self) -> None:
        self.released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:  # the client hung up on our certificate
                connection.close()
                return
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            while self._one(connection, stream):
                pass

    def _one(self, connection: socket.socket, stream: BinaryIO) -> bool:
        line = stream.readline().decode().strip()
        if not line:
            return False
        headers = {}
        while header := stream.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        request = Seen(line, headers)
        self.seen.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if not reply.before_body:
            if headers.get("expect") == "100-continue":
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(headers.get("content-length", 0))
            request.whole = False
            request.body = stream.read(length)
            request.whole = len(request.body) == length
        if reply.hang:
            self.released.wait(30)
        if reply.drop or not request.whole:
            return False
        connection.sendall(reply.encode())
        return reply.raw is None


@pytest.fixture(scope="session")
def _one_server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


@pytest.fixture
def server(_one_server: ScriptedServer) -> Iterator[ScriptedServer]:
    _one_server.begin()
    yield _one_server
    _one_server.released.set()


@dataclass
class FakeCredentials:
    """Our port, with a script: `sets` in order of renewal, `refusal` raised when they run out."""

    sets: list[CredentialSet]
    renewed: list[CredentialSet] = field(default_factory=list)
    condemned: list[CredentialSet] = field(default_factory=list)
    refusal: LockedOut | None = None
    missing: LockedOut | None = None

    def current(self) -> CredentialSet:
        if self.missing is not None:
            raise self.missing
        return self.sets[0]

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:
        self.renewed.append(rejected)
        if dead:
            self.condemned.append(rejected)
        if self.refusal is not None:
            raise self.refusal
        if len(self.sets) > 1:
            self.sets.pop(0)
        return self.sets[0]


def credential_set(name: str = "ONE", region: str | None = None) -> CredentialSet:
    return CredentialSet(
        access_key=f"AKIA{name}",
        secret_key=f"canary-secret-{name}",
        session_token=f"canary-token-{name}",
        expires_at=None,
        region=region,
    )


@pytest.fixture(scope="session")
def _one_store(_one_server: ScriptedServer) -> Iterator[tuple[S3Store, FakeCredentials]]:
    # A client costs a tenth of a second or more to build: one for all tests.
    credentials = FakeCredentials([])
    settings = Settings(endpoint_url=_one_server.url, connect_timeout=5, read_timeout=5)
    store = S3Store(Clients(settings, credentials))
    yield store, credentials
    store.close()


@pytest.fixture
def credentials(_one_store: tuple[S3Store, FakeCredentials]) -> FakeCredentials:
    shared = _one_store[1]
    shared.sets, shared.renewed, shared.refusal, shared.missing = [credential_set()], [], None, None
    return shared


@pytest.fixture
def store(_one_store: tuple[S3Store, FakeCredentials], credentials: FakeCredentials) -> S3Store:
    return _one_store[0]


@pytest.fixture
def make_store(server: ScriptedServer, credentials: FakeCredentials) -> Iterator[Callable[..., S3Store]]:
    opened: list[S3Store] = []

    def make(**settings: object) -> S3Store:
        settings = {"endpoint_url": server.url, "connect_timeout": 5, "read_timeout": 5, **settings}
        opened.append(S3Store(Clients(Settings(**settings), credentials)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@dataclass
class BytesBody:
    """A body in memory, with its sum; may change while it is read."""

    data: bytes
    algorithm: Algorithm = Algorithm.CRC32
    fail_at: int | None = None
    failure: Exception | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def checksum(self) -> str:
        running = AwsSums().new(self.algorithm)
        running.update(self.data)
        return running.value()

    def sent(self, count: int) -> None:
        """Not of interest here."""

    def read_at(self, offset: int, size: int) -> memoryview:
        self.asked.append((offset, size))
        if self.fail_at is not None and offset >= self.fail_at:
            assert self.failure is not None
            raise self.failure
        return memoryview(self.data)[offset : offset + size]


def target(algorithm: Algorithm = Algorithm.CRC32, key: str = "cam/a.bin") -> Target:
    return Target(
        bucket="captures", key=key, algorithm=algorithm, token="the-token", metadata={"syncd-device": "cam"}
    )
