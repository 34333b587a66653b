"""One file, one store, and as many lives of the daemon as it takes: crashes at outside calls, and who judges them.

A `Fuse` ends a life at one call by an exception. `at_every_point` lives once and forks the world at every call instead,
before and after its effect: what lies on the disk and at the store then is what a crash there would leave.

The oracle: the object has the file's bytes, as many Puts and Completes succeeded as there were versions, no upload is
left open that is not counted, the source is untouched, or gone after a proof and whole where it was moved to, the ledger is
sound and claims nothing that is not so. No secret is in the ledger or in the log that a life leaves, however it ends.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support.fake_store import TOKEN, FakeStore
from support.house import BUCKET, FakeClock, House, build_house
from support.tally import count
from support.witness import Words, assert_no_secret, assert_sound

from syncd.adapters.hands import HandsFile
from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.decide.dispose import DisposalPolicy
from syncd.model import CredentialSet, State, Transfer

EFFECTS = {
    *("put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"),
    *("commit", "record_part", "abort_failed", "accept_root", "remember_checksum_ignored"),
    *("forget_waits", "first_scan_ended", "condemn", "open", "put_away", "bring_back"),
    *("bring_forward", "prune", "set_pause"),
    *("take", "let_go"),
}
"""Every call that changes something outside, or whose answer may be lost on the way: where a life may end."""

LEFT_BEHIND = ("", "-wal", "-shm", ".inhand")
"""What a life leaves beside each other: the ledger's files, and what it had in hand."""

KEY = (BUCKET, "cam/inbox/film")
CANARIES = ("canary-of-the-secret-key", "canary-of-the-session-token")


class Crash(BaseException):
    """The power went."""


class CanaryCredentials:
    """Whose secrets must not turn up anywhere."""

    def current(self) -> CredentialSet:
        return CredentialSet(
            access_key="AKIA",
            secret_key=CANARIES[0],
            session_token=CANARIES[1],
            expires_at=None,
            bucket=BUCKET,
            prefix="cam/",
        )

    def renew(self, rejected: CredentialSet) -> CredentialSet:
        return self.current()


@dataclass(frozen=True)
class Point:
    """Where a life ends: at its n-th outside call, before the effect or after it."""

    number: int
    name: str
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} call {self.number} ({self.name})"


