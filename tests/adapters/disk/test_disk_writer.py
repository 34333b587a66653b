"""Finding out whether somebody has a file open for writing."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.adapters.disk import LocalDisk
from syncd.model import Writer

FILE = b"recording.raw"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / os.fsdecode(FILE)
    path.write_bytes(b"x" * mmap.PAGESIZE)
    return path


def can_lease(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError:
            return False
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return True


@pytest.fixture(autouse=True)
def _leases(request: pytest.FixtureRequest, recording: Path) -> None:
    request.getfixturevalue("lease_signals_ignored")
    if not can_lease(recording):
        pytest.skip("the file system of the temporary directory grants no leases")


def test_a_quiet_file_has_no_writer_and_readers_do_not_count(
    disk: LocalDisk, root: bytes, recording: Path
) -> None:
    assert disk.writer(root, FILE) is Writer.NONE
    ours = disk.open(root, FILE)
    with recording.open("rb"):
        assert disk.writer(root, FILE) is Writer.NONE
        assert disk.writer(root, FILE) is Writer.NONE
    ours.close()


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_an_open_writer_is_seen_until_it_closes(
    disk: LocalDisk, root: bytes, recording: Path, mode: str
) -> None:
    with recording.open(mode):
        assert disk.writer(root, FILE) is Writer.OPEN
    assert disk.writer(root, FILE) is Writer.NONE


def test_a_shared_writable_mapping_counts_after_its_descriptor_is_closed(
    disk: LocalDisk, root: bytes, recording: Path
) -> None:
    with recording.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    assert disk.writer(root, FILE) is Writer.OPEN
    mapping.close()
    assert disk.writer(root, FILE) is Writer.NONE


def test_another_process_that_writes_is_seen(disk: LocalDisk, root: bytes, recording: Path) -> None:
    code = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(recording)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == b"open\n"
        assert disk.writer(root, FILE) is Writer.OPEN
        writer.stdin.close()
        assert writer.wait(10) == 0
    assert disk.writer(root, FILE) is Writer.NONE


def test_no_lease_stays_behind_so_a_writer_is_not_held_up(
    disk: LocalDisk, root: bytes, recording: Path
) -> None:
    assert disk.writer(root, FILE) is Writer.NONE
    # With a lease still held, an open with O_NONBLOCK would fail with EAGAIN.
    os.close(os.open(recording, os.O_WRONLY | os.O_NONBLOCK))


def test_a_file_of_another_owner_cannot_be_told(unprivileged: Callable[[Path, str], str]) -> None:
    # Root owns /etc/passwd everywhere, and the one who asks is never root here.
    said = unprivileged(Path("/etc"), "ignore_lease_signals(); print(disk.writer(root, b'passwd').value)")
    assert said == "unknown"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_leases_cannot_be_told(
    disk: LocalDisk, root: bytes, recording: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    assert disk.writer(root, FILE) is Writer.NONE, recording

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert disk.writer(root, FILE) is Writer.UNKNOWN


def test_the_kernel_is_not_asked_while_its_signal_would_kill_us(
    disk: LocalDisk, root: bytes, recording: Path
) -> None:
    assert recording.exists()
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    assert disk.writer(root, FILE) is Writer.UNKNOWN


def test_writers_that_rush_in_while_the_lease_is_held_do_not_kill_us(recording: Path) -> None:
    asker = """
import os, sys
from syncd.adapters.disk import LocalDisk, ignore_lease_signals
ignore_lease_signals()
disk, root = LocalDisk(), os.fsencode(sys.argv[1])
print("ready", flush=True)
seen = {disk.writer(root, b"recording.raw").value for _ in range(4000)}
print(*sorted(seen))
"""
    with subprocess.Popen(
        [sys.executable, "-c", asker, str(recording.parent)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        while child.poll() is None:
            os.close(os.open(recording, os.O_WRONLY))
        assert child.returncode == 0
        assert "none" in child.stdout.read().split()


def test_a_preallocated_file_that_is_being_filled_has_a_writer_and_changes_though_its_size_does_not(
    disk: LocalDisk, root: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "preallocated"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4 * mmap.PAGESIZE)
        seen = [disk.look(root, b"preallocated")]
        for number in range(3):
            os.pwrite(file.fileno(), b"x" * mmap.PAGESIZE, number * mmap.PAGESIZE)
            os.utime(file.fileno(), ns=(number, number))  # however coarse the kernel's clock ticks
            seen.append(disk.look(root, b"preallocated"))
            assert disk.writer(root, b"preallocated") is Writer.OPEN
    assert {each.size for each in seen} == {4 * mmap.PAGESIZE}
    assert len(set(seen)) == len(seen)
    assert disk.writer(root, b"preallocated") is Writer.NONE
