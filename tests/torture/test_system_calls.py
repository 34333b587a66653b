"""The kernel says no, or the process dies, at the N-th system call on its files; then a normal life.

How many such calls there are is counted in a run of its own. Kills go by the count of all threads together: strace tells of each
call and holds it up, and the kill comes from here. What strace itself makes fail it counts by thread: `when=N` hits the thread
that first comes to its N-th call. (It cannot kill so: with `--seccomp-bpf`, strace 6.1 sends a signal at the first call or never.)
Threads share syncs as it falls out, so one run makes a call or two fewer than another: where there was no N-th, it is done again
with the last one that there was, and no case passes in which nothing was injected.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from support.rig import Rig, noise, sha256_of
from support.tally import chance, count, sized
from support.tracing import why_not

# ruff: noqa: T201 - what is printed is shown when a test fails

pytestmark = pytest.mark.torture

MIB = 1 << 20
FILES = {"film": 11 * MIB, "frame": 3, "mark": 0}
SYNCS = "fdatasync"
STEPS_AWAY = "renameat2,unlinkat,fsync"
HOLD_S = 0.1
SHARES = 2
"""So many tests go through the moments of one scene, so that workers can share them."""
TRIES = 6

Moment = Literal["before", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "after")
HOLDS = {"before": "delay_enter", "after": "delay_exit"}
BEGINS = re.compile(rb"^(\d+) +\w+\(", re.MULTILINE)
ENDS = re.compile(rb"\) += -?\d")
TELLS = {"before": BEGINS, "after": ENDS}
Point = tuple[Moment, int]


@pytest.fixture(scope="session")
def _ptrace() -> None:
    """strace, where the system lets us trace a child."""
    why = why_not()
    if why is not None:
        pytest.skip(why)


def content_of(rig: Rig) -> dict[Path, str]:
    """Every file's SHA-256 at the path where it was recorded."""
    return {
        rig.inbox / name: hashlib.sha256(noise(size, number)).hexdigest()
        for number, (name, size) in enumerate(FILES.items())
    }


@contextlib.contextmanager
def recorded(place: Path, after_upload: str = "keep") -> Iterator[Rig]:
    """A device with its files, before its daemon's first life; gone again if all went well."""
    with Rig(place) as rig:
        sent = place / "sent"
        sent.mkdir()
        what = {"move": f"{{move: {{to: {sent}}}}}"}.get(after_upload, after_upload)
        text = rig.config.read_text()
        rig.config.write_text(text.replace("    rescan:", f"    after_upload: {what}\n    rescan:"))
        for number, (name, size) in enumerate(FILES.items()):
            rig.drop(name, noise(size, number))
        yield rig
    shutil.rmtree(place)


@pytest.fixture
def rig(tmp_path: Path, _ptrace: None) -> Iterator[Rig]:
    with recorded(tmp_path / "device") as made:
        yield made


def chosen(what: str, many: int, ci: int) -> list[int]:
    """All numbers from 1 by `make torture`, some of them in CI."""
    every = range(1, many + 1)
    return sorted(sized(chance("system calls", what).sample(every, min(ci, many)), list(every)))


def strace(rig: Rig, *expressions: str, into: Path | str = "/dev/null") -> list[str]:
    """Before the daemon's command line: the calls on the ledger's files."""
    ledger = rig.place / "state" / "state.db"
    where = [option for path in (ledger, f"{ledger}-wal") for option in ("-P", str(path))]
    return [*strace_anywhere(*expressions, into=into), *where]


def strace_anywhere(*expressions: str, into: Path | str) -> list[str]:
    what = [option for expression in expressions for option in ("-e", expression)]
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(into), *what]


class Killer:
    """Kills at the n-th of these calls, whichever thread makes it: before it is carried out, or before it returns.

    strace writes a call's beginning, then holds it up; or its end, and then holds up the thread. In between it is killed. With
    nth 0 the calls are counted only.
    """

    def __init__(self, rig: Rig, calls: str, moment: Moment, nth: int) -> None:
        self.made = 0
        self._rig = rig
        self._told = TELLS[moment]
        self._nth = nth
        self._pipe = rig.place / "strace"
        os.mkfifo(self._pipe)
        hold = f"inject={calls}:{HOLDS[moment]}={int(HOLD_S * 1e6)}"
        trace = f"trace={calls}"
        rig.around = (
            strace(rig, trace, hold, into=self._pipe)
            if calls == SYNCS
            else strace_anywhere(trace, hold, into=self._pipe)
        )
        self._thread = threading.Thread(target=self._read, daemon=True)

    def one_life(self) -> int:
        """Until it is killed, or has done what there was to do; the exit code."""
        self._thread.start()
        self._rig.launch("--once", "--patience", "20s")
        code = self._rig.ended(90)
        self._thread.join(10)
        self._rig.around = []
        return code

    def _read(self) -> None:
        told, killed = b"", False
        with self._pipe.open("rb", buffering=0) as stream:
            while block := stream.read(1 << 16):
                told += block
                self.made = len(self._told.findall(told))
                if 0 < self._nth <= self.made and not killed:
                    killed = True
                    self._kill()

    def _kill(self) -> None:
        child = self._rig.child
        assert child is not None
        with contextlib.suppress(ProcessLookupError):  # too late: then it ended by itself, and that is seen
            os.killpg(child.pid, signal.SIGKILL)