class Fused:
    """A port whose outside calls go through `around`."""

    def __init__(self, port: Any, around: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._port = port
        self._around = around

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in EFFECTS:
            return method
        return lambda *args, **kwargs: self._around(name, lambda: method(*args, **kwargs))


@dataclass
class Fuse:
    """Burns at the k-th outside call; `after`: the effect takes place first, also one that is answered by an error."""

    at: int
    after: bool
    calls: int = 0
    told: list[str] = field(default_factory=list)

    def wrap(self, port: Any) -> Any:
        return Fused(port, self._around)

    def _around(self, name: str, call: Callable[[], Any]) -> Any:
        self.calls += 1
        self.told.append(name)
        burns = self.calls == self.at
        if burns and not self.after:
            raise Crash(name)
        try:
            return call()
        finally:
            if burns:
                raise Crash(name)


class Camera:
    """Tells at every outside call, before and after its effect, and lets it pass."""

    def __init__(self, shoot: Callable[[Point], None]) -> None:
        self._shoot = shoot
        self._calls = 0

    def wrap(self, port: Any) -> Any:
        return Fused(port, self._around)

    def _around(self, name: str, call: Callable[[], Any]) -> Any:
        self._calls += 1
        number = self._calls
        self._shoot(Point(number, name, after=False))
        try:
            return call()
        finally:
            self._shoot(Point(number, name, after=True))


@dataclass
class Trial:
    """The world around the lives. `writes`: how often the daemon may write the object; `stays`: whose else it stays.

    `goes`: what the file held that is not kept under `disposal`. `threshold`: from this size on it goes in parts.
    `bodies`: so many parts are received in all, however many lives it takes; None: it is not counted.
    `remembers_hands`: what is in hand is remembered beyond the end of a life, and those calls are points to crash at too.
    """

    root: Path
    states: Path
    store: FakeStore
    writes: int = 1
    stays: bytes | None = None
    goes: bytes | None = None
    disposal: DisposalPolicy = field(default_factory=DisposalPolicy)
    overwrite: bool = False
    threshold: int = 6
    bodies: int | None = None
    remembers_hands: bool = False
    lives: int = 0
    words: Words = field(default_factory=Words)

    def live(self, fuse: Fuse | Camera | None) -> bool:
        """One life of the daemon on the ledger the last one left; True if it came to its end."""
        state, clock = self._next_life()
        ledger = open_ledger(state, clock)
        hands = HandsFile(Path(f"{state}.inhand"), clock) if self.remembers_hands else None
        try:
            self._judge_found(ledger)
            house = self._house(state, clock, ledger, hands, fuse)
            house.run()
        except Crash:
            self._keep(state)
            self._judge_secrets(state)
            return False
        else:
            self._judge(house, state)
            self._keep(state)
            return True
        finally:
            ledger.close()
            if hands is not None:
                hands.close()

    def _next_life(self) -> tuple[Path, FakeClock]:
        self.lives += 1
        state = self.states / f"life-{self.lives}" / "state.db"
        state.parent.mkdir(parents=True)
        before = self.states / f"life-{self.lives - 1}" / "state.db"
        for suffix in LEFT_BEHIND:
            if Path(f"{before}{suffix}.crash").exists():
                shutil.copyfile(f"{before}{suffix}.crash", f"{state}{suffix}")
        clock = FakeClock()
        clock.advance(1000.0 * self.lives)
        return state, clock

    def _house(
        self,
        state: Path,
        clock: FakeClock,
        ledger: SqliteLedger,
        hands: HandsFile | None,
        fuse: Fuse | Camera | None,
    ) -> House:
        self.words.listen()
        wrap = fuse.wrap if fuse else lambda port: port
        return build_house(
            self.root,
            state,
            self.store,
            clock=clock,
            ledger=ledger,
            wrap=wrap,
            credentials=CanaryCredentials(),
            disposal=self.disposal,
            overwrite=self.overwrite,
            threshold=self.threshold,
            hands=wrap(hands) if hands else None,
        )

    def fork(self, name: str) -> Trial:
        """The same disk and the same store as they are at this moment, to go on with in another way."""
        self._keep(self.states / f"life-{self.lives}" / "state.db")
        states = self.states / f"fork-{name}"
        shutil.copytree(
            self.states / f"life-{self.lives}",
            states / f"life-{self.lives}",
            ignore=lambda _, names: [each for each in names if not each.endswith(".crash")],
        )
        return replace(self, states=states, store=copy.deepcopy(self.store))

    @staticmethod
    def _keep(state: Path) -> None:
        """The files as they are now, without closing anything: what the next life finds."""
        for suffix in LEFT_BEHIND:
            if Path(f"{state}{suffix}").exists():
                shutil.copyfile(f"{state}{suffix}", f"{state}{suffix}.crash")

    # -- the oracle

    def _judge_found(self, ledger: SqliteLedger) -> None:
        """What a crash left: nothing is recorded that the store did not acknowledge."""
        for row in ledger.live(100):
            recorded = ledger.parts(row.id)
            upload = self.store.uploads.get(row.upload_id or "")
            if row.state is State.UPLOADING and upload is not None:
                acknowledged = {number: part.etag for number, (_, part) in upload.parts.items()}
                for part in recorded:
                    assert acknowledged.get(part.number) == part.etag, f"part {part.number} was never sent"
        if self.goes is not None and not self._inbox(self.goes):
            assert self.store.objects[KEY].data == self.goes, "the file went without a proof"
            self._judge_moved()
        row = ledger.at(str(self.root).encode(), b"film")
        if row is not None and row.proof is not None:
            self._judge_object(row.token)

    def _inbox(self, film: bytes) -> list[Path]:
        """What lies there, under its own name or aside: the film, whole."""
        there = list(self.root.iterdir())
        assert [each.read_bytes() for each in there] in ([], [film]), "the file is another than it was"
        return there

    def _judge_moved(self) -> None:
        """A file that was moved lies at its destination, whole, and nothing else does."""
        if self.disposal.move_to is not None:
            sent = Path(os.fsdecode(self.disposal.move_to))
            there = {each.name: each.read_bytes() for each in sent.iterdir()}
            assert there == {"film": self.goes}, f"where the file was moved to lies {there}"

    def _judge_object(self, token: str | None) -> None:
        kept = self.store.objects[KEY]
        assert kept.metadata.get(TOKEN) == token, "another object than the proven one is there"
        assert token in {written for _, written in self.store.writes}, "nobody wrote what is proven"

    def _judge(self, house: House, state: Path) -> None:
        assert list(self.root.iterdir()) == ([self.root / "film"] if self.goes is None else [])
        self._judge_moved()
        data = self.stays or self.goes or (self.root / "film").read_bytes()
        assert self.store.objects[KEY].data == data, "the object has not the bytes that it should have"
        assert len(self.store.writes) == self.writes, f"written {len(self.store.writes)} times"
        received = len(self.store.part_bodies)
        assert self.bodies in {None, received}, f"{received} parts were received instead of {self.bodies}"
        self._judge_row(house.row("film"))
        assert set(self.store.objects) == {KEY}, "an object that nobody asked for"
        self._judge_uploads(house)
        assert_sound(state)
        self._judge_hands(state, house.clock)
        self._judge_secrets(state)
        count("trials")

    def _judge_row(self, row: Transfer) -> None:
        if self.stays is not None:
            assert row.parked_reason is not None, "another one's object was taken for ours"
            return
        assert row.state is State.DONE
        assert row.proof is not None
        assert row.strikes <= self.lives - 1, "it was blamed for more ends than there were"
        self._judge_object(row.token)

    def _judge_uploads(self, house: House) -> None:
        counted = house.world.ledger.totals().possible_orphans
        assert counted <= self.lives - 1, "more orphans are suspected than crashes happened"
        if self.store.may_list_uploads:
            assert not self.store.uploads, "an upload was left open"
        else:
            assert len(self.store.uploads) <= counted, "an upload was left open and not counted"

    def _judge_hands(self, state: Path, clock: FakeClock) -> None:
        """A life that comes to its end has nothing in hand, so it can be nobody's fault."""
        if self.remembers_hands:
            copy = state.with_suffix(".hands")
            shutil.copyfile(f"{state}.inhand", copy)
            looked = HandsFile(copy, clock)
            left = looked.left()
            looked.close()
            assert left == [], f"{left} are left in hand"

    def _judge_secrets(self, state: Path) -> None:
        """What this life left, and what it and those that were forked from it said; the next one begins to listen anew."""
        assert_no_secret(CANARIES, self.words.said, state)
        self.words.said.clear()


Then = Callable[[Trial, Point], None]


def at_every_point(
    trial: Trial, then: Then, wanted: Callable[[int], bool] = lambda number: True
) -> list[str]:
    """Live once to the end; at every outside call that is wanted, and on either side of it, go on with a fork.

    Says at which points that failed, and how.
    """
    failures: list[str] = []

    def shoot(point: Point) -> None:
        if not wanted(point.number):
            return
        fork = trial.fork(f"{point.number}-{point.after}")
        try:
            then(fork, point)
        except Exception as failure:  # noqa: BLE001 - the outer life must not hear of it
            failures.append(f"{point}: {type(failure).__name__}: {failure}")
        finally:
            shutil.rmtree(fork.states)

    assert trial.live(Camera(shoot))
    return failures


def failing(make: Callable[[int], Trial]) -> list[str]:
    """Crash at every outside call by a fuse, in a world made for each trial; which trials failed, and how."""
    unharmed = Fuse(at=0, after=False)
    failures = _failure_of("without a crash", lambda: make(0).live(unharmed))
    for at in range(1, unharmed.calls + 1):
        for after in (False, True):
            point = Point(at, unharmed.told[at - 1], after)
            failures += _failure_of(str(point), lambda point=point: _crash_and_go_on(make, point))
    return failures


def _crash_and_go_on(make: Callable[[int], Trial], point: Point) -> None:
    trial = make(2 * point.number + point.after)
    trial.live(Fuse(point.number, point.after))
    assert trial.live(None)


def _failure_of(where: str, trial: Callable[[], Any]) -> list[str]:
    try:
        trial()
    except Exception as failure:  # noqa: BLE001 - told with its point
        return [f"{where}: {type(failure).__name__}: {failure}"]
    return []


def at_one_point(trial: Trial, then: Then, chance: random.Random) -> list[str]:
    """The same with a fork at one point of the life, each as likely as any other."""
    seen = 0
    chosen: list[tuple[Trial, Point]] = []

    def shoot(point: Point) -> None:
        nonlocal seen
        seen += 1
        if chance.random() * seen < 1.0:  # the n-th takes the place of the one before once in n
            if chosen:
                shutil.rmtree(chosen.pop()[0].states)
            chosen.append((trial.fork(f"{point.number}-{point.after}"), point))

    assert trial.live(Camera(shoot))
    fork, point = chosen[0]
    try:
        then(fork, point)
    except Exception as failure:  # noqa: BLE001 - told with its point
        return [f"{point}: {type(failure).__name__}: {failure}"]
    finally:
        shutil.rmtree(fork.states)
    return []


def lives_on(trial: Trial, _: Point) -> None:
    """The next life comes to its end."""
    assert trial.live(None)
