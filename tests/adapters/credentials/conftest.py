"""A scripted server that speaks whatever bytes a test wants, a clock that a test turns, and a token file."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from syncd.adapters.credentials.api import CredentialApi

TOKEN = "tok-CANARY-bearer-1f2e3d"
SECRET = "sec/CANARY+secret+key"
SESSION = "ses//CANARY==session"
CANARIES = (TOKEN, SECRET, SESSION)

Script = bytes | Callable[[socket.socket], None]


class RealClock:
    """The system's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(seconds)


class FakeClock:
    """Stands still until a test turns it."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.boot = 1000.0

    def turn(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.boot

    def boottime(self) -> float:
        return self.boot

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError(f"nobody may wait in this test: {event}, {seconds}")


class ScriptedServer:
    """Answers the n-th request with the n-th script, the last one over and over, and keeps the requests."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.scripts: list[Script] = []
        self.requests: list[bytes] = []
        self._tls = tls
        self._greeting: bytes | None = None
        self._idle = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}/v1/credentials"

    def answer(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    def greet(self, words: bytes) -> None:
        """Say this at once to whoever comes, and hang up."""
        self._greeting = words

    def close_line(self) -> None:
        """Wait until the conversation is over."""
        self._idle.wait(5)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            line.settimeout(5)
            # A client that hangs up early is part of many a script.
            self._idle.clear()
            with line, suppress(OSError):
                self._converse(line)
            self._idle.set()

    def _converse(self, plain: socket.socket) -> None:
        if self._greeting is not None:
            plain.recv(65536)
            plain.sendall(self._greeting)
            return
        line = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
        with line:
            request = b""
            while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                piece = line.recv(65536)
                if not piece:
                    return
                request += piece
            self.requests.append(request)
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            if callable(script):
                script(line)
            else:
                line.sendall(script)


class Kit:
    """What tests here share (a conftest cannot be imported)."""

    canaries = CANARIES
    token, secret, session = CANARIES
    RealClock = RealClock
    FakeClock = FakeClock

    @staticmethod
    def http(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
        """An answer as bytes; `Retry_After="1"` is a header; one with an empty value is left out."""
        fields = {
            "Date": format_datetime(datetime.now(UTC), usegmt=True),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in fields.items() if value]
        return "\r\n".join([f"HTTP/1.1 {status} Something", *lines, "", ""]).encode() + body

    @staticmethod
    def http_date(seconds: float) -> str:
        return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)

    @staticmethod
    def rfc3339(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

    @classmethod
    def fields(cls, life: float = 3600, **changes: object) -> dict[str, object]:
        """The `Credentials` of an AssumeRole answer that live that many seconds from now."""
        expiration = cls.rfc3339(time.time() + life)
        return {
            "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": SECRET,
            "SessionToken": SESSION,
            "Expiration": expiration,
        } | changes

    @classmethod
    def good(cls, life: float = 3600, **changes: object) -> bytes:
        """A good AssumeRole answer's body."""
        return json.dumps({"Credentials": cls.fields(life, **changes)}).encode()

    @staticmethod
    def chain(trouble: BaseException) -> str:
        """Everything that an exception and what hangs on it could tell."""
        told: list[str] = []
        seen: BaseException | None = trouble
        while seen is not None:
            told += [str(seen), repr(seen), repr(vars(seen)), repr(seen.args), repr(getattr(seen, "doc", ""))]
            seen = seen.__cause__ or seen.__context__
        return "\n".join(told)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    server = ScriptedServer(tls)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running() as server:
        yield server


@pytest.fixture
def serving() -> Callable[[ssl.SSLContext], AbstractContextManager[ScriptedServer]]:
    """A server over TLS."""
    return running


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o640)
    return path


@pytest.fixture
def api(server: ScriptedServer, token_file: Path) -> CredentialApi:
    return CredentialApi(
        url=server.url, device="cam-07", token_file=token_file, timeout=10, clock=RealClock()
    )
