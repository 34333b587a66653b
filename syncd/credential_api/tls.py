"""TLS in front of a server that speaks none: takes connections, decrypts them, and passes the bytes on to loopback.

Waitress has no TLS, and wrapping its sockets is not sound: its loop asks the kernel whether there is something to read, and
does not know of bytes that are decrypted already. Werkzeug's and cheroot's servers shake hands in the thread that
accepts, so one client that stays silent stops them all. Here every handshake is a task of its own, with a deadline.

Refuses to look into what it passes on. Who is behind a connection is told by the port that it is passed on from.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

_HANDSHAKE_S = 10.0
_END_S = 2.0
_BLOCK = 16 << 10
_AT_ONCE = 500


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

    def __init__(self, certificate: Certificate) -> None:
        """Raises BadCertificate."""
        self._context = certificate.context()
        self._peers: dict[int, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._backend = 0

    def peer(self, port: int) -> str | None:
        """The address of the client that is passed on from this port."""
        return self._peers.get(port)

    def start(self, listener: socket.socket, *, backend: int) -> None:
        """Take connections."""
        self._backend = backend
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(
            asyncio.start_server(
                self._serve,
                sock=listener,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_END_S,
                limit=_BLOCK,
            )
        )
        self._thread = threading.Thread(target=self._run, args=(self._loop, server), name="tls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more, let those that are there end, for a few seconds; again is harmless."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop = self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop, server: asyncio.Server) -> None:
        loop.run_forever()
        server.close()
        loop.run_until_complete(self._end())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    async def _end(self) -> None:
        """What is on its way may come to its end; then also those go that are still shaking hands."""
        if self._connections:
            await asyncio.wait(self._connections, timeout=_END_S)
        late = asyncio.all_tasks() - {asyncio.current_task()}
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the end of its handshake on."""
        task = asyncio.current_task()
        if task is None or len(self._connections) >= _AT_ONCE:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await self._pass_on(reader, writer)
        except OSError:
            pass  # one of the two went away
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._backend, limit=_BLOCK)
        port = requests.get_extra_info("sockname")[1]
        self._peers[port] = writer.get_extra_info("peername")[0]
        upwards = asyncio.ensure_future(_copy(reader, requests))
        try:
            # The server ends the connection: by its own time limit if need be.
            await _copy(answers, writer)
        finally:
            upwards.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await upwards
            requests.transport.abort()
            self._peers.pop(port, None)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while block := await source.read(_BLOCK):
        target.write(block)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
