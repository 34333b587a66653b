"""Failures without an answer: no route, no name, no TLS, silence, a broken connection, garbage, a request never sent.

Whether the request can have been carried out decides: `LostAnswer` where it may, plain Transient where nothing was
sent. A certificate that does not hold locks the destination: it is never tried again without verification.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from syncd.errors import LockedOut, Refused, SyncdError, Transient

_Kind = TypeVar("_Kind", bound=BaseException)

_NETWORK_IS_DOWN = {
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETRESET,
    errno.ETIMEDOUT,
}
# OpenSSL's words for a connection that broke, as opposed to a peer that is not to be trusted.
_BROKEN_TLS = ("EOF", "BAD_RECORD_MAC", "DECRYPTION_FAILED", "SHUTDOWN", "CLOSE_NOTIFY")


class LostAnswer(Transient):
    """A Transient whose request may have been carried out all the same."""

    lost = True


def cause_in(error: BaseException, kind: type[_Kind]) -> _Kind | None:
    """The first of that kind among an exception and all that it wraps (botocore keeps it in `kwargs["error"]`)."""
    return next((link for link in _chain(error) if isinstance(link, kind)), None)


def translate_outage(error: Exception, asked: str) -> SyncdError:
    """One of our kinds for an exception of botocore that is no answer; `asked` begins the message."""
    where = _host_and_port(error)
    # A proxy with TLS of its own that is not believed comes as one that is not there.
    if isinstance(error, boto.SSLError) or cause_in(error, ssl.SSLCertVerificationError) is not None:
        return _tls(error, f"{asked}: TLS with {where} failed: {_reason(error)}", where)
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ProxyConnectionError):
        return Transient(
            f"{asked}: cannot reach {where}: {_reason(error)}",
            hint=f"no connection to {where}: {_what_may_be_wrong(error)}",
            unreachable=True,
        )
    if isinstance(error, boto.ReadTimeoutError):
        return LostAnswer(f"{asked}: no answer from {where} in time", unreachable=True)
    if isinstance(error, boto.HTTPClientError | ResponseParserError):
        return LostAnswer(
            f"{asked}: {where} broke off: {_reason(error)}", unreachable=_network_is_down(error)
        )
    if isinstance(error, boto.ParamValidationError | UnicodeError):
        return _unsendable(error, asked)
    # Never dropped: whatever this is, it is waited out and shown.
    return LostAnswer(f"{asked}: {type(error).__name__}: {_one_line(str(error))}")


def _what_may_be_wrong(error: Exception) -> str:
    if isinstance(error, boto.ProxyConnectionError):
        return "is destination.proxy right, is the proxy up, and does it let us through?"
    return "the network, the name or the firewall"


def _tls(error: Exception, message: str, where: str) -> SyncdError:
    broken = cause_in(error, ssl.SSLError)
    words = f"{getattr(broken, 'reason', '')} {broken}".upper()
    certificate = isinstance(broken, ssl.SSLCertVerificationError)
    if not certificate and any(word in words for word in _BROKEN_TLS):
        return LostAnswer(message)
    return LockedOut(
        message,
        code="tls",
        hint=f"{where} did not prove who it is: check its certificate, destination.ca_file and this machine's clock",
    )


def _unsendable(error: Exception, asked: str) -> SyncdError:
    words = _one_line(str(error))
    if "Invalid bucket name" in words:
        return LockedOut(f"{asked}: {words}", code="bucket", hint="check destination.bucket")
    return Refused(f"{asked}: {words}", hint="S3 cannot express this key or this metadata")


def _network_is_down(error: Exception) -> bool:
    return any(
        isinstance(link, TimeoutError) or (isinstance(link, OSError) and link.errno in _NETWORK_IS_DOWN)
        for link in _chain(error)
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        wrapped = getattr(link, "kwargs", None)
        waiting.extend([wrapped.get("error")] if isinstance(wrapped, dict) else [])
        # Not __context__: that may be a failure whose handling led here, and no part of this one.
        waiting.extend([getattr(link, "reason", None), *link.args, link.__cause__])


def _reason(error: BaseException) -> str:
    """The system's own words at the bottom of the chain, without URLs or object addresses."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        if isinstance(link, TimeoutError):
            return "timed out"
    deepest = list(_chain(error))[-1]
    if isinstance(deepest, boto.BotoCoreError):  # its words are made of URLs, a proxy's password among them
        return type(deepest).__name__
    return _one_line(str(deepest)) or type(deepest).__name__


def _one_line(words: str) -> str:
    return " ".join(words.split())[:300]


def _host_and_port(error: BaseException) -> str:
    told = getattr(error, "kwargs", {})
    if not isinstance(told, dict):
        return "the store"
    url = urlsplit(str(told.get("proxy_url") or told.get("endpoint_url") or ""))
    if not url.hostname:
        return "the store"
    return f"{url.hostname}:{url.port or (80 if url.scheme == 'http' else 443)}"
