"""Many files and a huge one at once, and a great many that are known already: pace, memory, and what a restart costs.

Into a null sink, since no store of a test could keep it. What is measured is printed; only what must hold on any machine
is asserted.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.known import make_known
from support.rig import Rig
from support.sink import Sink
from support.tally import count, sized

pytestmark = pytest.mark.torture

MIB = 1 << 20
GIB = 1 << 30
SMALL = sized(5_000, 100_000)
LARGE = sized(4 * GIB, 20 * GIB)
KNOWN = sized(30_000, 1_000_000)
MEMORY = 32
SLICES = 5


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[tuple[Rig, Sink]]:
    """A device that talks to the sink instead of the store; its credentials are real."""
    with Sink() as sink, Rig(tmp_path / "rig", part_size="16MiB", rescan="1h") as rig:
        text = rig.config.read_text().replace(rig.store.url, sink.url)
        rig.config.write_text(text.replace("upload: {", f"upload: {{memory: {MEMORY}MiB, "))
        yield rig, sink


@pytest.mark.timeout(3600)
def test_a_huge_file_and_very_many_small_ones_get_on_side_by_side_in_bounded_memory(
    rig: tuple[Rig, Sink],
) -> None:
    device, sink = rig
    for number in range(SMALL):
        path = device.inbox / f"{number // 1000:03}" / f"{number % 1000:03}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%1024d" % number)
    with (device.inbox / "000-first.raw").open(
        "wb"
    ) as file:  # sparse: as long as it is, and nothing on the disk
        file.truncate(LARGE)
    began = time.monotonic()
    device.start()
    seen: list[tuple[float, int, int]] = []
    while not seen or seen[-1][1] + seen[-1][2] < SMALL + parts_of(LARGE):
        assert time.monotonic() - began < 3000, seen[-1:]
        counts = sink.counts()
        seen.append((time.monotonic() - began, counts["small"], counts["parts"]))
        time.sleep(0.1)  # another process is watched
    device.wait(lambda: sink.counts()["large"] == 1, what="the huge file's end")
    device.wait(lambda: device.status()["state"] == "idle", what="rest")
    peak = peak_mib(device.pid())
    first = next(at for at, small, parts in seen if small and parts)
    print(  # noqa: T201 - measured, for docs/RELIABILITY.md
        f"\n{SMALL} files and {LARGE / GIB:.0f} GiB: {seen[-1][0]:.0f} s, both on their way after {first:.1f} s, "
        f"peak {peak:.0f} MiB of which {MEMORY} for file data"
    )
    assert first < 60.0
    assert_neither_stood_still(seen)
    assert peak <= MEMORY + 100
    assert sink.counts() == {**sink.counts(), "again": 0, "open": 0, "parts": parts_of(LARGE), "small": SMALL}
    assert device.stop() == 0
    device.assert_ledger_sound()
    count("trials")


def assert_neither_stood_still(seen: list[tuple[float, int, int]]) -> None:
    """From the start to the moment when the first of the two kinds is through, both get on in every fifth of the time."""
    end = next(at for at, small, parts in seen if small == SMALL or parts == parts_of(LARGE))
    marks = [
        max((each for each in seen if each[0] <= end * step / SLICES), default=(0.0, 0, 0))
        for step in range(SLICES + 1)
    ]
    for before, after in itertools.pairwise(marks[1:]):  # the first fifth holds the start itself
        assert after[1] > before[1], ("small files stood still", marks)
        assert after[2] > before[2], ("the huge file stood still", marks)


def parts_of(size: int) -> int:
    return -(-size // (16 * MIB))


def peak_mib(pid: int) -> float:
    """The most memory that the process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.mark.timeout(3600)
def test_with_very_many_known_files_a_restart_is_ready_before_they_are_looked_at_and_writes_nothing(
    rig: tuple[Rig, Sink], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, sink = rig
    device.drop("000/first.bin", b"x")
    device.start()
    device.wait(lambda: sink.counts()["small"] == 1, what="the first object")
    device.wait(lambda: device.status()["state"] == "idle", what="rest")
    assert device.stop() == 0
    make_known(device, KNOWN)
    ledger = device.place / "state" / "state.db"
    before, asked = (ledger.read_bytes()[:200], ledger.stat().st_mtime_ns), sink.counts()
    with notified(tmp_path / "notify", monkeypatch) as told:
        began = time.monotonic()
        device.launch()
        while b"READY=1" not in told.recv(4096):
            pass
        ready, ready_at = time.monotonic() - began, datetime.now(UTC)
    device.wait(lambda: device.status()["folders"][0]["last_scan_at"] is not None, 600, what="the first scan")
    scanned = time.monotonic() - began
    assert datetime.fromisoformat(device.status()["folders"][0]["last_scan_at"]) > ready_at
    assert device.status()["state"] == "idle"
    assert device.status()["counts"]["done"] == KNOWN + 1
    print(  # noqa: T201 - measured, for docs/RELIABILITY.md
        f"\n{KNOWN} known files: ready after {ready:.1f} s, all looked at after {scanned:.1f} s, "
        f"peak {peak_mib(device.pid()):.0f} MiB"
    )
    wal = ledger.with_name("state.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    assert device.stop() == 0
    assert (ledger.read_bytes()[:200], ledger.stat().st_mtime_ns) == before
    assert sink.counts() == asked
    count("trials")


def notified(path: Path, monkeypatch: pytest.MonkeyPatch) -> closing[socket.socket]:
    """Where the daemon tells a service manager how it is."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.settimeout(300)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    return closing(listener)
