"""The way to a server, told step by step: its name, the proxy in between, the connection and the certificate."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from syncd.adapters import line
from syncd.adapters.line import Place, Proxy, ProxyRefused
from syncd.decide.doctor import Server, certificate
from syncd.decide.findings import Check, Finding, Verdict, skipped, well, without
from syncd.decide.troubles import servers
from syncd.errors import SyncdError

SECONDS: Final = 10.0

_OUT_OF_DATE: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
_OTHER_NAME: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH

Trust = Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """To one server. `name` and `line`: the checks that tell of it. `trust` raises LockedOut; `now` is the servers' time."""

    name: Check
    line: Check
    place: Place
    key: str
    ca_key: str
    trust: Trust
    now: Callable[[], float]
    proxy: Proxy | None = None

    def walked(self) -> Iterator[Finding]:
        """What was met on the way, up to the first failure; the rest is skipped."""
        if self.proxy is None:
            yield from self._straight()
        else:
            yield from self._through(self.proxy)

    def _straight(self) -> Iterator[Finding]:
        try:
            yield named(self.name, self.place.host)
        except OSError as error:
            yield _no_address(self.name, self.place.host, self.key, error)
            yield from without([self.line], self.name)
            return
        yield self._line(None)

    def _through(self, proxy: Proxy) -> Iterator[Finding]:
        """A proxy with TLS of its own is only reached: what is behind it the first request tells."""
        tunnel = self.place.tls and not proxy.place.tls
        met = self._proxy(proxy, tunnel=tunnel)
        yield met
        yield from skipped([self.name], f"{self.place.host} is looked up by the proxy")
        if met.verdict is Verdict.FAIL:
            yield from without([self.line], Check.PROXY)
        elif tunnel:
            yield self._line(proxy)
        else:
            yield from skipped([self.line], "the way behind the proxy is not looked at; put tells")

    def _proxy(self, proxy: Proxy, *, tunnel: bool) -> Finding:
        place = proxy.place
        shown = f"{place.host}:{place.port}"
        try:
            line.addresses(place.host, SECONDS)
        except OSError as error:
            return _no_address(Check.PROXY, place.host, "destination.proxy", error)
        try:
            if tunnel:
                line.look(self.place, trust=None, seconds=SECONDS, through=proxy)
            else:
                line.look(place, trust=None, seconds=SECONDS)
        except ProxyRefused as refused:
            return servers.PROXY_REFUSES.found(
                proxy=shown, host=self.place.host, port=self.place.port, answer=refused
            )
        except OSError as error:
            return servers.NOT_REACHED.found(
                at=Check.PROXY,
                host=place.host,
                port=place.port,
                key="destination.proxy",
                reason=_words(error),
            )
        return well(Check.PROXY, f"{shown} lets us through to {self.place.host}" if tunnel else shown)

    def _line(self, through: Proxy | None) -> Finding:
        place = self.place
        try:
            trust = self.trust() if place.tls else None
            seen = line.look(place, trust=trust, seconds=SECONDS, through=through)
        except SyncdError as error:  # what we would show or believe cannot be read
            return servers.UNUSABLE_FILE.found(at=self.line, error=error, hint=error.hint or self.ca_key)
        except ssl.SSLError as error:
            return self._no_tls(error)
        except OSError as error:
            return servers.NOT_REACHED.found(at=self.line, reason=_words(error), **self._facts())
        if seen is None:
            return well(self.line, f"{place.host}:{place.port} answers, without TLS")
        server = Server(host=place.host, port=place.port, key=self.key, ca_key=self.ca_key)
        return certificate(self.line, server, seen.issuer, seen.ends_at - self.now(), seen.ends_at)

    def _no_tls(self, error: ssl.SSLError) -> Finding:
        if not isinstance(error, ssl.SSLCertVerificationError):
            return servers.NO_TLS.found(
                at=self.line, reason=error.reason or "handshake failed", **self._facts()
            )
        kind = servers.UNTRUSTED
        if error.verify_code in _OUT_OF_DATE:
            kind = servers.OUT_OF_DATE
        elif error.verify_code in _OTHER_NAME:
            kind = servers.OTHER_NAME
        return kind.found(at=self.line, reason=error.verify_message, **self._facts())

    def _facts(self) -> dict[str, object]:
        return {"host": self.place.host, "port": self.place.port, "key": self.key, "ca_key": self.ca_key}


def named(check: Check, host: str) -> Finding:
    """The host's addresses. Raises OSError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = line.addresses(host, SECONDS)
        return well(check, f"{host} is {', '.join(found[:3])}{' and others' if len(found) > 3 else ''}")  # noqa: PLR2004 - enough for a line
    return well(check, f"{host} is an address")


def _no_address(check: Check, host: str, key: str, error: OSError) -> Finding:
    return servers.NO_ADDRESS.found(at=check, host=host, key=key, reason=_words(error))


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
