"""The page's server: waitress on a loopback address, in threads of its own between `start` and `stop`.

It may die, or find its port taken: the daemon goes on, says so, and `mend` tries again. It never raises.
"""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

import structlog
from waitress import create_server, wasyncore

from syncd.console.page.application import application
from syncd.console.page.guard import names_of
from syncd.console.page.snapshot import Snapshots
from syncd.console.page.view import PageView
from syncd.ports import Clock

log = structlog.get_logger()

AGAIN_S = 5.0
THREADS = 2
CONNECTIONS = 256
SILENCE_S = 60
_LOOP_S = 5.0
_END_S = 5.0
_QUEUE = 128


def page_at(address: str, view: PageView, clock: Clock) -> PageServer:
    """The page at HOST:PORT, as the configuration has it; not started yet."""
    host, _, port = address.rpartition(":")
    return PageServer(host, int(port), view, clock)


class PageServer:
    """One page. `mend` and `stop` belong to one thread; `away` may be asked from any."""

    def __init__(self, host: str, port: int, view: PageView, clock: Clock) -> None:
        self._host, self._port = host, port
        self._clock = clock
        self._snapshots = Snapshots(view, clock)
        self._away: str | None = None
        self._try_at = float("-inf")
        self._running: _Running | None = None
        logging.getLogger("waitress").setLevel(
            logging.ERROR
        )  # that requests queue up for a moment is no news

    @property
    def view(self) -> PageView:
        """What is shown."""
        return self._snapshots.view

    @view.setter
    def view(self, view: PageView) -> None:
        self._snapshots.view = view

    def away(self) -> str | None:
        """Why nobody listens, in one sentence; None while somebody does."""
        return self._away

    def start(self) -> None:
        """Listen, or say why not."""
        self._try_at = self._clock.monotonic() + AGAIN_S
        try:
            self._running = self._begin()
        except (OSError, RuntimeError) as error:  # the port, or the system gives us no more threads
            away = f"the status page cannot listen at {self._host}:{self._port}: {_words(error)}"
            if away != self._away:
                log.error("page_away", error=away, hint="another program may have the port")  # noqa: TRY400 - no trace of ours is wanted
            self._away = away
            return
        self._away = None
        log.info("page_listens", url=f"http://{self._host}:{self._running.port}/")

    def _begin(self) -> _Running:
        listener = _listen(self._host, self._port)
        try:
            port = listener.getsockname()[1]
            return _Running(listener, application(self._snapshots, names_of(self._host, port)))
        except BaseException:
            listener.close()
            raise

    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return None if self._running is None else self._running.port

    def mend(self) -> bool:
        """Listen again if the thread has died, or the port was taken; True if it had died."""
        died = self._running is not None and not self._running.is_alive()
        if self._running is not None and died:
            self._running.stop()
            self._running = None
            self.start()
        elif self._running is None and self._clock.monotonic() >= self._try_at:
            self.start()
        return died

    def stop(self) -> None:
        """Hang up. Harmless without a start; `start` again is allowed."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()


def _words(error: OSError | RuntimeError) -> str:
    return str((error.strerror if isinstance(error, OSError) else None) or error)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; by address alone, no name server is asked. Raises OSError."""
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1" if host == "localhost" else host.strip("[]"), port))
        listener.listen(_QUEUE)
    except OSError:
        listener.close()
        raise
    return listener


class _Running:
    """A server and the thread that it lives in."""

    def __init__(self, listener: socket.socket, app: Any) -> None:
        self.port: int = listener.getsockname()[1]
        self._sockets: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._sockets,
            sockets=[listener],
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=SILENCE_S,
            max_request_header_size=32_768,
            max_request_body_size=1,
            ident=None,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=True,
        )
        self._stopping = threading.Event()
        self._ending = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._live, name="page", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread, the workers and every connection."""
        self._stopping.set()
        with self._ending:  # a closed pipe's number may be another file's by now: never write to that
            if not self._ended:
                self._server.pull_trigger()
        self._thread.join(2 * _END_S)

    def _live(self) -> None:
        try:
            while not self._stopping.is_set():
                wasyncore.loop(timeout=_LOOP_S, use_poll=True, map=self._sockets, count=1)
        except Exception:  # whatever a client does to us: `mend` begins anew
            log.exception("page_failed")
        finally:
            self._server.task_dispatcher.shutdown(timeout=_END_S)
            with self._ending:
                self._ended = True
                wasyncore.close_all(self._sockets, ignore_all=True)
