"""One fetch from the credential API: `POST {url}` with the device's token, a set of temporary credentials back.

Refuses redirects, unverified TLS, plain http to other machines, answers that are large, late or not as documented.
Every failure is one of our kinds; none repeats the token, a secret or any other text of the server than its own
`error.message`.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncd import __version__
from syncd.adapters.credentials.answer import read_complaint, read_credentials, read_http_date
from syncd.adapters.credentials.bearer import TokenFile
from syncd.adapters.credentials.identity import Identity
from syncd.adapters.credentials.wire import Answer, Deadline, post, read_endpoint, trust
from syncd.errors import LockedOut, SyncdError, Transient

if TYPE_CHECKING:
    from syncd.model import CredentialSet
    from syncd.ports import Clock, ServerTime

_LONGEST_RETRY_AFTER = 15 * 60.0
_SHORTEST_TRIAL, _LONGEST_TRIAL = 60.0, 15 * 60.0
_OK, _TIMEOUT, _TOO_EARLY, _TOO_MANY = 200, 408, 425, 429
_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
# What the other side says about our certificate, or about having seen none.
_OF_OURS = re.compile(r"ALERT_(?:\w*CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED|DECRYPT_ERROR)")
_WRONG_PLACE = "a captive portal in between, or a wrong credentials.api.url: redirects are not followed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one fetch brought. `lifetime` in seconds by the server's own clock where it told the time."""

    credentials: CredentialSet
    lifetime: float


