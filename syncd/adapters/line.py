"""The way to a server, step by step, for those who look into trouble: its name, a connection, its certificate.

Asks nothing of the server and sends no secret but the proxy's own; every step ends in time. Refuses to go on without
verification: whom to believe is the caller's `SSLContext`.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

_ANSWER_LIMIT = 4096
_LETTING_THROUGH = 200


@dataclass(frozen=True, slots=True)
class Place:
    """A server: where it listens, and whether it speaks TLS."""

    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, url: str) -> Place:
        """Out of a URL of http or https. Raises ValueError where it is none."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is asked to CONNECT. `login`: user and password as its header has them."""

    place: Place
    login: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Proxy:
        """Out of a URL, perhaps with user and password. Raises ValueError where it is none."""
        parts = urlsplit(url)
        if parts.username is None:
            return cls(Place.of(url))
        plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(Place.of(url), base64.b64encode(plain.encode()).decode())


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was believed: who signed it, and when it ends (seconds since the epoch)."""

    issuer: str
    ends_at: float


class ProxyRefused(OSError):
    """The proxy is there, and does not let us through; the message is its status line."""


def addresses(host: str, seconds: float) -> list[str]:
    """What the name stands for. Raises OSError with the resolver's words, TimeoutError after so many seconds."""
    found: list[str] = []
    failed: list[OSError] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            failed.append(error)
        except UnicodeError:
            failed.append(OSError(f"{host!r} is no name that a host can have"))
        else:
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    asking = threading.Thread(target=resolve, name="resolver", daemon=True)
    asking.start()
    asking.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError("the resolver does not answer")
    return found


def look(
    place: Place, *, trust: ssl.SSLContext | None, seconds: float, through: Proxy | None = None
) -> Certificate | None:
    """Connect and hang up; the server's certificate, None without TLS. Each step takes so many seconds at most.

    Raises ProxyRefused, ssl.SSLError (SSLCertVerificationError), TimeoutError, OSError.
    """
    with ExitStack() as stack:
        line = stack.enter_context(_dial(through.place if through else place, seconds))
        if through is not None:
            _ask_for_passage(line, place, through)
        if trust is None:
            return None
        secure = stack.enter_context(trust.wrap_socket(line, server_hostname=place.host))
        return _read(secure.getpeercert() or {})


def _dial(place: Place, seconds: float) -> socket.socket:
    return socket.create_connection((place.host, place.port), timeout=seconds)


def _ask_for_passage(line: socket.socket, place: Place, proxy: Proxy) -> None:
    where = f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.login is not None:
        lines.append(f"Proxy-Authorization: Basic {proxy.login}")
    line.sendall("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
    head = _head(line)
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    words = status.split(" ", 2)
    if len(words) < 2 or words[1] != str(_LETTING_THROUGH):  # noqa: PLR2004 - version, status
        raise ProxyRefused(" ".join(words[1:]) or "nothing that is HTTP")


def _head(line: socket.socket) -> bytes:
    """Byte by byte, so that nothing of what comes behind it is lost."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _ANSWER_LIMIT:
        piece = line.recv(1)
        if not piece:
            break
        head += piece
    return head


def _read(certificate: dict[str, Any]) -> Certificate:
    names = {key: text for part in certificate.get("issuer", ()) for key, text in part}
    issuer = names.get("commonName") or names.get("organizationName") or "somebody without a name"
    return Certificate(issuer, _seconds(str(certificate.get("notAfter", ""))))


def _seconds(text: str) -> float:
    """`Jan  5 09:34:43 2028 GMT`, as OpenSSL writes it; without end where it is written otherwise."""
    try:
        return float(ssl.cert_time_to_seconds(text))
    except ValueError:
        return float("inf")