Counting = Callable[[str, str, Moment], int]


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory, _ptrace: None) -> Counting:
    """How many of these calls a life makes that nobody disturbs; asked for once."""
    known: dict[tuple[str, str, Moment], int] = {}

    def ask(calls: str, after_upload: str, moment: Moment) -> int:
        which = (calls, after_upload, moment)
        if which not in known:
            with recorded(tmp_path_factory.mktemp("counting") / "device", after_upload) as rig:
                killer = Killer(rig, calls, moment, 0)
                assert killer.one_life() == 0, rig.said[-5:]
                known[which] = killer.made
        return known[which]

    return ask


def points(counting: Counting, calls: str, after_upload: str, share: int, ci: int) -> list[Point]:
    """This share of all moments by `make torture`; in CI `ci` of them, half before a call and half after one."""
    many = {moment: counting(calls, after_upload, moment) for moment in MOMENTS}
    every = [(moment, nth) for moment in MOMENTS for nth in range(1, many[moment] + 1)]
    dice = chance(
        "system calls", calls, after_upload, share
    )  # shares of the whole: counts differ by one or two
    some = [(moment, 1 + int(dice.random() * many[moment])) for moment in (MOMENTS[n % 2] for n in range(ci))]
    return sized(some, every[share::SHARES])


@contextlib.contextmanager
def killed(place: Path, calls: str, point: Point, after_upload: str = "keep") -> Iterator[Rig]:
    """A device whose daemon was killed there, sure enough."""
    moment, nth = point
    for attempt in range(TRIES):
        with recorded(place / f"{moment} {point[1]} {attempt}", after_upload) as rig:
            killer = Killer(rig, calls, moment, nth)
            code = killer.one_life()
            print(f"{moment} the {nth}. of {calls}: {code}, {killer.made} made")
            if code == -signal.SIGKILL:
                yield rig
                count("kills")
                return
            assert code == 0, rig.said[-5:]
        nth = min(nth, killer.made)
    pytest.fail(f"not killed {moment} the {point[1]}. of {calls} in {TRIES} attempts")


def assert_the_next_life_finishes(rig: Rig) -> None:
    rig.start()
    rig.wait(lambda: rig.arrived() >= len(FILES), what="all objects")
    rig.wait(lambda: rig.status()["state"] == "idle", what="rest")
    orphans = rig.status()["possible_orphans"]
    assert rig.stop() == 0
    assert orphans <= 1
    rig.assert_everything_arrived_once(orphans=orphans)
    assert not [event for event in rig.events if event["event"] == "transfer_parked"]
    count("trials")


def assert_it_ended_with_a_plain_word(rig: Rig, code: int) -> None:
    assert code > 0
    last = "".join(rig.said[-3:])
    assert "syncd: " in last, last
    assert "this should not have happened" not in last, last
    assert "Traceback" not in last


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_before_or_after_any_sync_it_goes_on(tmp_path: Path, counting: Counting, share: int) -> None:
    for point in points(counting, SYNCS, "keep", share, ci=4):
        with killed(tmp_path, SYNCS, point) as rig:
            assert_the_next_life_finishes(rig)


@pytest.fixture(scope="session")
def syncs_of_a_thread(tmp_path_factory: pytest.TempPathFactory, _ptrace: None) -> int:
    """How often the thread that does so most often syncs the ledger."""
    with recorded(tmp_path_factory.mktemp("counting") / "device") as rig:
        told = rig.place / "strace"
        rig.around = strace(rig, f"trace={SYNCS}", into=told)
        rig.launch("--once", "--patience", "20s")
        assert rig.ended(60) == 0, rig.said[-5:]
        return max(Counter(BEGINS.findall(told.read_bytes())).values())


