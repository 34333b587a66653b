"""What the world does to the daemon in a trial: faults of the store, the ledger and the disk, and the power going.

Wraps the ports. A trouble is planned ahead and strikes at the next call that it fits; `Fuse` burns at the k-th outside
call. Store faults are those that the S3 adapter makes of real answers: a doubtful Put is `Doubtful`, not `Transient`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from support.fake_store import FakeStore, Kept
from support.house import FakeClock

from syncd.adapters.ledger import SqliteLedger
from syncd.adapters.s3.outages import LostAnswer
from syncd.errors import Conflict, Doubtful, LedgerFull, LockedOut, SyncdError, Transient
from syncd.model import Algorithm, CredentialSet, Target

FOREIGN = "somebody else's"

STORE_CALLS = frozenset(
    {
        *("put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"),
    }
)
LEDGER_CALLS = frozenset(
    {
        *("commit", "record_part", "abort_failed", "accept_root", "remember_checksum_ignored"),
        *("forget_waits", "first_scan_ended", "bring_forward"),
    }
)
DISK_CALLS = frozenset({"open", "look", "writer"})
WRITES = frozenset({"put", "complete"})


UNSEEN_FORMER_PATHS_ARE_ASKED_AGAIN = False
"""Known and open: a renamed file whose former path cannot be looked at in that moment is taken for a new one, and sent again."""


class Crash(BaseException):
    """The power went."""


@dataclass
class Fuse:
    """Burns at the k-th outside call; `after`: its effect takes place first."""

    at: int
    after: bool
    calls: int = 0

    def before_call(self) -> None:
        self.calls += 1
        if self.calls == self.at and not self.after:
            raise Crash

    def after_call(self) -> None:
        if self.calls == self.at and self.after:
            raise Crash


@dataclass
class Trouble:
    """Strikes at the next call whose name is in `calls`; `act` gets (carry out, name, arguments)."""

    calls: frozenset[str]
    act: Callable[[Callable[[], Any], str, tuple[Any, ...]], Any]


@dataclass
class Troubles:
    """All that is planned; `wrap` puts it around a port."""

    clock: FakeClock
    store: FakeStore
    planned: list[Trouble] = field(default_factory=list)
    fuse: Fuse | None = None
    refused: bool = False
    """Whether the credentials are, by the API and by the store."""
    foreign: set[str] = field(default_factory=set)
    """Keys under which a stranger put something."""
    heard: Callable[[], None] = lambda: None  # the store answered, and its answer had a date
    kills: int = 0

    def wrap(self, port: Any) -> Any:
        return Wrapped(port, self)

    def call(self, name: str, carry_out: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        if name in STORE_CALLS and self.refused:
            raise LockedOut("InvalidAccessKeyId", code="credentials")
        if name in STORE_CALLS:
            self.heard()
        struck = next((each for each in self.planned if name in each.calls), None)
        if struck is None:
            return carry_out()
        self.planned.remove(struck)
        return struck.act(carry_out, name, arguments)

    def end(self) -> None:
        """From here on all goes well."""
        self.planned.clear()
        self.fuse, self.refused = None, False

    # -- kinds of trouble

    def plan(self, kind: str, calls: frozenset[str]) -> None:
        self.planned.append(Trouble(calls, getattr(self, f"_{kind}")))

    def meddle(self, calls: frozenset[str], *, after: bool, deed: Callable[[str | None], object]) -> None:
        """Something happens on the disk in the middle of a call; the deed is told the key of a call that carries bytes."""

        def act(carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
            key = arguments[0].key if isinstance(arguments[0], Target) else None
            if not after:
                deed(key)
            result = carry_out()
            if after:
                deed(key)
            return result

        self.planned.append(Trouble(calls, act))

    def _busy(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        raise Transient("SlowDown (HTTP 503)")

    def _unreachable(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        raise Transient("cannot reach the store", unreachable=True)

    def _lost(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        """The answer, not the effect."""
        with contextlib.suppress(SyncdError):
            carry_out()
        return self._no_answer(carry_out, name, arguments)

    def _no_answer(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        """Neither answer nor effect."""
        if name in WRITES:
            raise Doubtful("no answer in time")
        raise LostAnswer("no answer in time")

    def _locked(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        raise LockedOut("AccessDenied", code="permission")

    def _race(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        raise Conflict("ConditionalRequestConflict (HTTP 409)")

    def _aborted(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        """A lifecycle rule, or a person with a console."""
        self.store.uploads.pop(arguments[1], None)
        return carry_out()

    def _part_gone(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        upload = self.store.uploads.get(arguments[1])
        if upload is not None and upload.parts:
            del upload.parts[max(upload.parts)]
        return carry_out()

    def _stranger(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        target: Target = arguments[0]
        self.put_foreign(target.bucket, target.key)
        return carry_out()

    def _slow(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        self.clock.advance(40.0)
        return carry_out()

    def _suspended(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        self.clock.sleep(5000.0)
        return carry_out()

    def _ledger_full(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        raise LedgerFull("database or disk is full")

    def _disk_error(self, carry_out: Callable[[], Any], name: str, arguments: tuple[Any, ...]) -> Any:
        raise Transient("Input/output error")

    def put_foreign(self, bucket: str, key: str) -> None:
        """A stranger's object, where there is none yet."""
        if (bucket, key) not in self.store.objects:
            self.foreign.add(key)
            self.store.objects[bucket, key] = Kept(FOREIGN.encode(), '"f00"', {}, Algorithm.NONE, "")


CALLS_OF = {
    "busy": STORE_CALLS,
    "unreachable": STORE_CALLS,
    "lost": STORE_CALLS,
    "no_answer": STORE_CALLS,
    "locked": STORE_CALLS,
    "race": WRITES,
    "aborted": frozenset({"upload_part", "list_parts", "complete"}),
    "part_gone": frozenset({"list_parts", "complete"}),
    "stranger": frozenset({"put", "create", "upload_part", "complete"}),
    "slow": STORE_CALLS,
    "suspended": STORE_CALLS,
    "ledger_full": frozenset({"commit", "record_part"}),
    "disk_error": DISK_CALLS - (set() if UNSEEN_FORMER_PATHS_ARE_ASKED_AGAIN else {"look"}),
}


class Wrapped:
    """A port with troubles around it."""

    def __init__(self, port: Any, troubles: Troubles) -> None:
        self._port = port
        self._troubles = troubles
        calls = LEDGER_CALLS if isinstance(port, SqliteLedger) else STORE_CALLS | DISK_CALLS
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in self._calls:
            return method
        troubles = self._troubles

        def call(*arguments: Any, **options: Any) -> Any:
            fuse = troubles.fuse
            if fuse is not None:
                fuse.before_call()
            result = troubles.call(name, lambda: method(*arguments, **options), arguments)
            if fuse is not None:
                fuse.after_call()
            return result

        return call


@dataclass
class DoorCredentials:
    """The port `Credentials`, which a trial can close."""

    troubles: Troubles
    set: CredentialSet

    def current(self) -> CredentialSet:
        if self.troubles.refused:
            raise LockedOut("the API refuses us", code="credentials")
        return self.set

    def renew(self, rejected: CredentialSet) -> CredentialSet:
        return replace(self.current())
