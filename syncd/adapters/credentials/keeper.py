"""The keeper: renews credentials in a thread of its own, and hands out an immutable snapshot.

Nobody who signs a request waits for the network here. The old set stays in use as long as it is valid, whatever the
API does; its age counts by a clock that nobody can set, from the moment its fetch began. Refuses to end: every failure
is kept, shown and tried again. Refuses haste: no two forced renewals within five seconds.
"""

from __future__ import annotations

import math
import random
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import structlog

from syncd.adapters.credentials.api import CredentialApi, Fetched
from syncd.adapters.credentials.chain import CredentialChain
from syncd.errors import LockedOut, NoCredentials, SyncdError, Transient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncd.adapters.credentials.identity import Identity
    from syncd.model import CredentialSet
    from syncd.ports import Clock, ServerTime

log = structlog.get_logger()

State = Literal["ok", "stale", "expired", "none", "refused"]

_FLOOR = 5.0  # seconds between calls that somebody forces, or that short lives would ask for
_LONGEST_BACKOFF = 60.0
_REFUSED_PAUSE = 60.0
_LONGEST_LOOK = 60.0  # waiting does not count suspend, ageing does: look often enough to notice
_SHORT_LIFE = 15.0
_CHAIN_RENEWS_BEFORE = 600.0
_ENDLESS_LOOK = 900.0  # a set without an end may be replaced all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialStatus:
    """What the status document says: times in seconds since the epoch, `expires_at` by the issuer's clock.

    `failure`, `hint`, `since` belong to the failures after the last success.
    """

    source: str
    state: State
    expires_at: float | None
    renewed_at: float | None
    failure: str | None
    hint: str | None
    since: float | None
    renewals: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A set and how long it serves, by boottime."""

    credentials: CredentialSet
    fetched_at: float
    usable_until: float
    renewed_at: float  # wall
    rejected: bool = False  # S3 would not have it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why the last call brought nothing; the texts only, for an exception holds on to everything around it."""

    text: str
    hint: str | None
    refused: bool  # a person must look
    since: float  # wall, of the first in this row
    streak: int
    retry_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """All that readers may see, swapped whole."""

    held: _Held | None = None
    previous: CredentialSet | None = None
    failure: _Failure | None = None
    renewals: int = 0
    calls: int = 0


def open_keeper(
    *,
    url: str,
    device: str,
    token_file: str | Path,
    ca_file: str | Path | None,
    identity: Identity | None = None,
    timeout: float,
    renew_before: float,
    clock: Clock,
    on_change: Callable[[], None],
    jitter: Callable[[], float] = random.random,
    server_time: ServerTime | None = None,
) -> CredentialKeeper:
    """A keeper for the API at the address, not yet started. Raises ConfigError for an address that must not be."""
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
    return CredentialKeeper(
        fetch=api.fetch,
        clock=clock,
        renew_before=renew_before,
        jitter=jitter,
        on_change=on_change,
        source=api.source,
        also_secret=api.secrets,
    )


def open_chain_keeper(
    *,
    profile: str | None,
    clock: Clock,
    on_change: Callable[[], None],
    jitter: Callable[[], float] = random.random,
    server_time: ServerTime | None = None,
) -> CredentialKeeper:
    """A keeper over boto3's own chain, not yet started."""
    chain = CredentialChain(profile=profile, clock=clock, server_time=server_time)
    return CredentialKeeper(
        fetch=chain.fetch,
        clock=clock,
        renew_before=_CHAIN_RENEWS_BEFORE,
        jitter=jitter,
        on_change=on_change,
        source=chain_name(profile),
    )


def chain_name(profile: str | None) -> str:
    """How people are told of the chain."""
    return "chain" if profile is None else f"chain (profile {profile})"


