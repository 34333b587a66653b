"""The control socket: HTTP/JSON over a Unix socket, for the owner and the group only.

`GET /status`, `GET /explain?path=...` (percent-encoded bytes), `GET /files?state=...&after=...` and `GET /plan?at=...` page
by page, `GET /uploads`, `GET /proven?path=...` or `?after=...`, `POST /retry` with {"paths": [...]} or {"all": true}, `POST /pause` with {"seconds": ...}, `POST /resume`, `POST /rescan`. One request per connection, one thread each. Refuses what is large, and lets nobody wait for a slow client: beyond
`CONNECTIONS` the oldest gives way. A failing answer is a 500 and costs the daemon nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

import structlog

from syncd.console.address import listen
from syncd.errors import SyncdError
from syncd.model import Standing

log = structlog.get_logger()

CONNECTIONS = 16
SILENCE_S = 10.0
LARGEST_BODY = 1 << 20
LONGEST_PATH = 4096
LONGEST_PAUSE_S = 36_500 * 86_400

Answer = tuple[HTTPStatus, dict[str, Any]]


class View(Protocol):
    """What can be asked. Each answers a JSON document and may raise SyncdError."""

    def status(self) -> dict[str, Any]:
        """The status document."""
        ...

    def explain(self, path: bytes) -> dict[str, Any]:
        """Where an absolute path stands."""
        ...

    def files(self, standing: Standing | None, after: int) -> dict[str, Any]:
        """A page of the files that stand so, with ids above `after`."""
        ...

    def plan(self, at: str | None) -> dict[str, Any]:
        """A page of what would be done with the files that are there."""
        ...

    def uploads(self) -> dict[str, Any]:
        """Which uploads the ledger owns."""
        ...

    def proven(self, path: bytes | None, after: int = 0) -> dict[str, Any]:
        """What was proven of the file at a path; None: a page of all."""
        ...

    def pause(self, seconds: float | None) -> dict[str, Any]:
        """Nothing is sent for so long; None: until resumed."""
        ...

    def resume(self) -> dict[str, Any]:
        """It goes on."""
        ...

    def rescan(self) -> dict[str, Any]:
        """Every folder is scanned now."""
        ...

    def retry(self, paths: list[bytes] | None, *, replan: bool = False) -> dict[str, Any]:
        """Another chance for these paths, or for all; `replan`: what is planned is planned anew."""
        ...


class BadRequest(Exception):
    """The request makes no sense; the text says why."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class ClientGone(Exception):
    """The client went away, or fell silent, in the middle of its request."""


