"""The composition root of the verbs that ask the destination by themselves: with the daemon's configuration, beside it.

They fetch credentials of their own, and hold no lock: what they need of the ledger they ask the daemon for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from syncd import app
from syncd.adapters.clock import SystemClock
from syncd.adapters.server_time import LearntTime
from syncd.config.model import Config
from syncd.errors import SyncdError
from syncd.household import open_destination
from syncd.model import CredentialSet
from syncd.policies import destination_policy
from syncd.ports import Clock, ObjectStore, ServerTime, Sums

FRESH_S = 300.0
"""A set is fetched anew after so long: the shortest session lasts three times that."""


class OwnCredentials:
    """Implements `Credentials` for one verb. Unlike the daemon's keeper it may let a request wait for the API."""

    def __init__(self, fetch: Callable[[], CredentialSet], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._held: tuple[CredentialSet, float] | None = None

    def current(self) -> CredentialSet:
        """The set in use, a new one where it is old. Raises LockedOut, Transient."""
        with self._lock:
            if self._held is None or self._clock.boottime() - self._held[1] > FRESH_S:
                self._take()
            return self._held[0] if self._held is not None else self._take()

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:  # noqa: ARG002 - the port's
        """Another one than the rejected. Raises LockedOut, Transient."""
        with self._lock:
            if self._held is not None and self._held[0] is not rejected:
                return self._held[0]
            return self._take()

    def _take(self) -> CredentialSet:
        began = self._clock.boottime()
        self._held = self._fetch(), began
        return self._held[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Abroad:
    """The destination as a verb sees it. `prefix`: what this device's keys begin with."""

    store: ObjectStore
    sums: Sums
    credentials: CredentialSet
    bucket: str
    prefix: str
    server_time: ServerTime


@contextmanager
def abroad(config: Config) -> Iterator[Abroad]:
    """The destination, with credentials that were just fetched. Raises ConfigError, LockedOut, Transient, SyncdError."""
    clock = SystemClock()
    server_time = LearntTime(clock)
    own = OwnCredentials(lambda: app.fetch_credentials(config, clock), clock)
    found, policy = own.current(), destination_policy(config)
    bucket = policy.bucket_for(found)
    if bucket is None:
        raise SyncdError(
            "neither the configuration nor the credential API names a bucket", hint="set destination.bucket"
        )
    store, sums = open_destination(
        config, credentials=own, clock=clock, stop=threading.Event(), server_time=server_time
    )
    with closing(store):
        yield Abroad(
            store=store,
            sums=sums,
            credentials=found,
            bucket=bucket,
            prefix=policy.prefix_for(found, config.device),
            server_time=server_time,
        )
