"""The kernel says no, or the process dies, at the N-th system call on the ledger's files; then a normal life.

strace counts calls by thread: `when=N` hits the thread that first comes to its N-th call. What is killed by the count of
all threads together is killed from here, by what strace tells.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rig import Rig, noise, sha256_of
from support.tally import chance, count, sized
from support.tracing import why_not

pytestmark = pytest.mark.torture

MIB = 1 << 20
FILES = {"film": 11 * MIB, "frame": 3, "mark": 0}
SYNCS = 30
"""About so many times these files' uploads sync the ledger."""
SYNCS_OF_A_THREAD = 10
SLOW_S = 0.05


@pytest.fixture(scope="session")
def _ptrace() -> None:
    """strace, where the system lets us trace a child."""
    why = why_not()
    if why is not None:
        pytest.skip(why)


@pytest.fixture
def rig(tmp_path: Path, _ptrace: None) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        for number, (name, size) in enumerate(FILES.items()):
            made.drop(name, noise(size, number))
        yield made


def chosen(what: str, many: int, ci: int) -> list[int]:
    """All numbers from 1 by `make torture`, some of them in CI."""
    every = range(1, many + 1)
    return sorted(sized(chance("system calls", what).sample(every, ci), list(every)))


def strace(rig: Rig, *expressions: str, into: str = "/dev/null") -> list[str]:
    ledger = rig.place / "state" / "state.db"
    where = [option for path in (ledger, f"{ledger}-wal") for option in ("-P", str(path))]
    what = [option for expression in expressions for option in ("-e", expression)]
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", into, *where, *what]


def assert_the_next_life_finishes(rig: Rig) -> None:
    rig.around = []
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


@pytest.mark.parametrize("nth", chosen("killed before", SYNCS_OF_A_THREAD, 4))
def test_killed_before_its_nth_sync_it_goes_on(rig: Rig, nth: int) -> None:
    rig.around = strace(rig, "trace=fdatasync", f"inject=fdatasync:signal=KILL:when={nth}")
    rig.launch("--once", "--patience", "20s")
    code = rig.ended(60)
    assert code in {0, -signal.SIGKILL}
    if code:
        count("kills")
    assert_the_next_life_finishes(rig)


class Killer:
    """Reads what strace tells and kills after the n-th sync; each sync is held up a little, so that it is in time."""

    def __init__(self, rig: Rig, nth: int) -> None:
        self.pipe = rig.place / "strace"
        os.mkfifo(self.pipe)
        self._rig = rig
        self._nth = nth
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)

    def _read(self) -> None:
        with self.pipe.open() as lines:
            for number, _ in enumerate((line for line in lines if "fdatasync(" in line), 1):
                if number == self._nth:
                    assert self._rig.child is not None
                    os.killpg(self._rig.child.pid, signal.SIGKILL)
                    return


@pytest.mark.parametrize("nth", chosen("killed after", SYNCS, 6))
def test_killed_between_its_nth_sync_and_the_next_it_goes_on(rig: Rig, nth: int) -> None:
    killer = Killer(rig, nth)
    slow = f"inject=fdatasync:delay_enter={int(SLOW_S * 1e6)}"
    rig.around = strace(rig, "trace=fdatasync", slow, into=str(killer.pipe))
    with killer:
        rig.launch("--once", "--patience", "20s")
        code = rig.ended(60)
    assert code in {0, -signal.SIGKILL}
    if code:
        count("kills")
    assert_the_next_life_finishes(rig)


@pytest.mark.parametrize("on", ["", "+"], ids=["once", "ever after"])
@pytest.mark.parametrize("nth", chosen("sync fails", SYNCS_OF_A_THREAD, 2))
def test_a_sync_that_fails_ends_it_with_a_plain_word_or_is_waited_out(rig: Rig, nth: int, on: str) -> None:
    rig.around = strace(rig, "trace=fdatasync", f"inject=fdatasync:error=EIO:when={nth}{on}")
    rig.launch()
    rig.wait(lambda: _has_ended(rig) or rig.arrived() == len(FILES) or "EIO" in _said(rig), what="some end")
    if _has_ended(rig):
        assert_it_ended_with_a_plain_word(rig, rig.ended())
    else:
        rig.signal(signal.SIGTERM)
        assert rig.ended(40) in {0, 1}
        assert "this should not have happened" not in "".join(rig.said)
    assert_the_next_life_finishes(rig)


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
    assert "free space" in "".join(rig.said), rig.said[-10:]
    assert_the_next_life_finishes(rig)


@pytest.mark.usefixtures("_ptrace")
@pytest.mark.parametrize("after_upload", ["delete", "move"])
@pytest.mark.parametrize("nth", chosen("goes away", 4, 2))
def test_killed_while_a_file_goes_away_it_ends_where_it_belongs(
    tmp_path: Path, after_upload: str, nth: int
) -> None:
    """At its n-th rename, unlink or sync of a directory."""
    sent = tmp_path / "sent"
    sent.mkdir()
    what = "delete" if after_upload == "delete" else f"{{move: {{to: {sent}}}}}"
    data = {name: noise(size, number) for number, (name, size) in enumerate(FILES.items())}
    with Rig(tmp_path) as rig:
        rig.config.write_text(
            rig.config.read_text().replace("    rescan:", f"    after_upload: {what}\n    rescan:")
        )
        content = {rig.drop(name, each): hashlib.sha256(each).hexdigest() for name, each in data.items()}
        calls = "renameat2,unlinkat,fsync"
        at = ["-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={nth}"]
        rig.around = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *at]
        rig.launch("--once", "--patience", "20s")
        code = rig.ended(60)
        assert code in {0, -signal.SIGKILL}, rig.said[-5:]
        for path, digest in content.items():
            if not path.exists() and not list(rig.inbox.glob(".*")):
                assert hashlib.sha256(rig.store.read(rig.key_of(path))).hexdigest() == digest
        rig.around = []
        rig.start()
        rig.wait(lambda: rig.arrived() == len(FILES) and not list(rig.inbox.iterdir()), what="an empty inbox")
        rig.wait(lambda: rig.status()["state"] == "idle", what="rest")
        assert rig.stop() == 0
        rig.assert_objects_are({rig.key_of(path): digest for path, digest in content.items()}, orphans=1)
        there = {rig.inbox / path.name: sha256_of(path) for path in sent.iterdir()}
        assert there == (content if after_upload == "move" else {})
        count("kills" if code else "trials")
