"""One POST under one deadline: the way to the credential API and back.

Refuses plain http to anything but this machine, unverified TLS, redirects (they are handed back as they came), and
servers that feed byte by byte or without end: every read is against the deadline and against a budget of bytes. A new
connection each time, no proxy: a set lives for minutes, and the token goes to the host in the configuration only.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import urllib.parse
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncd.errors import ConfigError, LockedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from syncd.adapters.credentials.identity import Identity

BODY_LIMIT = 64 * 1024
_ANSWER_LIMIT = 4 * BODY_LIMIT  # all bytes of an answer: header lines, interim answers and chunk sizes too
_CONNECT_SECONDS = 5.0
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the credential API is. `target` is path and query, as the request line has it."""

    tls: bool
    host: str
    port: int
    target: str

    @property
    def source(self) -> str:
        """Host, and the port where it is not the usual one: how people are told of this place."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `body` is at most BODY_LIMIT bytes, `flaw` says why it is not all of what was meant."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    flaw: str | None = None


class Deadline:
    """A moment by a clock that never jumps, after which everything is over."""

    def __init__(self, monotonic: Callable[[], float], seconds: float) -> None:
        self._monotonic = monotonic
        self._at = monotonic() + seconds

    def left(self) -> float:
        """Seconds left, more than none. Raises TimeoutError when there are none."""
        left = self._at - self._monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


def read_endpoint(url: str) -> Endpoint:
    """Take an address apart. Raises ConfigError unless it is https, or http to this machine."""
    wrong = "credentials.api.url:"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError([f"{wrong} has characters that no URL has, expected https://HOST/PATH"])
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError([f"{wrong} is not a URL, expected https://HOST/PATH"]) from None
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ConfigError([f"{wrong} is not a web address, expected https://HOST/PATH"])
    if parts.username is not None or parts.password is not None:
        raise ConfigError([f"{wrong} has a user or password in it, expected the token in token_file"])
    tls = parts.scheme == "https"
    if not tls and parts.hostname != "localhost" and not _is_loopback(parts.hostname):
        raise ConfigError([f"{wrong} plain http to {parts.hostname}, expected https (http to loopback only)"])
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(tls=tls, host=parts.hostname, port=port or (443 if tls else 80), target=target)


def trust(ca_file: Path | None, host: str, identity: Identity | None = None) -> ssl.SSLContext:
    """Whom TLS believes: the file, or the system's store; and who we say we are. Raises LockedOut (`tls`)."""
    context = _believing(ca_file, host)
    if identity is not None:
        identity.show(context)
    return context


def _believing(ca_file: Path | None, host: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as trouble:
        raise LockedOut(
            f"cannot check the certificate of {host}: ca_file {ca_file}: {trouble.strerror or 'unreadable'}",
            code="tls",
            hint="ca_file must be a readable PEM file of CA certificates",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever openssl.cnf allows
    return context


def post(
    endpoint: Endpoint,
    headers: Mapping[str, str],
    body: bytes,
    *,
    deadline: Deadline,
    context: ssl.SSLContext | None,
) -> Answer:
    """Send and take in the answer, whatever its status.

    Raises OSError (TimeoutError at the deadline, SSLError), HTTPException or ValueError, as the library does.
    """
    with closing(_Connection(endpoint, deadline, context)) as connection:
        connection.request("POST", endpoint.target, body=body, headers=dict(headers))
        with closing(connection.getresponse()) as response:
            return _take(response)


def _take(response: http.client.HTTPResponse) -> Answer:
    body, flaw = b"", None
    # A refusal is one whatever becomes of its body.
    with suppress(*(() if response.status == _OK else (OSError, http.client.HTTPException, ValueError))):
        body = response.read(BODY_LIMIT + 1)
        flaw = _flaw(response, len(body))
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=headers, body=body[:BODY_LIMIT], flaw=flaw)


def _flaw(response: http.client.HTTPResponse, size: int) -> str | None:
    if size > BODY_LIMIT:
        return f"is larger than {BODY_LIMIT // 1024} KiB"
    if response.length:
        return "ends too early"
    encoding = response.getheader("Content-Encoding", "identity").strip().lower()
    return None if encoding == "identity" else "is compressed, which was not asked for"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class _Connection(http.client.HTTPConnection):
    """The standard library's HTTP over a line that keeps the deadline."""

    def __init__(self, endpoint: Endpoint, deadline: Deadline, context: ssl.SSLContext | None) -> None:
        super().__init__(endpoint.host, endpoint.port)
        if endpoint.tls:  # for the Host header only
            self.default_port = http.client.HTTPS_PORT
        self._endpoint = endpoint
        self._deadline = deadline
        self._context = context

    def connect(self) -> None:
        """Open the line; called by `request`."""
        plain = _dial(self._endpoint, self._deadline)
        try:
            plain.settimeout(self._deadline.left())
            secure = self._context and self._context.wrap_socket(plain, server_hostname=self._endpoint.host)
        except BaseException:
            plain.close()
            raise
        self.sock = _Line(secure or plain, self._deadline)


def _dial(endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    """Connect to the first address that answers, each within five seconds, all within the deadline."""
    trouble = OSError(f"{endpoint.host} has no address that may be used")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM
    ):
        if not endpoint.tls and not _is_loopback(str(address[0])):
            continue  # a name like localhost may be made to mean another machine
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(min(_CONNECT_SECONDS, deadline.left()))
            line.connect(address)
        except OSError as failure:
            line.close()
            slow = isinstance(failure, TimeoutError)
            trouble = ConnectionError("connection timed out") if slow else failure
        else:
            return line
    raise trouble


class _Line:
    """As much of a socket as http.client uses; each call gets what is left until the deadline."""

    def __init__(self, line: socket.socket, deadline: Deadline) -> None:
        self._line = line
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._line.settimeout(self._deadline.left())
        self._line.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Inflow(self._line, self._deadline))

    def close(self) -> None:
        self._line.close()


class _Inflow(io.RawIOBase):
    """What the server sends, against the deadline (a socket's own timeout begins anew with each byte)."""

    def __init__(self, line: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._line = line
        self._deadline = deadline
        self._bytes = line.makefile("rb", buffering=0)
        self._budget = _ANSWER_LIMIT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower than Buffer
        self._line.settimeout(self._deadline.left())
        got = self._bytes.readinto(buffer) or 0
        self._budget -= got
        if self._budget < 0:
            raise http.client.HTTPException("an answer without end")
        return got

    def close(self) -> None:
        self._bytes.close()
        super().close()
