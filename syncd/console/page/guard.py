"""Who may ask: GET and HEAD, by this machine's own name, and not another site's page in a visitor's name. Pure.

A browser shows any page that any name server sends to 127.0.0.1 (DNS rebinding), and lets any page ask there; the first
is told by the Host header, the second by Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/).
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

METHODS = ("GET", "HEAD")
_FOREIGN = frozenset({"cross-site", "same-site"})  # another port of localhost is the same site, and not ours
_PLAIN_HTTP = 80


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: HTTPStatus
    text: str


def names_of(host: str, port: int) -> frozenset[str]:
    """What the Host header may say, in lower case: the configured host and this machine's own names, with the port."""
    hosts = {host.lower(), "localhost", "127.0.0.1", "[::1]"}
    without_port = hosts if port == _PLAIN_HTTP else set()
    return frozenset({f"{each}:{port}" for each in hosts} | without_port)


def refusal(
    *, method: str, path: str, host: str | None, site: str | None, mode: str | None, names: frozenset[str]
) -> Refusal | None:
    """Why this request is refused; None: it may be answered. `site`, `mode`: Sec-Fetch-Site and Sec-Fetch-Mode."""
    if host is None or host.lower() not in names:
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host that was asked for")
    if method not in METHODS:
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this page is for reading only")
    if site in _FOREIGN and not (mode == "navigate" and path == "/"):
        return Refusal(HTTPStatus.FORBIDDEN, "another site's page may not ask here")
    return None
