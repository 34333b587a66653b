"""A whole house in one thread: real ledger, real disk, serial pools, a clock that is told the time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from support.clock import FakeClock

from syncd.act.board import Board
from syncd.act.gate import Gate
from syncd.act.mailbox import Mailbox
from syncd.act.pulse import HeardStore, Pulse
from syncd.act.world import DestinationPolicy, FolderPolicy, World
from syncd.adapters.disk import LocalDisk, ignore_lease_signals
from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.adapters.s3.sums import AwsSums
from syncd.adapters.watch import NullWatcher
from syncd.clerk import Clerk
from syncd.decide.keys import parse
from syncd.decide.plan import PlanPolicy
from syncd.decide.settle import SettlePolicy
from syncd.decide.states import ENDED, allowed
from syncd.errors import SyncdError
from syncd.model import Algorithm, Change, CredentialSet, Move, State, Transfer

T = TypeVar("T")

BUCKET = "captures"


def computable(algorithm: Algorithm) -> bool:
    """Whether this machine can sum so: without awscrt not all of them."""
    try:
        AwsSums().new(algorithm)
    except SyncdError:
        return False
    return True


def hold_to_the_picture(ledger: SqliteLedger) -> None:
    """Every move of every test must be an arrow of the picture in `decide.states`."""
    commit = ledger.commit

    def checked(changes: Sequence[Change]) -> list[int]:
        for change in changes:
            if isinstance(change, Move):
                assert allowed(change.was, change.to), f"no arrow leads from {change.was} to {change.to}"
        return commit(changes)

    ledger.commit = checked  # type: ignore[method-assign]


class SerialFiles:
    def submit(self, job: Callable[[], T]) -> Future[T]:
        return done(job)


class SerialBodies:
    def __init__(self, size: int) -> None:
        self._buffer = memoryview(bytearray(size))

    def submit(self, job: Callable[[memoryview], T], *, flow: int, cost: int) -> Future[T]:
        return done(lambda: job(self._buffer))


def done(job: Callable[[], T]) -> Future[T]:
    """Run it here and now; what is no Exception (a simulated crash) goes straight through."""
    future: Future[T] = Future()
    try:
        future.set_result(job())
    except Exception as failure:  # noqa: BLE001 - whoever waits for the future gets it
        future.set_exception(failure)
    return future


class EmptyHands:
    """Remembers nothing: a death of the process is nobody's fault."""

    def left(self) -> list[int]:
        return []

    def take(self, transfer: int) -> None:
        pass

    def let_go(self, transfer: int) -> None:
        pass


class FixedCredentials:
    def current(self) -> CredentialSet:
        return CredentialSet(
            access_key="AKIA",
            secret_key="s",
            session_token="t",
            expires_at=None,
            bucket=BUCKET,
            prefix="cam/",
        )

    def renew(self, rejected: CredentialSet) -> CredentialSet:
        assert rejected
        return self.current()


@dataclass
class House:
    """`same`: a port as it is, or wrapped; `run` lives until nothing is left to do."""

    clerk: Clerk
    world: World
    clock: FakeClock
    gate: Gate
    mailbox: Mailbox

    def tick(self) -> float:
        delay = self.clerk.tick()
        self.clock.advance(max(delay, 0.001))
        return delay

    def run(self, ticks: int = 400, until: Callable[[], bool] | None = None) -> None:
        """Tick until all is done and cleared up (or `until` holds); fails when it does not come to rest."""
        finished = until or self.at_rest
        for _ in range(ticks):
            self.tick()
            if finished():
                return
        waiting = [(row.path, row.state, row.hint) for row in self.world.ledger.live(10)]
        raise AssertionError(f"it does not come to rest: {waiting}, gate {self.gate.closed()}")

    def at_rest(self) -> bool:
        scanned = all(desk.scans_done and not desk.scanning() for desk in self.clerk.folders)
        live = [row for row in self.world.ledger.live(10_000) if row.parked_reason is None]
        cleared = not self.world.ledger.aborts(self.clock.now() + 1e6, 1)
        return scanned and not live and cleared and not self.clerk.busy() and not self.clerk.reading_again()

    def row(self, name: str | bytes) -> Transfer:
        path = name.encode() if isinstance(name, str) else name
        folder = next(iter(self.world.folders))
        found = self.world.ledger.at(folder, path)
        assert found is not None, f"the ledger does not know {path!r}"
        return found

    def states(self) -> dict[bytes, State]:
        folder = next(iter(self.world.folders))
        return {row.path: row.state for row in self.world.ledger.between(folder, b"", None, 10_000)}

    def rescan(self) -> None:
        for desk in self.clerk.folders:
            desk.scan_soon("a test wants it")
            target = desk.scans_done + 1
            self.run(until=lambda desk=desk, target=target: desk.scans_done >= target)


def build_house(
    root: Path,
    state: Path,
    store: Any,
    *,
    clock: FakeClock | None = None,
    ledger: Any = None,
    wrap: Callable[[Any], Any] = lambda port: port,
    quiet_s: float = 0.0,
    part_size: int = 5,
    threshold: int = 6,
    checksum: Algorithm | None = None,
    overwrite: bool = False,
    buffer: int = 64,
    key: str = "{prefix}{folder}/{path}",
    marker: str | None = None,
    disk: Any = None,
    also: dict[bytes, str] | None = None,
    sums: AwsSums | None = None,
    credentials: Any = None,
    hands: Any = None,
    server_time: Any = None,
    require_answer: bool = False,
    **folder_options: Any,
) -> House:
    ignore_lease_signals()
    clock = clock or FakeClock()
    mailbox, tokens = Mailbox(), itertools.count(1)
    gate = Gate(clock, lambda: 0.5)
    policy = FolderPolicy(
        path=str(root).encode(),
        name="inbox",
        template=parse(key),
        settle=SettlePolicy(quiet_s=quiet_s, marker=marker, require_answer=require_answer),
        **folder_options,
    )
    real_ledger: SqliteLedger = ledger or open_ledger(state, clock)
    hold_to_the_picture(real_ledger)
    world = World(
        device="cam",
        folders={
            policy.path: policy,
            **{path: replace(policy, path=path, name=name) for path, name in (also or {}).items()},
        },
        destination=DestinationPolicy(checksum=checksum, overwrite=overwrite),
        plan=PlanPolicy(part_size=part_size, multipart_threshold=threshold),
        ledger=wrap(real_ledger),
        disk=wrap(disk or LocalDisk()),
        store=HeardStore(wrap(store), Pulse(clock), gate.passed),
        sums=sums or AwsSums(),
        credentials=credentials or FixedCredentials(),
        clock=clock,
        bodies=SerialBodies(buffer),
        bodies_at_once=2,
        board=Board(clock),
        hints=mailbox,
        token=lambda: f"token-{state.parent.name}-{next(tokens)}",
        chance=lambda: 0.5,
        stop=threading.Event(),
        server_time=server_time,
    )
    clerk = Clerk(
        world,
        files=SerialFiles(),
        files_at_once=2,
        mailbox=mailbox,
        gate=gate,
        watcher=NullWatcher(),
        hands=hands or EmptyHands(),
    )
    return House(clerk, world, clock, gate, mailbox)


__all__ = ["BUCKET", "ENDED", "FakeClock", "House", "build_house", "done"]
