"""Crash at every outside call, before and after its effect; start again on the ledger as it was; and once more.

The oracle: the object has the file's bytes, exactly one Put or Complete succeeded, no upload is left open, the source
is untouched, the ledger is sound.
"""

from __future__ import annotations

import copy
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, FakeClock, build_house

from syncd.adapters.ledger import open_ledger
from syncd.model import State

EFFECTS = {
    *("put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"),
    *("commit", "record_part", "aborted", "abort_failed", "accept_root", "remember_checksum_ignored"),
    "open",
}


class Crash(BaseException):
    """The power went."""


@dataclass
class Fuse:
    """Burns at the k-th outside call; `after`: the effect takes place first."""

    at: int
    after: bool
    calls: int = 0
    told: list[str] = field(default_factory=list)

    def wrap(self, port: Any) -> Any:
        return Fused(port, self)


class Fused:
    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in EFFECTS:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            fuse = self._fuse
            fuse.calls += 1
            fuse.told.append(name)
            if fuse.calls == fuse.at and not fuse.after:
                raise Crash(name)
            result = method(*args, **kwargs)
            if fuse.calls == fuse.at:
                raise Crash(name)
            return result

        return call


@dataclass
class Trial:
    """One file, one store, and as many lives as it takes."""

    root: Path
    states: Path
    store: FakeStore
    lives: int = 0
    versions: int = 1

    def live(self, fuse: Fuse | None) -> bool:
        """One life of the daemon on the ledger the last one left; True if it came to its end."""
        self.lives += 1
        state = self.states / f"life-{self.lives}" / "state.db"
        state.parent.mkdir(parents=True)
        before = self.states / f"life-{self.lives - 1}" / "state.db"
        for suffix in ("", "-wal", "-shm"):
            source = Path(f"{before}{suffix}.crash")
            if source.exists():
                shutil.copyfile(source, f"{state}{suffix}")
        clock = FakeClock()
        clock.advance(1000.0 * self.lives)
        ledger = open_ledger(state, clock)
        house = build_house(
            self.root,
            state,
            self.store,
            clock=clock,
            ledger=ledger,
            wrap=fuse.wrap if fuse else lambda port: port,
        )
        try:
            house.run()
        except Crash:
            self._keep(state)
            return False
        else:
            self._judge(house.states(), state)
            self._keep(state)
            return True
        finally:
            ledger.close()

    def fork(self, number: int) -> Trial:
        """The same disk and the same store as they are now, to go on with in another way."""
        states = self.states / f"fork-{number}"
        shutil.copytree(self.states / f"life-{self.lives}", states / f"life-{self.lives}")
        return replace(self, states=states, store=copy.deepcopy(self.store))

    @staticmethod
    def _keep(state: Path) -> None:
        """The files as they are now, without closing anything: what the next life finds."""
        for suffix in ("", "-wal", "-shm"):
            if Path(f"{state}{suffix}").exists():
                shutil.copyfile(f"{state}{suffix}", f"{state}{suffix}.crash")

    def _judge(self, states: dict[bytes, State], state: Path) -> None:
        data = (self.root / "film").read_bytes()
        kept = self.store.objects[BUCKET, "cam/inbox/film"]
        assert kept.data == data
        assert len(self.store.writes) == self.versions, f"written {len(self.store.writes)} times"
        assert states == {b"film": State.DONE}
        if self.store.may_list_uploads:
            assert not self.store.uploads, "an upload was left open"
        else:
            assert len(self.store.uploads) <= self.lives - 1
        with sqlite3.connect(f"file:{state}?mode=ro", uri=True) as look:
            assert look.execute("PRAGMA quick_check").fetchone() == ("ok",)
        look.close()


CONTENT = {"empty": b"", "one part": b"12345", "three parts": b"abcdefghijklm"}


@pytest.fixture
def fast_directory(tmp_path: Path) -> Iterator[Path]:
    """Memory where there is some: a sweep syncs thousands of times."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    place = memory / f"syncd-sweep-{tmp_path.name}-{id(tmp_path)}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def trials(place: Path, data: bytes, *, may_list: bool = True) -> Iterator[Trial]:
    root = place / "inbox"
    root.mkdir(parents=True)
    (root / "film").write_bytes(data)
    status = (root / "film").stat()
    number = 0
    while True:
        number += 1
        states = place / f"trial-{number}"
        yield Trial(root, states, FakeStore(may_list_uploads=may_list))
        shutil.rmtree(states)
        after = (root / "film").stat()
        assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
            status.st_ino,
            status.st_mtime_ns,
            status.st_ctime_ns,
        ), "the source file was touched"


def count_calls(trial: Trial) -> int:
    fuse = Fuse(at=0, after=False)
    assert trial.live(fuse)
    return fuse.calls


@pytest.mark.parametrize("may_list", [True, False], ids=["may list uploads", "may not list uploads"])
@pytest.mark.parametrize("name", CONTENT)
def test_a_crash_at_any_outside_call_costs_nothing(fast_directory: Path, name: str, may_list: bool) -> None:
    supply = trials(fast_directory, CONTENT[name], may_list=may_list)
    calls = count_calls(next(supply))
    assert calls > 5
    for at in range(1, calls + 1):
        for after in (False, True):
            trial = next(supply)
            assert not trial.live(Fuse(at=at, after=after)), "the fuse did not burn"
            assert trial.live(None)


@pytest.mark.parametrize("name", CONTENT)
def test_a_crash_while_a_new_version_replaces_the_old_costs_nothing(fast_directory: Path, name: str) -> None:
    root = fast_directory / "inbox"
    root.mkdir()

    def trial(number: int) -> Trial:
        made = Trial(root, fast_directory / f"trial-{number}", FakeStore())
        (root / "film").write_bytes(b"the former version")
        assert made.live(None)
        (root / "film").write_bytes(CONTENT[name])
        made.versions = 2
        return made

    calls = count_calls(trial(0))
    for at in range(1, calls + 1):
        for after in (False, True):
            made = trial(2 * at + after)
            assert not made.live(Fuse(at=at, after=after))
            assert made.live(None)


@pytest.mark.parametrize("name", CONTENT)
def test_a_second_crash_in_the_recovery_costs_nothing_either(fast_directory: Path, name: str) -> None:
    supply = trials(fast_directory, CONTENT[name])
    calls = count_calls(next(supply))
    pairs = 0
    for at in range(1, calls + 1):
        for after in (False, True):
            crashed = next(supply)
            assert not crashed.live(Fuse(at=at, after=after))
            for second in range(1, 1000):
                trial = crashed.fork(second)
                if trial.live(Fuse(at=(second + 1) // 2, after=second % 2 == 0)):
                    break  # it came to its end before the fuse burnt: every point of this recovery was tried
                pairs += 1
                assert trial.live(None)
                shutil.rmtree(trial.states)
    assert pairs > calls