class CredentialApi:
    """The credential API of one device."""

    def __init__(
        self,
        *,
        url: str,
        device: str,
        token_file: str | Path,
        ca_file: str | Path | None = None,
        identity: Identity | None = None,
        timeout: float = 30.0,
        clock: Clock,
        server_time: ServerTime | None = None,
    ) -> None:
        """`timeout`: seconds for a whole fetch; `server_time` learns from the answers. Raises ConfigError for an address that must not get the token."""
        self._endpoint = read_endpoint(url)
        self._body = json.dumps({"device": device}).encode()
        self._token_file = TokenFile(Path(token_file))
        self._ca_file = None if ca_file is None else Path(ca_file)
        self._identity = identity
        self._timeout = timeout
        self._clock = clock
        self._server_time = server_time

    @property
    def source(self) -> str:
        """The host that is asked."""
        return self._endpoint.source

    def secrets(self) -> tuple[str, ...]:
        """The tokens in use, for redaction."""
        return self._token_file.secrets()

    def fetch(self) -> Fetched:
        """Ask once. Raises Transient (wait) or LockedOut (`credentials`, `tls`: a person must look)."""
        token = self._token_file.read()
        asked_at = self._clock.boottime()
        answer = self._ask(token)
        try:
            if answer.status != _OK:
                raise self._fault(answer, self._now())
            fetched = self._fetched(answer)
        except SyncdError as fault:
            fault.status = answer.status
            raise
        self._learn(answer, asked_at)
        return fetched

    def _now(self) -> float:
        """The best that is known while an answer does not tell the time."""
        return self._clock.now() if self._server_time is None else self._server_time.now()

    def _may_be_wrong(self) -> bool:
        """Nobody but our own clock has told the time: the set is tried for a while, and S3 will say what time it is."""
        return self._server_time is not None and self._server_time.offset() is None

    def _learn(self, answer: Answer, asked_at: float) -> None:
        """Only from an answer that proved to be the API's own."""
        date = read_http_date(answer.headers.get("date"))
        if date is not None and self._server_time is not None:
            self._server_time.heard(date, source="api", asked_at=asked_at)

    def _ask(self, token: str) -> Answer:
        context = trust(self._ca_file, self.source, self._identity) if self._endpoint.tls else None
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"syncd/{__version__}",
            "Connection": "close",
        }
        deadline = Deadline(self._clock.monotonic, self._timeout)
        try:
            return post(self._endpoint, headers, self._body, deadline=deadline, context=context)
        except (OSError, http.client.HTTPException, ValueError) as trouble:
            fault = self._trouble(trouble)
        raise fault  # out here, so that it does not drag along what the library held

    def _trouble(self, trouble: Exception) -> SyncdError:
        """The way to the server, or the server's HTTP, is broken."""
        if isinstance(trouble, ssl.SSLError) and not isinstance(
            trouble, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
        ):
            return self._tls_trouble(trouble)
        if isinstance(trouble, TimeoutError):
            return Transient(f"{self.source} did not answer in {self._timeout:g} s", unreachable=True)
        if isinstance(trouble, OSError):
            what = trouble.strerror or str(trouble)
            hint = "is it up, and is credentials.api.url right?"
            return Transient(f"cannot reach {self.source}: {what}", hint=hint, unreachable=True)
        return Transient(f"{self.source} does not speak proper HTTP ({type(trouble).__name__})")

    def _tls_trouble(self, trouble: ssl.SSLError) -> LockedOut:
        reason, hint = trouble.reason or "handshake failed", f"is {self.source} really served over https?"
        if isinstance(trouble, ssl.SSLCertVerificationError):
            reason = trouble.verify_message
            hint = (
                "the certificate must be valid for that name and from a CA in ca_file or the system's store"
            )
            if trouble.verify_code in {_NOT_YET_VALID, _EXPIRED}:
                hint = f"renew the server's certificate, unless this machine's clock is wrong; {hint}"
        if _OF_OURS.search(reason):
            hint = "the API wants another certificate of us: see credentials.api.client_cert and client_key"
        return LockedOut(f"TLS with {self.source} failed: {reason}", code="tls", hint=hint)

    def _fault(self, answer: Answer, now: float) -> SyncdError:
        """What an answer other than 200 means."""
        status = answer.status
        said = read_complaint(answer.body, self.secrets())
        message = f"{self.source} answered {status}" + (f": {said}" if said else "")
        wish = _retry_after(answer, now)
        if status in {_TIMEOUT, _TOO_EARLY, _TOO_MANY} or status >= 500:  # noqa: PLR2004 - the class 5xx
            return Transient(message, retry_after=wish)
        if status < 400:  # noqa: PLR2004 - the classes 2xx and 3xx
            return Transient(message, hint=_WRONG_PLACE, retry_after=wish)
        hint = "credentials.api.url does not seem to be a credential API, or it does not take our request"
        if status in {401, 403}:
            hint = "the API does not accept this token for this device: check token_file and device"
        return LockedOut(message, code="credentials", hint=hint, retry_after=wish)

    def _fetched(self, answer: Answer) -> Fetched:
        if answer.flaw:
            raise Transient(f"the answer of {self.source} {answer.flaw}", hint=_WRONG_PLACE)
        if "html" in answer.headers.get("content-type", "").lower():
            raise Transient(f"{self.source} answered with a web page", hint=_WRONG_PLACE)
        credentials = read_credentials(answer.body)
        date = read_http_date(answer.headers.get("date"))
        lifetime = (credentials.expires_at or 0.0) - (self._now() if date is None else date)
        if date is None and self._may_be_wrong():
            lifetime = trial(lifetime)
        if lifetime <= 0:
            raise Transient(
                f"{self.source} handed out credentials that expired {-lifetime:.0f} s ago",
                hint="it hands out an old set, or its clock is wrong"
                + ("; it sent no Date, so this machine's clock was believed" if date is None else ""),
            )
        return Fetched(credentials=credentials, lifetime=lifetime)


def trial(lifetime: float) -> float:
    """How long a set is tried of which only our own clock, which may be wrong, says how long it lives."""
    return min(max(lifetime, _SHORTEST_TRIAL), _LONGEST_TRIAL)


def fetch_once(
    *,
    url: str,
    device: str,
    token_file: str | Path,
    ca_file: str | Path | None = None,
    identity: Identity | None = None,
    timeout: float = 30.0,
    clock: Clock,
    server_time: ServerTime | None = None,
) -> Fetched:
    """Ask the credential API once, for the verbs. Raises ConfigError, Transient, LockedOut."""
    api = CredentialApi(
        url=url,
        device=device,
        token_file=token_file,
        ca_file=ca_file,
        identity=identity,
        timeout=timeout,
        clock=clock,
        server_time=server_time,
    )
    return api.fetch()


def _retry_after(answer: Answer, now: float) -> float | None:
    """The server's wish in seconds, at most 15 minutes; None for nonsense and for moments gone by."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,18}", value):
        return min(float(value), _LONGEST_RETRY_AFTER)
    moment = read_http_date(value)
    if moment is None:
        return None
    date = read_http_date(answer.headers.get("date"))
    seconds = moment - (now if date is None else date)
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds > 0 else None
