"""TLS in front of a server that speaks none: takes connections, decrypts them, and passes the bytes on to loopback.

Waitress has no TLS, and wrapping its sockets is not sound: its loop asks the kernel whether there is something to read, and
does not know of bytes that are decrypted already. Werkzeug's and cheroot's servers shake hands in the thread that
accepts, so one client that stays silent stops them all. asyncio's own TLS ends both directions when the client ends one,
and shakes hands with as many as come. Here every connection is a task of its own, counted from the moment it is taken.

Refuses to look into what it passes on, more connections than there are descriptors for, and more than a fair share of
them from one address. Who is behind a connection is told by the port that it is passed on from.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

_HANDSHAKE_S: Final = 10.0
_END_S: Final = 2.0
_STALL_S: Final = 30.0  # as long as waitress waits
_RETRY_S: Final = 0.5
_BLOCK: Final = 16 << 10
_BACKLOG: Final = 128
_SHARE: Final = 4  # nobody has more than one in so many of the connections

_T = TypeVar("_T")


class BadCertificate(Exception):
    """Certificate and key cannot be used."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files: the chain, and the key that belongs to it."""

    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer with it. Raises BadCertificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION  # so that a write never waits for the client's word
        try:
            context.load_cert_chain(self.chain, self.key, password=_no_password)
        except (OSError, ValueError) as trouble:
            reason = getattr(trouble, "strerror", None) or str(trouble)
            raise BadCertificate(
                f"{self.chain} and {self.key} are no certificate and key: {reason}"
            ) from None
        return context


def _no_password() -> str:
    """Nobody is there to type it."""
    raise ValueError("the key needs a password, expected one without")


class Front:
    """One listening socket, passed on to one port of loopback, in a thread of its own."""

    def __init__(self, certificate: Certificate, at_once: int) -> None:
        """`at_once`: connections, each of which takes three descriptors. Raises BadCertificate."""
        self._certificate = certificate
        self._context = certificate.context()
        self._at_once = at_once
        self._peers: dict[int, str] = {}
        self._connections: dict[asyncio.Task[None], str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._backend = 0

    def peer(self, port: int) -> str | None:
        """The address of the client that is passed on from this port."""
        return self._peers.get(port)

    def renew(self) -> None:
        """Read the certificate again, for handshakes from now on. Raises BadCertificate, and the old one stays."""
        # A context of its own: one that takes a new chain but not its key would be good for nothing.
        self._context = self._certificate.context()

    def start(self, listener: socket.socket, *, backend: int) -> None:
        """Take connections. Raises OSError."""
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._backend = backend
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, listener), name="tls", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Take no more, let those that are there end, for a few seconds; again is harmless."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop = self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        accepting = loop.create_task(self._accept(listener))
        loop.run_forever()
        accepting.cancel()
        loop.run_until_complete(asyncio.wait({accepting}))
        listener.close()
        loop.run_until_complete(self._end())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    async def _end(self) -> None:
        """What is on its way may come to its end; then the others go too."""
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=_END_S)
        late = set(self._connections)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError:  # went away while it waited, or the machine has no descriptor left
                await asyncio.sleep(_RETRY_S)
                continue
            self._admit(connection, str(address[0]))
            await asyncio.sleep(0)  # however many wait: those that are there have their turn

    def _admit(self, connection: socket.socket, source: str) -> None:
        """Or hang up at once, where there is no place for it."""
        sources = list(self._connections.values())
        if len(sources) >= self._at_once or sources.count(source) >= max(1, self._at_once // _SHARE):
            connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(connection, source))
        self._connections[task] = source
        task.add_done_callback(self._connections.pop)

    async def _serve(self, connection: socket.socket, source: str) -> None:
        with connection, suppress(OSError, EOFError):  # one of the two went away, or speaks no TLS
            reader, writer = await asyncio.open_connection(sock=connection, limit=_BLOCK)
            try:
                line = _Line(reader, writer, self._context)
                await line.shake_hands()
                await self._pass_on(line, source)
                await line.end()
            finally:
                writer.transport.abort()

    async def _pass_on(self, line: _Line, source: str) -> None:
        with socket.socket() as backend, ExitStack() as afterwards:
            backend.setblocking(False)
            await asyncio.get_running_loop().sock_connect(backend, ("127.0.0.1", self._backend))
            port = backend.getsockname()[1]
            self._peers[port] = source
            afterwards.callback(self._peers.pop, port, None)
            await _both_ways(line, backend)


class _Line:
    """The server's side of TLS on one connection, whose directions end one by one."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)

    async def shake_hands(self) -> None:
        """Raises OSError (TimeoutError and SSLError are some), or EOFError where the client leaves."""
        async with asyncio.timeout(_HANDSHAKE_S):
            await self._complete(self._tls.do_handshake)

    async def read(self) -> bytes:
        """What came; nothing where the client has said all, by TLS's word for it or by TCP's. Raises OSError."""
        try:
            return await self._complete(partial(self._tls.read, _BLOCK))
        except EOFError:
            return b""

    async def write(self, block: bytes) -> None:
        """Raises OSError, also for a client that takes nothing."""
        while block:
            block = block[self._tls.write(block) :]
        await self._send()

    async def end(self) -> None:
        """Say that this was all, and wait a little for the client to say so. Raises OSError.

        What it sends to a closed socket would reset the connection, and take the answer away from it.
        """
        with suppress(ssl.SSLError):  # the client's own word is not there yet
            self._tls.unwrap()
        await self._send()
        self._writer.write_eof()
        async with asyncio.timeout(_END_S):
            while await self._reader.read(_BLOCK):
                pass

    async def _complete(self, step: Callable[[], _T]) -> _T:
        """Take the step again with more from the client until it is done. Raises EOFError where no more comes."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._writer.write(self._to_send.read())  # of a handshake, or an alert
            if not (block := await self._reader.read(_BLOCK)):
                raise EOFError
            self._received.write(block)

    async def _send(self) -> None:
        self._writer.write(self._to_send.read())
        async with asyncio.timeout(_STALL_S):
            await self._writer.drain()


async def _both_ways(line: _Line, backend: socket.socket) -> None:
    """Until the server ends it, by its own time limit if need be, or the client breaks it off.

    A client may say that it has asked all, and listen on. The server is told: where nothing is asked, it ends at once,
    else when it has answered. So one that just closes gives its place back no later.
    """
    up = asyncio.ensure_future(_copy_up(line, backend))
    down = asyncio.ensure_future(_copy_down(backend, line))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if up.done() and up.exception() is None:
            await asyncio.wait({down})
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


# The socket itself, no stream of asyncio's: there a request that is no longer taken would throw away the answer to it.


async def _copy_up(line: _Line, backend: socket.socket) -> None:
    while block := await line.read():
        try:
            await asyncio.get_running_loop().sock_sendall(backend, block)
        except OSError:
            return  # the server takes no more; its answer says why
    with suppress(OSError):
        backend.shutdown(socket.SHUT_WR)


async def _copy_down(backend: socket.socket, line: _Line) -> None:
    while block := await _next_of(backend):
        await line.write(block)


async def _next_of(backend: socket.socket) -> bytes:
    """What the server says next; nothing where it has ended, also by hanging up on what it did not read."""
    try:
        return await asyncio.get_running_loop().sock_recv(backend, _BLOCK)
    except OSError:
        return b""
