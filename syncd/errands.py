"""The composition root of the verbs that ask the destination by themselves: with the daemon's configuration, beside it.

They fetch credentials of their own, and hold no lock: what they need of the ledger they ask the daemon for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from syncd import app
from syncd.act.body import BLOCK, sum_of_span
from syncd.adapters.clock import SystemClock
from syncd.adapters.disk import LocalDisk
from syncd.adapters.server_time import LearntTime
from syncd.config.model import Config
from syncd.decide.audit import Proven, disagreements, local_disagreement
from syncd.decide.plan import spans
from syncd.errors import Refused, SyncdError, Vanished
from syncd.household import open_destination
from syncd.model import Algorithm, CredentialSet
from syncd.policies import destination_policy
from syncd.ports import Clock, OpenFile, ServerTime, Sums, TalkativeStore

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
    """The destination as a verb sees it. `prefix`: what this device's keys begin with; `region` None: S3's default."""

    store: TalkativeStore
    sums: Sums
    credentials: CredentialSet
    bucket: str
    prefix: str
    region: str | None
    server_time: ServerTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """What a verb travels with: credentials that it fetches itself, and what time it is where it goes."""

    clock: Clock
    server_time: LearntTime
    own: OwnCredentials

    @classmethod
    def of(cls, config: Config) -> Papers:
        """Nothing is fetched yet."""
        clock = SystemClock()
        time = LearntTime(clock)
        own = OwnCredentials(lambda: app.fetch_credentials(config, clock, time), clock)
        return cls(clock=clock, server_time=time, own=own)


@contextmanager
def abroad(config: Config, papers: Papers | None = None) -> Iterator[Abroad]:
    """The destination, with credentials that were just fetched. Raises ConfigError, LockedOut, Transient, SyncdError."""
    papers = papers or Papers.of(config)
    clock, server_time, own = papers.clock, papers.server_time, papers.own
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
            region=config.destination.region or found.region,
            server_time=server_time,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An uploaded file as the ledger has it: what was proven, where the object is, where the file was."""

    proven: Proven
    bucket: str
    key: str
    part_size: int | None
    folder: bytes
    path: bytes

    @classmethod
    def read(cls, document: dict[str, Any]) -> Claim:
        """From what the view tells."""
        return cls(
            proven=Proven(
                token=document["token"],
                size=document["size"],
                algorithm=Algorithm(document["algorithm"]),
                checksum=document["checksum"],
                etag=document["etag"],
            ),
            bucket=document["bucket"],
            key=document["key"],
            part_size=document["part_size"],
            folder=bytes.fromhex(document["folder"]),
            path=bytes.fromhex(document["name"]),
        )


def look_at_object(claim: Claim, there: Abroad) -> list[str]:
    """What the object shows otherwise than was proven. Raises what the store raises, but for refusals of this key."""
    try:
        return disagreements(claim.proven, there.store.head(claim.bucket, claim.key))
    except Refused as refused:
        return [str(refused)]


def read_local(claim: Claim, sums: Sums) -> tuple[str, str | None]:
    """`same`, `gone`, `unread` or `differs`, and what is to be said of it."""
    try:
        file = LocalDisk().open(claim.folder, claim.path)
    except Vanished:
        return "gone", None
    except SyncdError as error:
        return "unread", str(error)
    try:
        size = file.fingerprint().size
        checksum = _sum(claim, file, sums) if size == claim.proven.size else ""
    except SyncdError as error:
        return "unread", str(error)
    finally:
        file.close()
    told = local_disagreement(claim.proven, size, checksum)
    return ("same", None) if told is None else ("differs", told)


def _sum(claim: Claim, file: OpenFile, sums: Sums) -> str:
    """Over the whole file, as the store shows it for an object that was sent in parts of this size."""
    block, algorithm = memoryview(bytearray(BLOCK)), claim.proven.algorithm
    parts = [
        (sum_of_span(file, span, block, algorithm, sums), span.size)
        for span in spans(claim.proven.size, claim.part_size)
    ]
    return sums.whole(algorithm, parts, multipart=claim.part_size is not None)
