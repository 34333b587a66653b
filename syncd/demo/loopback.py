"""An HTTP/1.1 server on loopback, as the demo's store and credential endpoint both need it.

It keeps connections alive, streams bodies in large blocks, sends `100 Continue` only once somebody asks for the body,
and can be stopped at once with every connection closed. Where it is told to, it behaves badly: drips, breaks off, resets,
falls silent. It refuses chunked bodies (their reader sees no length and
must answer so), TLS, and any address but 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import structlog

log = structlog.get_logger()

BLOCK = 1 << 20
DRAIN_AT_MOST = 1 << 20  # an unread body up to this size is read away, so that the connection can go on
LINGER_SECONDS = (
    1.0  # how long a longer one is read away after the answer, so that no RST overtakes the answer
)
DROPS_PER_S = 20
_LINGER_ZERO = struct.pack("ii", 1, 0)


class DroppedError(ConnectionError):
    """No answer goes out: the connection just ends."""


class ResetError(DroppedError):
    """No answer goes out: the connection ends with RST."""


class HungError(DroppedError):
    """No answer goes out and nothing more is read, until the client or the server goes away."""


class TruncatedBodyError(ConnectionError):
    """The client went away before its whole body had come."""


class Body:
    """A request's body, read at most once. `length` is None where the request announced none.

    It is read in blocks of at most `step` bytes; each of `hooks` sees every block with its offset and may change it.
    """

    def __init__(self, source: BinaryIO, length: int | None, invite: Callable[[], None] | None) -> None:
        self.length = length
        self.received = 0
        self.step = BLOCK
        self.hooks: list[Callable[[int, memoryview], None]] = []
        self._source = source
        self._invite = invite

    @property
    def remaining(self) -> int:
        """Bytes that are still to come."""
        return (self.length or 0) - self.received

    @property
    def uninvited(self) -> bool:
        """Whether the client still waits for `100 Continue`, so that nothing of the body is under way."""
        return self._invite is not None

    def blocks(self, at_most: int | None = None) -> Iterator[memoryview]:
        """The bytes, or the next `at_most`, in blocks that are valid until the next one. Raises TruncatedBodyError."""
        if self._invite is not None and self.remaining:
            self._invite()
        self._invite = None
        end = self.received + min(self.remaining, self.remaining if at_most is None else at_most)
        buffer = memoryview(bytearray(min(self.step, end - self.received)))
        while self.received < end:
            count = self._source.readinto(buffer[: end - self.received])  # type: ignore[attr-defined]
            if count == 0:
                raise TruncatedBodyError
            for hook in self.hooks:
                hook(self.received, buffer[:count])
            self.received += count
            yield buffer[:count]

    def read(self) -> bytes:
        """All of it at once; the caller has looked at `length`."""
        return b"".join(bytes(block) for block in self.blocks())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: `target` as it stood in the request line, header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: Body

    @property
    def path(self) -> str:
        """The target without its query, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What stands behind the question mark, still percent-encoded."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class FileSpan:
    """Bytes of a file that an answer carries."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: `body`, `repeat` times over, or the `spans` of files one after the other.

    It goes out at once, or evenly over `drip` seconds; after `truncate` bytes of content the connection ends.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    spans: tuple[FileSpan, ...] = ()
    repeat: int = 1
    drip: float = 0.0
    truncate: int | None = None

    @property
    def length(self) -> int:
        """Bytes of content, which a HEAD names and does not send."""
        return len(self.body) * self.repeat + sum(span.size for span in self.spans)


Responder = Callable[[Request], Answer]


class LoopbackServer:
    """Answers every request on 127.0.0.1 by one function, a thread per connection; start and stop as often as you like.

    The port is the one asked for, or else the first one that the system gave: it stays the same after a stop.
    """

    def __init__(self, respond: Responder, *, port: int = 0, clock: Callable[[], float] = time.time) -> None:
        self.port = port
        self._respond = respond
        self._clock = clock
        self._switch = threading.Lock()
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash; the port is 0 before the first start unless one was given."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken; a second start while running does nothing."""
        with self._switch:
            if self._listener is not None:
                return
            listener = _Listener(("127.0.0.1", self.port), self._respond, self._clock)
            serve = partial(listener.serve_forever, poll_interval=0.05)
            self._listener = listener
            self.port = listener.server_port
            self._thread = threading.Thread(target=serve, name="loopback", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop listening, close every connection and wait for their threads; again is harmless."""
        with self._switch:
            if self._listener is None or self._thread is None:
                return
            self._listener.shutdown()
            self._thread.join()
            self._listener.server_close()
            self._listener.hang_up()
            self._listener = self._thread = None


class _Listener(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], respond: Responder, clock: Callable[[], float]) -> None:
        self.respond = respond
        self.clock = clock
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        # Own threads instead of the mixin's, so that a stop can close what they wait on and then join them.
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        if isinstance(request, socket.socket):
            with self._lock:
                self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket) and _ends_with_reset(request):
            self.close_request(request)  # without the FIN that a shutdown sends first
        else:
            super().shutdown_request(request)
        if isinstance(request, socket.socket):
            with self._lock:
                self._connections.pop(request, None)

    def hang_up(self) -> None:
        with self._lock:
            connections = list(self._connections.items())
        for connection, _ in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            if thread is not threading.current_thread():  # a responder may stop its own server
                thread.join(timeout=10)

    def handle_error(self, *_: object) -> None:
        log.error("connection_failed", exc_info=sys.exception())


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self._serve()

    def handle_expect_100(self) -> bool:
        return True  # not yet: the body decides when it is wanted

    def log_message(self, *_: object) -> None:
        pass  # the owner keeps its own record of requests

    def _serve(self) -> None:
        request = self._request()
        try:
            answer = self.server.respond(request)
        except ConnectionError as end:
            self.close_connection = True
            self._break_off(end)
            return
        linger = self._dispose_of_body(request)
        self._send(request, answer)
        if linger:
            self._linger()

    def _break_off(self, end: ConnectionError) -> None:
        if isinstance(end, ResetError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        elif isinstance(end, HungError):
            gone = select.poll()
            gone.register(self.connection, select.POLLRDHUP)  # a stop of the server shuts it down, too
            gone.poll()

    def _request(self) -> Request:
        headers: dict[str, str] = {}
        for name, text in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = text.strip() if known is None else f"{known},{text.strip()}"
        length = headers.get("content-length", "")
        expects = headers.get("expect", "").lower() == "100-continue"
        body = Body(
            self.rfile,  # type: ignore[arg-type]
            int(length) if length.isascii() and length.isdigit() else None,
            self._invite if expects else None,
        )
        target = self.requestline.split(" ")[1]
        return Request(method=self.command, target=target, headers=headers, body=body)

    def _invite(self) -> None:
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _dispose_of_body(self, request: Request) -> bool:
        """Deal with what was not read of the body before answering; True asks for a lingering close."""
        body = request.body
        unframed = body.length is None and (
            "transfer-encoding" in request.headers or "content-length" in request.headers
        )
        if unframed or (body.remaining and body.uninvited):
            self.close_connection = True
            return unframed
        if body.remaining > DRAIN_AT_MOST:
            self.close_connection = True
            return True
        for _ in body.blocks():
            pass
        return False

    def _send(self, request: Request, answer: Answer) -> None:
        headers = {"Server": "syncd-demo", "Date": formatdate(self.server.clock(), usegmt=True)}
        if answer.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            headers["Content-Length"] = str(answer.length)
        headers |= answer.headers
        if self.close_connection:
            headers["Connection"] = "close"
        elif headers.get("Connection", "").lower() == "close":
            self.close_connection = True
        lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
        lines += [f"{name}: {text}" for name, text in headers.items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        wants_content = request.method != "HEAD"
        if answer.drip or answer.truncate is not None or answer.repeat > 1:
            self._send_badly(head, answer, wants_content)
            return
        self.connection.sendall(head + answer.body if wants_content else head)
        if wants_content:
            self._send_spans(answer.spans)

    def _send_badly(self, head: bytes, answer: Answer, wants_content: bool) -> None:
        content = _cut(_content(answer), answer.truncate) if wants_content else iter(())
        if answer.drip:
            self._drip(head + b"".join(content), answer.drip)
        else:
            self.connection.sendall(head)
            for block in content:
                self.connection.sendall(block)
        if wants_content and answer.truncate is not None:
            raise DroppedError

    def _drip(self, whole: bytes, seconds: float) -> None:
        count = min(len(whole), max(2, math.ceil(seconds * DROPS_PER_S)))
        for number in range(count):
            first, last = (len(whole) * each // count for each in (number, number + 1))
            self.connection.sendall(whole[first:last])
            time.sleep(seconds / count)

    def _send_spans(self, spans: tuple[FileSpan, ...]) -> None:
        for span in spans:
            try:
                source = span.path.open("rb")
            except (
                FileNotFoundError
            ):  # replaced in the meantime: the head is out, so all that is left is to hang up
                raise DroppedError from None
            with source:
                if span.size and self.connection.sendfile(source, span.offset, span.size) < span.size:
                    raise DroppedError

    def _linger(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_SECONDS)
            while self.connection.recv(BLOCK):
                pass


def _content(answer: Answer) -> Iterator[bytes]:
    for _ in range(answer.repeat):
        yield answer.body
    for span in answer.spans:
        with span.path.open("rb") as source:
            source.seek(span.offset)
            for begin in range(0, span.size, BLOCK):
                yield source.read(min(BLOCK, span.size - begin))


def _cut(blocks: Iterator[bytes], at_most: int | None) -> Iterator[bytes]:
    left = at_most
    for block in blocks:
        yield block if left is None else block[:left]
        left = None if left is None else left - len(block)
        if left is not None and left <= 0:
            return


def _ends_with_reset(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_LINGER_ZERO)) == _LINGER_ZERO


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