class CredentialKeeper:
    """Implements `ports.Credentials`."""

    def __init__(
        self,
        *,
        fetch: Callable[[], Fetched],
        clock: Clock,
        renew_before: float,
        jitter: Callable[[], float],
        on_change: Callable[[], None],
        source: str = "",
        also_secret: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """`renew_before` in seconds, `jitter` gives 0..1, `on_change` (never raises) follows each swap or new state."""
        self._fetch = fetch
        self._clock = clock
        self._renew_before = renew_before
        self._jitter = jitter
        self._on_change = on_change
        self._source = source
        self._also_secret = also_secret
        self._view = _View()
        # Whoever holds it may call the API and write what stands below and the view; all others only read the view.
        self._flight = threading.Lock()
        self._try_at = clock.boottime()  # the thread's next call
        self._barred_until = clock.boottime()  # no forced call before
        self._announced: tuple[State, int, str | None] = ("none", 0, None)
        self._stopping = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to keep; the first call follows at once."""
        self._thread = threading.Thread(target=self._run, name="credentials", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 2.0) -> None:
        """Stop keeping. A call under way is waited for `patience` seconds, then left to die with the process."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(patience)

    def alive(self) -> bool:
        """Whether the thread runs, for supervision."""
        return self._thread is not None and self._thread.is_alive()

    def mend(self) -> bool:
        """Begin the thread anew if it has died; True if it had."""
        dead = self._thread is not None and not self._thread.is_alive() and not self._stopping
        if dead:
            self.start()
        return dead

    def current(self) -> CredentialSet:
        """The set in use, never by way of the network. Raises NoCredentials while there is none."""
        view = self._view
        if view.held is None or not self._usable(view.held):
            if self._clock.boottime() >= self._try_at:
                self._wake.set()  # the machine slept, and the thread's wait did not count that
            none = self._locked_out(view)
            raise NoCredentials(str(none), hint=none.hint, retry_after=none.retry_after)
        return view.held.credentials

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:
        """A set other than the rejected one; all who ask at once share one call.

        Raises LockedOut, saying why there is none. Then a `dead` set is not handed out again; one that is only suspected
        (S3 denied something, which may be a matter of its policy) serves on.
        """
        fresh = self._other_than(rejected)
        if fresh is not None:
            return fresh
        with self._flight:
            fresh = self._other_than(rejected)
            if fresh is None:
                self._refuse_haste(rejected if dead else None)
                self._call(rejected if dead else None)
                fresh = self._other_than(rejected)
        self._wake.set()  # the thread's next call is another now
        self._announce()
        if fresh is None:
            raise self._locked_out(self._view)
        return fresh

    def tick(self) -> float:
        """What the thread does over and over: call if it is time. Seconds until the next look."""
        with self._flight:
            if self._clock.boottime() >= self._try_at:
                self._call(None)
                self._log_failure()
        self._announce()
        now = self._clock.boottime()
        held = self._view.held
        expiry = held.usable_until if held is not None and self._usable(held) else self._try_at
        return max(0.0, min(self._try_at - now, expiry - now, _LONGEST_LOOK))

    def snapshot(self) -> CredentialStatus:
        """How things stand."""
        view = self._view
        held, failure = view.held, view.failure
        return CredentialStatus(
            source=self._source,
            state=self._state(view),
            expires_at=held.credentials.expires_at if held else None,
            renewed_at=held.renewed_at if held else None,
            failure=failure.text if failure else None,
            hint=failure.hint if failure else None,
            since=failure.since if failure else None,
            renewals=view.renewals,
            calls=view.calls,
        )

    def secrets(self) -> tuple[str, ...]:
        """What no log may show: of the set in use and the one before, and the token."""
        view = self._view
        sets = (view.held.credentials if view.held else None, view.previous)
        found = [secret for one in sets if one for secret in (one.secret_key, one.session_token) if secret]
        return (*found, *self._also_secret())

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()  # before the look, so that no call to wake is lost
            self._clock.wait(self._wake, 0.0 if self._stopping else self.tick())

    def _usable(self, held: _Held) -> bool:
        return not held.rejected and self._clock.boottime() < held.usable_until

    def _other_than(self, rejected: CredentialSet) -> CredentialSet | None:
        held = self._view.held
        if held is None or held.credentials == rejected or not self._usable(held):
            return None
        return held.credentials

    def _refuse_haste(self, rejected: CredentialSet | None) -> None:
        """Raises LockedOut when the API was called a moment ago, or asked us to wait, or refused us."""
        now, held = self._clock.boottime(), self._view.held
        if now >= self._barred_until:
            return
        if self._view.failure is None and held is not None:
            raise LockedOut(
                f"S3 refuses credentials that were renewed {now - held.fetched_at:.0f} s ago",
                code="credentials",
                hint="check the policy of the role, and the clocks of the credential API and of this machine",
                retry_after=self._barred_until - now,
            )
        self._reject(rejected)
        raise self._locked_out(self._view)

    def _reject(self, rejected: CredentialSet | None) -> None:
        held = self._view.held
        if held is not None and held.credentials == rejected:
            self._view = replace(self._view, held=replace(held, rejected=True))

    def _call(self, rejected: CredentialSet | None) -> None:
        """One call of the API; what came of it is in the view. The flight is ours."""
        began = self._clock.boottime()
        self._view = replace(self._view, calls=self._view.calls + 1)
        try:
            self._took(self._fetch(), began, rejected)
        except SyncdError as trouble:
            self._missed(trouble, rejected)
        except Exception as bug:  # noqa: BLE001 - the keeper outlives whatever it meets; the text may hold secrets
            self._missed(Transient(f"{type(bug).__name__} while fetching credentials"), rejected)

    def _took(self, fetched: Fetched, began: float, rejected: CredentialSet | None) -> None:
        view, life = self._view, fetched.lifetime
        held = view.held
        refused = {rejected, held.credentials if held is not None and held.rejected else None}
        if fetched.credentials in refused:
            hint = f"{self._source} must not hand out a set again that has expired"
            again = Transient("the source handed out again the set that S3 refused", hint=hint)
            self._missed(again, rejected)
            return
        lead = min(self._renew_before, life / 3) * (1 + self._jitter() / 10)
        self._barred_until = self._clock.boottime() + _FLOOR
        term = life - lead if math.isfinite(life) else _ENDLESS_LOOK
        self._try_at = max(began + term, self._barred_until)
        self._view = replace(
            view,
            held=_Held(
                credentials=fetched.credentials,
                fetched_at=began,
                usable_until=began + life - min(10.0, life / 20),
                renewed_at=self._clock.now(),
            ),
            previous=held.credentials if held is not None else None,
            failure=None,
            renewals=view.renewals + 1,
        )
        if held is None or held.credentials != fetched.credentials:
            self._log_success(fetched)

    def _missed(self, trouble: SyncdError, rejected: CredentialSet | None) -> None:
        view, now = self._view, self._clock.boottime()
        refused = isinstance(trouble, LockedOut)
        failure = _Failure(
            text=str(trouble),
            hint=trouble.hint,
            refused=refused,
            since=view.failure.since if view.failure else self._clock.now(),
            streak=view.failure.streak + 1 if view.failure else 1,
            retry_after=trouble.retry_after if isinstance(trouble, LockedOut | Transient) else None,
        )
        wish = failure.retry_after or 0.0
        longest = min(_LONGEST_BACKOFF, 2.0 ** min(failure.streak, 10))
        pause = _REFUSED_PAUSE if refused else 1.0 + self._jitter() * (longest - 1.0)
        self._try_at = now + max(pause, wish)
        self._barred_until = now + max(_REFUSED_PAUSE if refused else _FLOOR, wish)
        self._view = replace(view, failure=failure)
        self._reject(rejected)

    def _locked_out(self, view: _View) -> LockedOut:
        message, hint = "no credentials yet", "they are being fetched"
        if view.held is not None:
            message, hint = "the credentials have expired", "new ones are being fetched"
            if self._usable(view.held):
                message, hint = "there are no other credentials", "they will be renewed in time"
        if view.held is not None and view.held.rejected:
            message = "S3 refused the credentials"
        if view.failure is not None:
            message = f"{message}: {view.failure.text}"
        wait = max(0.0, self._try_at - self._clock.boottime())
        return LockedOut(
            message,
            code="credentials",
            hint=view.failure.hint if view.failure else hint,
            retry_after=wait,
        )

    def _state(self, view: _View) -> State:
        if view.held is not None and self._usable(view.held):
            return "stale" if view.failure else "ok"
        if view.failure is not None and view.failure.refused:
            return "refused"
        return "none" if view.held is None else "expired"

    def _announce(self) -> None:
        view = self._view
        now = (self._state(view), view.renewals, view.failure.text if view.failure else None)
        if now != self._announced:
            self._announced = now
            self._on_change()

    def _log_success(self, fetched: Fetched) -> None:
        expires_at = fetched.credentials.expires_at
        log.info(
            "credentials_renewed",
            expires_at=expires_at and datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="seconds"),
            lifetime_s=round(fetched.lifetime) if math.isfinite(fetched.lifetime) else None,
        )
        if fetched.lifetime < _SHORT_LIFE:
            log.warning("credentials_short_lived", lifetime_s=round(fetched.lifetime, 1))

    def _log_failure(self) -> None:
        """Only of the thread's own calls: a forced one raises. The same again is for those who debug."""
        failure = self._view.failure
        if failure is None:
            return
        known = failure.text == self._announced[2]
        emit = log.debug if known else log.warning
        emit(
            "credentials_refused" if failure.refused else "credentials_renewal_failed",
            error=failure.text,
            hint=failure.hint,
            next_try_s=round(self._try_at - self._clock.boottime(), 1),
        )