@pytest.mark.parametrize("on", ["", "+"], ids=["once", "ever after"])
def test_a_sync_that_fails_ends_it_with_a_plain_word_or_is_waited_out(
    tmp_path: Path, syncs_of_a_thread: int, on: str
) -> None:
    for nth in chosen(f"sync fails{on}", syncs_of_a_thread, 2):
        with failing(tmp_path, nth, on) as rig:
            assert_the_next_life_finishes(rig)


@contextlib.contextmanager
def failing(place: Path, nth: int, on: str) -> Iterator[Rig]:
    """A device after a life in which a thread's n-th sync failed, or that and all further ones."""
    at = nth
    for attempt in range(TRIES):
        with recorded(place / f"{nth}{on} {attempt}") as rig:
            told = rig.place / "strace"
            rig.around = strace(rig, f"trace={SYNCS}", f"inject={SYNCS}:error=EIO:when={at}{on}", into=told)
            live_with_a_sync_that_fails(rig)
            rig.around = []
            lines = told.read_bytes()
            print(f"EIO at {at}{on}: {lines.count(b'(INJECTED)')} injected")
            if b"(INJECTED)" in lines:
                yield rig
                return
        at = min(at, max(Counter(BEGINS.findall(lines)).values()))
    pytest.fail(f"no thread's {nth}. sync failed in {TRIES} attempts")


def live_with_a_sync_that_fails(rig: Rig) -> None:
    rig.launch()
    rig.wait(lambda: _has_ended(rig) or rig.arrived() == len(FILES) or "EIO" in _said(rig), what="some end")
    if _has_ended(rig):
        assert_it_ended_with_a_plain_word(rig, rig.ended())
    else:
        rig.signal(signal.SIGTERM)
        assert rig.ended(40) in {0, 1}
        assert "this should not have happened" not in "".join(rig.said)


def _said(rig: Rig) -> str:
    return "EIO" if re.search("SQLITE_IOERR", "".join(rig.said)) else ""


def _has_ended(rig: Rig) -> bool:
    return rig.child is not None and rig.child.poll() is not None


@pytest.mark.parametrize("nth", chosen("no room", 12, 2))
def test_without_room_for_the_ledger_it_waits_says_so_and_goes_on(rig: Rig, nth: int) -> None:
    """Some writes of each thread find the disk full; then there is room again."""
    refuse = f"inject=pwrite64,write:error=ENOSPC:when={nth}{sized('', f'..{nth + 1}')}"
    rig.around = strace(rig, "trace=pwrite64,write", refuse)
    rig.launch()
    rig.wait(lambda: _has_ended(rig) or rig.arrived() == len(FILES), seconds=150.0, what="all objects")
    if _has_ended(rig):  # while it opened the ledger
        assert_it_ended_with_a_plain_word(rig, rig.ended())
    else:
        rig.wait(lambda: rig.status()["state"] == "idle", seconds=100.0, what="rest")
        rig.signal(signal.SIGTERM)
        assert rig.ended(40) == 0
    rig.around = []
    assert "free space" in "".join(rig.said), rig.said[-10:]
    assert_the_next_life_finishes(rig)


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("after_upload", ["delete", "move"])
def test_killed_while_a_file_goes_away_it_ends_where_it_belongs(
    tmp_path: Path, counting: Counting, after_upload: str, share: int
) -> None:
    """Before and after each rename, unlink and sync of a directory."""
    for point in points(counting, STEPS_AWAY, after_upload, share, ci=2):
        with killed(tmp_path, STEPS_AWAY, point, after_upload) as rig:
            assert_the_next_life_takes_them_away(rig, after_upload)


def assert_the_next_life_takes_them_away(rig: Rig, after_upload: str) -> None:
    content, sent = content_of(rig), rig.place / "sent"
    for path, digest in content.items():
        if not path.exists() and not list(rig.inbox.glob(".*")):
            assert hashlib.sha256(rig.store.read(rig.key_of(path))).hexdigest() == digest
    rig.start()
    rig.wait(lambda: rig.arrived() == len(FILES) and not list(rig.inbox.iterdir()), what="an empty inbox")
    rig.wait(lambda: rig.status()["state"] == "idle", what="rest")
    assert rig.stop() == 0
    rig.assert_objects_are({rig.key_of(path): digest for path, digest in content.items()}, orphans=1)
    there = {rig.inbox / path.name: sha256_of(path) for path in sent.iterdir()}
    assert there == (content if after_upload == "move" else {})
    count("trials")
