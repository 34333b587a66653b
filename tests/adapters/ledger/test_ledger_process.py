"""One owner, many readers, and nothing lost that was said to be kept, whatever happens to the process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.scribe import FOLDER, Scribe, fingerprint
from support.tracing import why_not

from syncd.adapters.ledger import SqliteLedger, open_ledger, open_readonly
from syncd.errors import LedgerFailure, LedgerFull, LedgerHeld, RowMoved
from syncd.model import Amend, Columns, Discover, Move, Part, State

OPEN_AND_WAIT = """
import sys
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
ledger = open_ledger(Path(sys.argv[1]), SystemClock())
print("open", flush=True)
sys.stdin.read()
"""

WRITE_FOREVER = """
import os, sys
from itertools import count
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
from syncd.model import *
ledger = open_ledger(Path(sys.argv[1]), SystemClock())
seen = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
first = ledger.last_id() + 1
for number in count(first):
    new = [Discover(folder=b"/f", path=b"%d-%s" % (number, half), fingerprint=seen, why="x") for half in (b"a", b"b")]
    row, _ = ledger.commit(new)
    ledger.record_part(row, Part(number=1, size=3, etag='"e"', checksum=None), sent=3, resent=0)
    os.write(1, b"%d\\n" % number)
"""

WRITE_THROUGH_A_FULL_DISK = """
import sys
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
from syncd.errors import SyncdError
from syncd.model import *
ledger = open_ledger(Path(sys.argv[1]), SystemClock())
seen = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
for number in range(40):
    try:
        ledger.commit([Discover(folder=b"/f", path=b"%d" % number, fingerprint=seen, why="x")])
        print("kept")
    except SyncdError as failure:
        print(f"{type(failure).__name__}: {failure}")
"""


@contextmanager
def child(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_daemon_is_told_the_pid_of_the_first_and_its_end_frees_the_ledger(
    path: Path, clock: FakeClock
) -> None:
    with child(OPEN_AND_WAIT, path) as first:
        assert line_of(first) == "open"
        with pytest.raises(LedgerHeld, match=rf"\(pid {first.pid}\).*{path}") as held:
            open_ledger(path, clock)
        assert held.value.exit_code == 3
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        open_ledger(path, clock).close()


def test_closing_frees_the_ledger(path: Path, clock: FakeClock) -> None:
    first = open_ledger(path, clock)
    with pytest.raises(LedgerHeld, match=rf"pid {os.getpid()}\)"):
        open_ledger(path, clock)
    first.close()
    open_ledger(path, clock).close()


def test_a_process_started_by_the_daemon_does_not_inherit_the_lock(path: Path, clock: FakeClock) -> None:
    ledger = open_ledger(path, clock)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as heir:
        ledger.close()
        open_ledger(path, clock).close()
        heir.kill()


def test_a_reader_beside_the_owner_sees_what_is_committed_and_cannot_write(
    path: Path, ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    reader = open_readonly(path, clock)
    assert reader.at(FOLDER, b"a") is None
    identity = scribe.bring(b"a", State.UPLOADING)
    seen = reader.at(FOLDER, b"a")
    assert seen is not None
    assert seen.state is State.UPLOADING
    assert seen == ledger.get(identity)
    with pytest.raises(LedgerFailure, match="readonly"):
        reader.commit([Discover(folder=FOLDER, path=b"b", fingerprint=fingerprint(), why="x")])
    with pytest.raises(LedgerFailure, match="readonly"):
        reader.record_part(identity, Part(number=1, size=1, etag='"e"', checksum=None), sent=1, resent=0)
    reader.close()
    scribe.discover(b"c")  # the owner goes on, unharmed


LOOK_IN = """
import hashlib, sys
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_readonly
kept = [path for path in (Path(sys.argv[1]), Path(sys.argv[1] + "-wal")) if path.exists()]
before = [path.read_bytes() for path in kept]
reader = open_readonly(Path(sys.argv[1]), SystemClock())
print(reader.last_id())
reader.counts()
reader.close()
print(len(kept), [path.exists() and path.read_bytes() for path in kept] == before)
"""


@pytest.mark.parametrize(
    ("daemon", "files"), [("never ended", 2), ("was killed", 2), ("ended", 1)], ids=lambda word: f"{word}"
)
def test_whoever_looks_in_changes_not_one_byte_of_ledger_and_wal(
    path: Path, clock: FakeClock, daemon: str, files: int
) -> None:
    """By a process of its own, as `syncd status` is: SQLite's last one out would else clear up."""
    with child(WRITE_FOREVER if daemon == "was killed" else OPEN_AND_WAIT, path) as owner:
        assert line_of(owner)
        if daemon == "ended":
            owner.communicate("", timeout=10)
        elif daemon == "was killed":
            owner.kill()
            owner.wait(10)
        with child(LOOK_IN, path) as reader:
            last_id, told = line_of(reader), line_of(reader)
    assert told == f"{files} True"
    assert (int(last_id) > 0) is (daemon == "was killed")