class ControlServer:
    """Listens between `start` and `stop`."""

    def __init__(self, path: Path, view: View) -> None:
        self.view = view
        self._path = path
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._identity: tuple[int, int] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # guards _open
        self._open: dict[socket.socket, None] = {}

    def start(self) -> None:
        """Begin to listen. Raises SocketUnusable: too long a path, no right, or somebody else answers there."""
        self._listener = listen(self._path)
        status = self._path.stat()
        self._identity = status.st_dev, status.st_ino
        self._begin(self._listener)
        log.debug("console_listens", socket=str(self._path))

    def _begin(self, listener: socket.socket) -> None:
        self._thread = threading.Thread(target=self._accept, args=(listener,), name="console", daemon=True)
        self._thread.start()

    def mend(self) -> bool:
        """Accept again if the thread that does so has died; True if it had."""
        dead = self._thread is not None and not self._thread.is_alive() and not self._stopping.is_set()
        if dead and self._listener is not None:
            self._begin(self._listener)
        return dead

    def stop(self) -> None:
        """Stop listening, hang up, and take the socket file away if it is still ours. Harmless without a start."""
        self._stopping.set()
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        with self._lock:
            for connection in self._open:
                _hang_up(connection)
        with contextlib.suppress(OSError):
            status = self._path.stat()
            if (status.st_dev, status.st_ino) == self._identity:
                self._path.unlink()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    log.warning("console_accept_failed", error=str(error))
                self._stopping.wait(0.5)  # out of descriptors: others must end first
                continue
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        """A thread for the connection; where there are too many, the oldest ones give way."""
        with self._lock:
            self._open[connection] = None
            for oldest in list(self._open)[:-CONNECTIONS]:
                _hang_up(oldest)
        thread = threading.Thread(target=self._serve, args=(connection,), name="console-one", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system gives us no more threads
            log.warning("console_busy", error=str(error))
            self._forget(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            _Handler(connection, self.view)
        except OSError:
            log.debug("console_client_gone")
        except Exception:  # whatever a client does to us, the daemon goes on
            log.exception("console_failed")
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)
            connection.close()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


# -- one request


class _Handler(BaseHTTPRequestHandler):
    """One connection, one request, one document."""

    timeout = SILENCE_S
    server_version, sys_version = "syncd", ""

    def __init__(self, connection: socket.socket, view: View) -> None:
        self._view = view
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]  # it never asks for its server

    def do_GET(self) -> None:
        """Called by the base class."""
        self._answer()

    def do_POST(self) -> None:
        """Called by the base class."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: who asks for the status is no news."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself (garbage, unknown methods) is JSON too."""
        self.close_connection = True
        if self.request_version == "HTTP/0.9" or not self.command:
            self.request_version = "HTTP/1.0"
        self._send(HTTPStatus(code), _trouble(message or explain or HTTPStatus(code).phrase))

    def _answer(self) -> None:
        try:
            status, document = self._ask()
        except BadRequest as bad:
            status, document = bad.status, _trouble(str(bad))
        except SyncdError as failure:
            status, document = HTTPStatus.INTERNAL_SERVER_ERROR, _trouble(str(failure), failure.hint)
        except ClientGone:
            return
        except Exception:  # a fault of ours must not look like a dead daemon
            log.exception("console_request_failed", request=self.path)
            status, document = HTTPStatus.INTERNAL_SERVER_ERROR, _trouble("the daemon could not answer")
        self._send(status, document)

    def _ask(self) -> Answer:
        place, _, query = self.path.partition("?")
        answer = self._look(place, query) if self.command == "GET" else self._change(place)
        if answer is None:
            raise BadRequest(HTTPStatus.NOT_FOUND, f"there is nothing at {self.command} {place}")
        return HTTPStatus.OK, answer

    def _look(self, place: str, query: str) -> dict[str, Any] | None:
        """What changes nothing; None for a place that is none."""
        match place:
            case "/status" | "/status.json":
                return self._view.status()
            case "/explain":
                return self._view.explain(_path_of(query))
            case "/files":
                return self._view.files(*_page_of(query))
            case "/plan":
                return self._view.plan(_place_of(query))
            case "/uploads":
                return self._view.uploads()
            case "/proven":
                path = _path_of(query) if "path" in _asked_of(query) else None
                return self._view.proven(path, _page_of(query)[1])
            case _:
                return None

    def _change(self, place: str) -> dict[str, Any] | None:
        """What changes something; None for a place that is none."""
        match self.command, place:
            case "POST", "/pause":
                return self._view.pause(_seconds_of(self._body()))
            case "POST", "/resume":
                return self._view.resume()
            case "POST", "/rescan":
                return self._view.rescan()
            case "POST", "/retry":
                paths, replan = _retry_of(self._body())
                return self._view.retry(paths, replan=replan)
            case _:
                return None

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise BadRequest(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length")
        if int(length[:20]) > LARGEST_BODY:
            raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {LARGEST_BODY} bytes")
        try:
            return self.rfile.read(int(length))
        except OSError as silence:
            raise ClientGone from silence

    def _send(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _trouble(message: str, hint: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "hint": hint}}


def _asked_of(query: str) -> dict[str, list[str]]:
    # latin-1 maps every byte to itself; UTF-8 would make replacement characters of what is none.
    try:
        return parse_qs(query, keep_blank_values=True, encoding="latin-1", max_num_fields=10)
    except ValueError:
        return {}


def _path_of(query: str) -> bytes:
    values = _asked_of(query).get("path", [])
    if len(values) != 1:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "ask for one path: /explain?path=...")
    return _checked(values[0].encode("latin-1"))


def _page_of(query: str) -> tuple[Standing | None, int]:
    asked = _asked_of(query)
    states, after = asked.get("state", []), asked.get("after", ["0"])[-1]
    try:
        standing = Standing(states[-1]) if states else None
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, f"a state is one of {', '.join(Standing)}") from None
    if not re.fullmatch(r"[0-9]{1,18}", after):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "`after` is what the page before gave as `next`")
    return standing, int(after)


def _place_of(query: str) -> str | None:
    places = _asked_of(query).get("at", [])
    if places and not re.fullmatch(r"([0-9a-f]{2})+:([0-9a-f]{2})*", places[-1]):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "`at` is what the page before gave as `next`")
    return places[-1] if places else None


def _document_of(body: bytes, expected: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the body is no JSON") from error
    if not isinstance(document, dict):
        raise BadRequest(HTTPStatus.BAD_REQUEST, f"expected {expected}")
    return document


def _seconds_of(body: bytes) -> float | None:
    seconds = _document_of(body, '{"seconds": 7200} or {"seconds": null}').get("seconds")
    if seconds is None:
        return None
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not 0 < seconds <= LONGEST_PAUSE_S
    ):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "a pause lasts more than 0 seconds and at most 100 years")
    return float(seconds)


def _retry_of(body: bytes) -> tuple[list[bytes] | None, bool]:
    document = _document_of(body, '{"paths": [...]} or {"all": true}')
    replan = document.get("replan", False)
    if not isinstance(replan, bool):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "replan is true or false")
    return _paths_of(document), replan


def _paths_of(document: dict[str, Any]) -> list[bytes] | None:
    paths, everything = document.get("paths"), document.get("all", False)
    if everything is True and not paths:
        return None
    if everything or not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise BadRequest(HTTPStatus.BAD_REQUEST, 'expected {"paths": [...]} or {"all": true}')
    return [_checked(_bytes_of(path)) for path in paths]


def _bytes_of(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError as error:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "a path holds what no file name can hold") from error


def _checked(path: bytes) -> bytes:
    if not path.startswith(b"/") or b"\0" in path:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "a path must be absolute")
    if len(path) > LONGEST_PATH:
        raise BadRequest(HTTPStatus.BAD_REQUEST, f"a path has at most {LONGEST_PATH} bytes")
    return path
