"""The daemon whole, in one thread, under any order of changes, faults, kills and clocks that Hypothesis can think of.

The rules write, change, rename and delete recordings, let time pass, refuse, break and kill; `oracle` says what must hold
after every step, and what must have become of every file once the trouble has ended.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from schedules.oracle import Oracle, Seen, story
from schedules.recordings import PATHS, Recordings, ThriftyDisk
from schedules.troubles import CALLS_OF, DISK_CALLS, STORE_CALLS, Crash, DoorCredentials, Fuse, Troubles
from support.fake_store import TOKEN, FakeStore
from support.house import BUCKET, FixedCredentials, House, build_house, computable
from support.house import FakeClock as Clock
from support.tally import chance, count, sized

from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.adapters.server_time import LearntTime
from syncd.model import Algorithm

PREFIX = "cam/inbox/"
THRESHOLD = 6  # of build_house: from here on in parts of 5 bytes
SIZES = st.sampled_from([0, 4, 5, 6, 9, 13, 17, 24])
WHICH = st.integers(0, 7)
SECONDS = st.sampled_from([0.0, 0.0, 0.5, 5.0, 40.0])
MEDDLES = st.sampled_from(
    [
        *["rewrite"] * 3,
        *["append", "replace", "recreate", "rename"] * 2,
        "truncate",
        "delete",
        "touch",
        "swap",
        "write",
    ]
)
KINDS = st.sampled_from(sorted(CALLS_OF))
CALLS = st.sampled_from(sorted(STORE_CALLS))
MEDDLED = st.sampled_from([*["upload_part"] * 8, *["put", "complete"] * 3, *sorted(STORE_CALLS | DISK_CALLS)])
HOURS = st.sampled_from([-5.0, -1.5, -0.4, 0.4, 1.5, 5.0])
MEMORY = Path("/dev/shm")
REST_WITHIN_S = 3 * 3600.0


class Daemon(RuleBasedStateMachine):
    """One device and its destination, until Hypothesis has had enough."""

    def __init__(self) -> None:
        super().__init__()
        # One name for all: a path that is another each time sorts otherwise in sets, and nothing could be shrunk.
        memory = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
        self.place = memory / f"syncd-machine-{os.getpid()}"
        shutil.rmtree(self.place, ignore_errors=True)
        self.clock = Clock()
        self.began = self.clock.boot, self.clock.wall
        self.recordings = Recordings(self.place / "inbox", self.clock.monotonic)
        self.ledger: SqliteLedger
        self.lives = 0
        self.left_open = 0  # uploads that only a lost ledger knew of
        self.sound = False
        self.away: str | None = None

    @initialize(
        may_list=st.booleans(),
        checksum=st.sampled_from([None, "md5", "crc32", "sha256"]),
        buffer=st.sampled_from([64, 3]),
        quiet_s=st.sampled_from([0.0, 4.0]),
        repeats_complete=st.booleans(),
        sizes=st.lists(SIZES, min_size=1, max_size=4),
    )
    def begin(
        self,
        may_list: bool,
        checksum: str | None,
        buffer: int,
        quiet_s: float,
        repeats_complete: bool,
        sizes: list[int],
    ) -> None:
        self.store = FakeStore(
            may_list_uploads=may_list, now=self.true_time, repeats_complete=repeats_complete
        )
        self.troubles = Troubles(self.clock, self.store)
        self.oracle = Oracle(self.recordings, PREFIX, quiet_s)
        self.options: dict[str, Any] = {
            "checksum": None if checksum is None else Algorithm(checksum),
            "buffer": buffer,
            "quiet_s": quiet_s,
            "rescan_s": 30.0,
        }
        for path, size in zip(PATHS, sizes, strict=False):
            self.recordings.create(path, size)
        self.live()
        self.sound = True

    def true_time(self) -> float:
        """The store's clock: nobody sets it."""
        return self.began[1] + self.clock.boot - self.began[0]

    def live(self, *, anew: bool = False) -> None:
        """A life on the ledger that the last one left; `anew`: without it."""
        former = self.place / f"life-{self.lives}" / "state.db"
        self.lives += 1
        state = self.place / f"life-{self.lives}" / "state.db"
        state.parent.mkdir()
        for suffix in ("", "-wal", "-shm"):
            if Path(f"{former}{suffix}").exists() and not anew:
                shutil.copyfile(f"{former}{suffix}", f"{state}{suffix}")
        if self.lives > 1:
            self.ledger.close()
        self.ledger = open_ledger(state, self.clock)
        server_time = LearntTime(self.clock)
        self.troubles.heard = lambda: server_time.heard(
            self.true_time(), source="s3", asked_at=self.clock.boottime()
        )
        self.house: House = build_house(
            self.recordings.root,
            state,
            self.store,
            clock=self.clock,
            ledger=self.ledger,
            wrap=self.troubles.wrap,
            disk=ThriftyDisk(self.recordings),
            server_time=server_time,
            credentials=DoorCredentials(self.troubles, FixedCredentials().current()),
            **self.options,
        )

    def tick(self) -> None:
        self.mortal(self.house.tick)
        self.judge()

    def mortal(self, act: Callable[[], object]) -> None:
        """What the daemon does, and may not survive."""
        try:
            act()
        except Crash:
            self.kill()

    def kill(self) -> None:
        self.troubles.fuse = None
        self.troubles.kills += 1
        self.live()

    def judge(self) -> None:
        self.sound = False
        if self.away is None:
            self.oracle.step(self.ledger, self.objects(), self.store.written, set(self.store.part_bodies))
        self.sound = True

    def objects(self) -> dict[str, Seen]:
        return {
            key: Seen(kept.data, kept.etag, kept.metadata.get(TOKEN), kept.checksum)
            for (_, key), kept in self.store.objects.items()
        }

    # -- what a recorder or a person does

    @rule(to=st.sampled_from(PATHS), size=SIZES, hint=st.booleans(), seconds=SECONDS)
    def write(self, to: str, size: int, hint: bool, seconds: float) -> None:
        self.change("write", 0, to, size, sly=False, hint=hint, seconds=seconds)

    @rule(
        deed=st.sampled_from(["append", "truncate", "touch"]),
        which=WHICH,
        size=SIZES,
        sly=st.booleans(),
        hint=st.booleans(),
        seconds=SECONDS,
    )
    def go_on_writing(self, deed: str, which: int, size: int, sly: bool, hint: bool, seconds: float) -> None:
        self.change(deed, which, PATHS[0], size, sly=sly, hint=hint, seconds=seconds)

    @rule(
        deed=st.sampled_from(["rewrite", "replace", "recreate"]),
        which=WHICH,
        size=SIZES,
        sly=st.booleans(),
        hint=st.booleans(),
        seconds=SECONDS,
    )
    def put_another_in_its_place(
        self, deed: str, which: int, size: int, sly: bool, hint: bool, seconds: float
    ) -> None:
        self.change(deed, which, PATHS[0], size, sly=sly, hint=hint, seconds=seconds)

    @rule(
        deed=st.sampled_from(["rename", "rename", "swap"]),
        which=WHICH,
        to=st.sampled_from(PATHS),
        hint=st.booleans(),
        seconds=SECONDS,
    )
    def rename(self, deed: str, which: int, to: str, hint: bool, seconds: float) -> None:
        self.change(deed, which, to, 0, sly=False, hint=hint, seconds=seconds)

    @rule(which=WHICH, hint=st.booleans(), seconds=SECONDS)
    def delete(self, which: int, hint: bool, seconds: float) -> None:
        self.change("delete", which, PATHS[0], 0, sly=False, hint=hint, seconds=seconds)

    def change(
        self, deed: str, which: int, to: str, size: int, *, sly: bool, hint: bool, seconds: float
    ) -> None:
        """Something becomes of one of the files. `hint`: as the watcher would tell it."""
        for path in self.do(deed, which, to, size, sly):
            if hint:
                self.house.mailbox.path(os.fsencode(self.recordings.root), path.encode())
        self.pass_time(seconds)

    def do(self, deed: str, which: int, to: str, size: int, sly: bool) -> list[str]:
        """The deed, if it can be done now; the paths it was done to. `sly`: size and date stay as they were."""
        there = self.recordings.there()
        if self.away is not None or (not there and deed != "write"):
            return []
        path = there[which % len(there)] if there else ""
        paths = self._do(self.recordings, deed, path, to, size, sly)
        self.oracle.changed(self.ledger)
        return paths

    def _do(self, recordings: Recordings, deed: str, path: str, to: str, size: int, sly: bool) -> list[str]:
        match deed:
            case "write" if recordings.free():
                path = to if to not in recordings.files else recordings.free()[0]
                recordings.create(path, size)
            case "append":
                recordings.append(path, 4 + size % 7)
            case "truncate":
                recordings.truncate(path, size)
            case "rewrite":
                recordings.rewrite(path, keep_mtime=sly)
            case "replace":
                recordings.replace(path, size=None if sly else size, keep_mtime=sly)
            case "recreate":
                former = recordings.stat(path)
                recordings.delete(path)
                recordings.create(path, former.st_size if sly else size, like=former if sly else None)
            case "touch":
                recordings.touch(path, mtime=sly)
            case "rename" | "swap" if path != to:
                names = recordings.swap if deed == "swap" and to in recordings.files else recordings.rename
                names(path, to)
                return [path, to]
            case "delete":
                recordings.delete(path)
            case _:
                return []
        return [path]

    # -- time

    def pass_time(self, seconds: float) -> None:
        end = self.clock.mono + seconds
        while self.clock.mono < end:
            self.tick()

    @rule(seconds=st.sampled_from([1.0, 10.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(hours=HOURS, suspended=st.booleans(), seconds=SECONDS)
    def jump(self, hours: float, suspended: bool, seconds: float) -> None:
        """The clock is set; or the machine slept."""
        if suspended:
            self.clock.sleep(abs(hours) * 3600)
        else:
            self.clock.jump(hours * 3600)
        self.pass_time(seconds)

    # -- trouble

    @rule(kinds=st.lists(KINDS, min_size=1, max_size=4), seconds=SECONDS)
    def trouble(self, kinds: list[str], seconds: float) -> None:
        for kind in kinds:
            self.troubles.plan(kind, CALLS_OF[kind])
        self.pass_time(seconds)

    @rule(kind=st.sampled_from(["lost", "no_answer", "busy", "locked"]), call=CALLS, seconds=SECONDS)
    def trouble_with(self, kind: str, call: str, seconds: float) -> None:
        self.troubles.plan(kind, frozenset({call}))
        self.pass_time(seconds)

    @rule(
        call=MEDDLED,
        after=st.booleans(),
        aimed=st.booleans(),
        deed=MEDDLES,
        which=WHICH,
        to=st.sampled_from(PATHS),
        size=SIZES,
        sly=st.booleans(),
        seconds=SECONDS,
    )
    def meddle(
        self,
        call: str,
        after: bool,
        aimed: bool,
        deed: str,
        which: int,
        to: str,
        size: int,
        sly: bool,
        seconds: float,
    ) -> None:
        """The recorder comes in the middle of a call; `aimed`: to the very file that is being sent."""

        def act(key: str | None) -> None:
            there, path = self.recordings.there(), (key or "").removeprefix(PREFIX)
            chosen = there.index(path) if aimed and path in there else which
            self.do(deed, chosen, to, size, sly)

        self.troubles.meddle(frozenset({call}), after=after, deed=act)
        self.pass_time(seconds)

    @rule(path=st.sampled_from(PATHS))
    def stranger(self, path: str) -> None:
        self.troubles.put_foreign(BUCKET, PREFIX + path)

    @rule(seconds=SECONDS, stay=st.booleans())
    def refuse(self, seconds: float, stay: bool) -> None:
        """The credentials, by the API and by the store."""
        self.troubles.refused = True
        self.pass_time(seconds)
        self.troubles.refused = stay

    @rule(at=st.integers(1, 40), after=st.booleans(), seconds=SECONDS)
    def light_the_fuse(self, at: int, after: bool, seconds: float) -> None:
        self.troubles.fuse = Fuse(at, after)
        self.pass_time(seconds)

    @rule(seconds=SECONDS)
    def restart(self, seconds: float) -> None:
        self.kill()
        self.pass_time(seconds)

    @precondition(lambda self: self.away is None)
    @rule(seconds=SECONDS)
    def lose_the_ledger(self, seconds: float) -> None:
        self.oracle.ledger_lost(self.objects())
        self.left_open += len(self.store.uploads)
        self.troubles.fuse = None
        self.live(anew=True)
        self.pass_time(seconds)

    @precondition(lambda self: self.away is None)
    @rule(empty=st.booleans(), seconds=SECONDS)
    def unmount(self, empty: bool, seconds: float) -> None:
        """The folder is gone; `empty`: what it was mounted on is in its place."""
        self.away = "inbox.away"
        self.recordings.root.rename(self.place / self.away)
        if empty:
            self.recordings.root.mkdir()
        self.pass_time(seconds)

    @precondition(lambda self: self.away is not None)
    @rule()
    def mount(self) -> None:
        self.come_back()

    def come_back(self) -> None:
        if self.away is not None:
            if self.recordings.root.exists():
                self.recordings.root.rmdir()
            (self.place / self.away).rename(self.recordings.root)
            self.away = None

    @invariant()
    def holds(self) -> None:
        if self.sound:
            self.judge()

    # -- the end

    def teardown(self) -> None:
        try:
            if self.sound:
                self.end_well()
        except AssertionError as failure:
            failure.add_note(story(self.ledger))
            raise
        finally:
            if self.lives:
                self.ledger.close()
            shutil.rmtree(self.place)

    def end_well(self) -> None:
        self.troubles.end()
        self.come_back()
        for _ in range(2):
            self.come_to_rest()
            self.house.rescan()
        self.come_to_rest()
        self.oracle.rest(
            self.ledger,
            self.objects(),
            self.store.written,
            foreign=self.troubles.foreign,
            kills=self.troubles.kills,
        )
        self.clear_of_uploads()
        count("trials")
        count("kills", self.troubles.kills)

    def clear_of_uploads(self) -> None:
        left_open, counted = len(self.store.uploads), self.ledger.totals().possible_orphans
        may_be = self.left_open + (0 if self.store.may_list_uploads else counted)
        assert left_open <= may_be, f"{left_open} uploads left open, {counted} counted"

    def come_to_rest(self) -> None:
        end = self.clock.mono + REST_WITHIN_S
        while self.clock.mono < end:
            self.tick()
            if self.house.at_rest():
                return
        waiting = [(row.path, row.state, row.not_before, row.hint) for row in self.ledger.live(10)]
        aborts, clerk = self.ledger.aborts(1e12, 10), self.house.clerk
        desks = [(desk.state, desk.scans_done, desk.scanning()) for desk in clerk.folders]
        raise AssertionError(
            f"no rest at {self.clock.wall}: {waiting}, gate {self.house.gate.closed()}, aborts {aborts}, busy {clerk.busy()}, "
            f"{clerk.reading_again()} to read again, {desks}"
        )


@pytest.fixture(autouse=True)
def _silence() -> None:
    """Thousands of lives would tell their whole story."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def explore(seed: int, examples: int, steps: int) -> None:
    seeded = type("Daemon", (Daemon,), {"_hypothesis_internal_use_seed": seed})
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


needs_awscrt = pytest.mark.skipif(not computable(Algorithm.CRC64NVME), reason="one of the sums needs awscrt")


@needs_awscrt
def test_whatever_happens_in_whatever_order_every_file_arrives_once() -> None:
    explore(4, examples=40, steps=30)


@needs_awscrt
@pytest.mark.torture
@pytest.mark.timeout(sized(900, 7200))
@pytest.mark.parametrize("share", range(4))
def test_whatever_happens_in_a_long_row_every_file_arrives_once(share: int) -> None:
    explore(chance("machine", share).getrandbits(32), examples=sized(75, 400), steps=sized(40, 50))