@pytest.mark.torture
def test_a_kill_at_any_moment_loses_no_commit_that_was_acknowledged(path: Path, clock: FakeClock) -> None:
    acknowledged: list[int] = []
    for round_ in range(8):
        with child(WRITE_FOREVER, path) as writer:
            acknowledged.extend(int(line_of(writer)) for _ in range(3 + 7 * round_))
            writer.kill()
            assert writer.stdout is not None
            acknowledged.extend(int(line) for line in writer.stdout.read().split())
    ledger = open_ledger(path, clock)
    for number in acknowledged:
        row = ledger.at(b"/f", b"%d-a" % number)
        assert row is not None
        assert ledger.parts(row.id) == [Part(number=1, size=3, etag='"e"', checksum=None)]
    rows = ledger.live(1_000_000)
    ledger.close()
    assert len(acknowledged) >= 8 * 3
    assert len(rows) % 2 == 0  # both halves of a commit, or neither
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_threads_share_the_one_connection(ledger: SqliteLedger) -> None:
    trouble: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(20):
                new = Discover(
                    folder=b"/f", path=b"%d-%d" % (name, number), fingerprint=fingerprint(), why="x"
                )
                ledger.commit([new])
                ledger.due(0.0, 10)
        except BaseException as error:  # noqa: BLE001 - shown to the test below, whatever it is
            trouble.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not trouble
    assert ledger.counts().by_state[State.DISCOVERED] == 80


@pytest.mark.parametrize("writers", [2, 5])
def test_of_threads_that_move_one_row_at_once_one_wins_and_the_others_leave_nothing(
    ledger: SqliteLedger, scribe: Scribe, writers: int
) -> None:
    for round_ in range(40):
        name = b"%d" % round_
        row, barrier = scribe.discover(name), threading.Barrier(writers)
        won: list[int] = []
        lost: list[int] = []

        def move(writer: int, row: int = row, name: bytes = name, start: threading.Barrier = barrier) -> None:
            beside = Discover(folder=b"/of/%d" % writer, path=name, fingerprint=fingerprint(), why="x")
            mine = Move(id=row, was=State.DISCOVERED, to=State.SETTLED, why=f"by {writer}")
            start.wait()
            try:
                ledger.commit([beside, mine])
                won.append(writer)  # noqa: B023 - the round ends with its threads
            except RowMoved:
                lost.append(writer)  # noqa: B023

        threads = [threading.Thread(target=move, args=(writer,)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, writers - 1)
        moves = [line.why for line in ledger.history(FOLDER, name) if line.state is State.SETTLED]
        assert moves == [f"by {won[0]}"]
        beside_it = [writer for writer in range(writers) if ledger.at(b"/of/%d" % writer, name)]
        assert beside_it == won


def test_a_closed_ledger_says_so_as_a_failure_of_the_ledger(path: Path, clock: FakeClock) -> None:
    ledger = open_ledger(path, clock)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerFailure):
        ledger.totals()


def test_a_full_disk_is_a_failure_with_a_hint_and_nothing_half_written(
    ledger: SqliteLedger, scribe: Scribe
) -> None:
    scribe.discover(b"a")
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = [Discover(folder=FOLDER, path=b"%d" % n, fingerprint=fingerprint(), why="x") for n in range(2000)]
    with pytest.raises(LedgerFull, match="full") as full:
        ledger.commit(many)
    assert "free space" in (full.value.hint or "")
    assert ledger.counts().pending == 1
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    assert len(ledger.commit(many)) == 2000


def test_a_quota_that_is_used_up_is_a_full_disk_and_there_may_be_room_again(
    path: Path, clock: FakeClock
) -> None:
    """By strace: a file system with quotas needs rights that no test has."""
    why = why_not()
    if why is not None:
        pytest.skip(why)
    open_ledger(path, clock).close()
    refuse = "inject=pwrite64:error=EDQUOT:when=60..71"
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", refuse]
    child = [sys.executable, "-c", WRITE_THROUGH_A_FULL_DISK, str(path)]
    done = subprocess.run([*strace, *child], check=True, capture_output=True, text=True)
    fates = done.stdout.split("\n")[:-1]
    told = [fate for fate in fates if fate != "kept"]
    assert told
    assert all("LedgerFull: the ledger failed: disk quota exceeded" in fate for fate in told), told
    assert fates[0] == fates[-1] == "kept"


class Held:
    """The ledger's lock in other hands, so that writers queue up."""

    def __init__(self, ledger: SqliteLedger, writers: int) -> None:
        self._ledger = ledger
        self._writers = writers

    def __enter__(self) -> None:
        self._ledger._lock.acquire()

    def __exit__(self, *_: object) -> None:
        end = threading.Event()
        while len(self._ledger._writer._waiting) < self._writers:
            end.wait(0.001)
        self._ledger._lock.release()


def test_writers_that_wait_share_one_transaction_and_each_keeps_its_own_fate(
    ledger: SqliteLedger, scribe: Scribe
) -> None:
    row = scribe.discover(b"a")
    statements: list[str] = []
    fates: dict[int, object] = {}

    def write(number: int) -> None:
        was = State.DONE if number == 2 else State.DISCOVERED  # the third is wrong about the row
        try:
            fates[number] = ledger.commit(
                [
                    Discover(folder=FOLDER, path=b"%d" % number, fingerprint=fingerprint(), why="x"),
                    Amend(id=row, was=was, sets=Columns(hint=str(number))),
                ]
            )
        except RowMoved as moved:
            fates[number] = moved

    threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    with Held(ledger, 5):
        ledger._connection.set_trace_callback(statements.append)
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    ledger._connection.set_trace_callback(None)
    assert sum(statement == "COMMIT" for statement in statements) == 1
    assert isinstance(fates[2], RowMoved)
    assert all(isinstance(fates[number], list) for number in (0, 1, 3, 4))
    assert ledger.at(FOLDER, b"2") is None
    assert ledger.counts().by_state[State.DISCOVERED] == 5
