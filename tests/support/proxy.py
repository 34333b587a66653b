"""A small HTTP proxy: CONNECT to wherever a test says that a name leads, and plain requests passed on."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

BLOCK = 1 << 16


class Proxy:
    """`asked`: the request lines that it got, `headers` those of the last one. `ways`: where a host's name leads."""

    def __init__(self, tls: ssl.SSLContext | None = None, leads_to: int | None = None) -> None:
        """`leads_to`: no proxy but a TLS front for this port of our own."""
        self.leads_to = leads_to
        self.ways: dict[str, tuple[str, int]] = {}
        self.refuse: bytes | None = None
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._open:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            self._start(self._serve, client)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(client.close)
            if self._tls is not None:
                client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
                self._open.append(client)
            if self.leads_to is not None:
                behind = stack.enter_context(socket.create_connection(("127.0.0.1", self.leads_to)))
                self._open.append(behind)
                self._start(_pipe, behind, client)
                _pipe(client, behind)
                return
            head, rest = _head(client)
            if not head:
                return
            self._note(head)
            if self.refuse is not None:
                client.sendall(self.refuse)
                return
            server = stack.enter_context(self._dial(head))
            if head.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                rest = _passed_on(head) + rest
            self._start(_pipe, server, client)
            server.sendall(rest)
            _pipe(client, server)

    def _note(self, head: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        self.asked.append(line)
        self.headers = {
            name.lower(): text.strip() for name, _, text in (each.partition(":") for each in lines)
        }

    def _dial(self, head: bytes) -> socket.socket:
        place = head.split()[1].decode().removeprefix("http://").partition("/")[0]
        host, _, port = place.partition(":")
        server = socket.create_connection(self.ways.get(host) or (host, int(port or 80)))
        self._open.append(server)
        return server


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    """The request's head, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(BLOCK)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _passed_on(head: bytes) -> bytes:
    """A plain request as the server wants it; one for each connection, so that the rest need not be read."""
    method, place, version = head.split(b"\r\n", 1)[0].split(b" ")
    path = b"/" + place.removeprefix(b"http://").partition(b"/")[2]
    lines = head.split(b"\r\n")[1:]
    return b"\r\n".join([b" ".join([method, path, version]), *lines, b"Connection: close", b"", b""])


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(BLOCK):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None = None, leads_to: int | None = None) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts."""
    proxy = Proxy(tls, leads_to)
    try:
        yield proxy
    finally:
        proxy.close()
