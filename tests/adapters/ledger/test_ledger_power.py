"""What a power cut must not take: the order of writes, syncs and words, as the kernel was asked for them.

Whether a disk keeps what it said it has synced is not ours to show.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.tracing import Call, calls_of, why_not

SAY_WHAT_IS_KEPT = """
import os, sys, threading
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
from syncd.model import *
ledger = open_ledger(Path(sys.argv[1]), SystemClock())
os.write(1, b"open\\n")
seen = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)

def work(writer):
    for number in range(6):
        name = b"<%d-%d>" % (writer, number)
        (row,) = ledger.commit([Discover(folder=b"/f", path=name, fingerprint=seen, why="x")])
        os.write(1, name)
        part = b"<part %d-%d>" % (writer, number)
        ledger.record_part(row, Part(number=1, size=3, etag=part.decode(), checksum=None), sent=3, resent=0)
        os.write(1, part)

threads = [threading.Thread(target=work, args=(writer,)) for writer in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
SYNCS = {"fsync", "fdatasync"}


@pytest.fixture(scope="module", autouse=True)
def _ptrace() -> None:
    why = why_not()
    if why is not None:
        pytest.skip(why)


def traced(path: Path, writers: int) -> list[Call]:
    """What a child asks of the kernel that opens a new ledger, and says of every commit that it is kept."""
    trace = path.parent.parent / "trace"
    what = "trace=openat,pwrite64,write,fsync,fdatasync"
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "8192", "-e", what, "-o", str(trace)]
    child = [sys.executable, "-c", SAY_WHAT_IS_KEPT, str(path), str(writers)]
    subprocess.run([*strace, *child], check=True, stdout=subprocess.DEVNULL)
    return calls_of(trace)


def said(call: Call) -> str | None:
    """The words that the child said with this call."""
    word = re.match(r'1<[^>]*>, "(.*?)(?:\\n)?"', call.text) if call.name == "write" else None
    return word and word[1]


def on(call: Call, path: Path) -> bool:
    return re.match(rf"\d+<{re.escape(str(path))}>", call.text) is not None


def test_every_commit_reaches_the_disk_before_it_is_said(path: Path) -> None:
    wal = Path(f"{path}-wal")
    calls = [call for call in traced(path, 1) if said(call) or on(call, wal)]
    before = [calls[place - 1] for place, call in enumerate(calls) if "<" in (said(call) or "")]
    assert len(before) == 12
    assert {call.name for call in before} <= SYNCS, "a word was said with writes that nobody synced before it"
    assert all(call.worked for call in before)


def test_of_writers_that_share_a_commit_none_says_so_before_that_is_on_the_disk(path: Path) -> None:
    wal = Path(f"{path}-wal")
    calls = traced(path, 4)
    syncs = [call for call in calls if call.name in SYNCS and on(call, wal)]
    words = [call for call in calls if "<" in (said(call) or "")]
    assert len(words) == 4 * 12
    assert len(syncs) < len(words), "nobody shared"
    for word in words:
        written = next(
            call for call in calls if call.name == "pwrite64" and on(call, wal) and said(word) in call.text
        )  # type: ignore[operator]
        assert any(written.ended < sync.began and sync.ended < word.began for sync in syncs), said(word)


def test_the_names_of_a_new_ledger_are_on_the_disk_before_it_is_used(path: Path) -> None:
    calls = traced(path, 0)
    opened = next(call for call in calls if said(call) == "open")
    made = [call for call in calls if call.name == "openat" and "O_CREAT" in call.text and call.worked]
    ours = {name: max(call.ended for call in made if f'"{path}{name}"' in call.text) for name in ("", "-wal")}
    synced = [call for call in calls if call.name in SYNCS and on(call, path.parent) and call.worked]
    assert synced
    assert max(ours.values()) < synced[-1].began
    assert synced[-1].ended < opened.began
