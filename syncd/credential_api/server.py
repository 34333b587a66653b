"""The application on this machine: Flask on waitress, in a thread, until it is stopped.

Waitress speaks no TLS, so it listens on loopback only; with a certificate `tls` stands in front of it. What waitress
refuses by itself (a broken request line, a huge body) is said in the contract's form too.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import flask
from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask

from syncd.credential_api.application import Application
from syncd.credential_api.messages import MAX_BODY, Request, error_document
from syncd.credential_api.tls import Certificate, Front

_REFUSED_FROM: Final = (
    64 << 10
)  # what is longer than a body may be, but not by much, is answered by the application
_THREADS: Final = 8
MOST_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Server:
    """One application on one address between `start` and `stop`. Without a certificate the address must be loopback."""

    def __init__(
        self,
        application: Application,
        address: Address,
        certificate: Certificate | None = None,
        *,
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        """`at_once`: connections; see `connections_for`. Raises BadCertificate."""
        self._address = address
        self._at_once = at_once
        self._front = None if certificate is None else Front(certificate, at_once)
        peers = (lambda _: None) if self._front is None else self._front.peer
        self._app = flask_app(application, peers)
        self._waitress: _Waitress | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path; known after the start."""
        return f"{'http' if self._front is None else 'https'}://{self._address}"

    def start(self) -> None:
        """Listen. Raises OSError."""
        with_front = self._front is not None
        listener = _listen(Address("127.0.0.1", 0) if with_front else self._address)
        self._waitress = _Waitress(self._app, listener, self._at_once)
        if self._front is None:
            self._address = Address(self._address.host, listener.getsockname()[1])
            return
        try:
            public = _listen(self._address)
            self._front.start(public, backend=listener.getsockname()[1])
        except OSError:
            self.stop()
            raise
        self._address = Address(self._address.host, public.getsockname()[1])

    def renew(self) -> bool:
        """Read the certificate again; whether there is one. Raises BadCertificate, and the old one stays."""
        if self._front is None:
            return False
        self._front.renew()
        return True

    def stop(self) -> None:
        """Answer what was asked, then go; again is harmless."""
        if self._waitress is not None:
            self._waitress.stop()
            self._waitress = None
        if self._front is not None:
            self._front.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def connections_for(descriptors: int) -> int:
    """How many at once: three descriptors each (the client's, and both ends on loopback), a hundred for all else."""
    return max(1, min(MOST_AT_ONCE, (descriptors - 100) // 3))


def flask_app(application: Application, peer: Callable[[int], str | None] = lambda _: None) -> flask.Flask:
    """The application for any WSGI server. `peer`: who is behind a connection from this port of ours, if that is known."""
    app = flask.Flask("syncd.credential_api", static_folder=None)

    def respond() -> flask.Response:
        """Before Flask looks for a route: the application has its own."""
        asked = flask.request
        port = asked.environ.get("REMOTE_PORT") or "0"
        answer = application.handle(
            Request(
                method=asked.method,
                path=asked.path,
                headers={name.lower(): value for name, value in asked.headers},
                body=asked.stream.read(MAX_BODY + 1),
                source=peer(int(port)) or asked.remote_addr or "",
            )
        )
        return flask.Response(answer.body, status=answer.status, headers=answer.headers)

    app.before_request(respond)
    return app


def _listen(address: Address) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError:
        listener.close()
        raise
    return listener


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress ships no types
    """What waitress says by itself, in the contract's form."""

    def execute(self) -> None:
        code, reason = self.request.error.code, self.request.error.reason
        broken = code == 500  # noqa: PLR2004 - the only one that is not the client's fault
        document = error_document("internal" if broken else "bad_request", reason)
        body = json.dumps(document).encode()
        self.status = "500 Internal Server Error" if broken else "400 Bad Request"
        self.response_headers += [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    error_task_class = _Refusal


class _Waitress:
    """Its loop in a thread of its own; it is ended from within, because another thread must not close its sockets."""

    def __init__(self, app: flask.Flask, listener: socket.socket, at_once: int) -> None:
        self._channels: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._channels,
            sockets=[listener],
            threads=_THREADS,
            ident=None,
            max_request_body_size=_REFUSED_FROM,
            max_request_header_size=16 << 10,
            channel_timeout=30,
            connection_limit=at_once + 2,  # it counts its listener and its trigger too
            asyncore_use_poll=True,  # select ends at 1,024 descriptors
        )
        self._server.channel_class = _Channel
        self._thread = threading.Thread(target=self._server.run, name="credential-api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.task_dispatcher.shutdown()
        self._server.trigger.pull_trigger(partial(wasyncore.close_all, self._channels))
        self._thread.join()
