"""Folders behind a network or a process that may not answer: their calls come back in time, and harm nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.adapters.disk import LocalDisk, PatientDisk
from syncd.adapters.disk.patient import Line
from syncd.adapters.mounts import leads_far
from syncd.errors import FolderUnavailable, Transient, Vanished
from syncd.model import Blind, Entry, Fate, Fingerprint, RootIdentity, Writer
from syncd.ports import OpenFile


class Hanging(LocalDisk):
    """Answers nothing while `stuck`; what was asked meanwhile is carried out when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.asked = 0
        self.opened: list[OpenFile] = []

    def stick(self) -> None:
        self.go.clear()

    def _wait(self) -> None:
        self.asked += 1
        assert self.go.wait(60)

    def root(self, root: bytes) -> RootIdentity:
        self._wait()
        return super().root(root)

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        self._wait()
        return super().look(root, path)

    def exists(self, root: bytes, path: bytes) -> bool:
        self._wait()
        return super().exists(root, path)

    def writer(self, root: bytes, path: bytes) -> Writer:
        self._wait()
        return super().writer(root, path)

    def free_bytes(self, root: bytes) -> int | None:
        self._wait()
        return super().free_bytes(root)

    def open(self, root: bytes, path: bytes) -> OpenFile:  # type: ignore[override]
        self._wait()
        self.opened.append(HangingFile(super().open(root, path), self._wait))
        return self.opened[-1]

    def scan(
        self,
        root: bytes,
        *,
        recursive: bool,
        descend: Callable[[bytes], bool],
        take: Callable[[bytes], bool],
    ) -> Iterator[Entry | Blind]:
        for entry in super().scan(root, recursive=recursive, descend=descend, take=take):
            self._wait()
            yield entry

    def put_away(  # type: ignore[override]
        self, root: bytes, path: bytes, known: Fingerprint, *, go_on: Callable[[], bool], **others: object
    ) -> Fate:
        self._wait()
        if not go_on():
            raise Transient("told to stop")
        return super().put_away(root, path, known, go_on=go_on, **others)  # type: ignore[arg-type]


class HangingFile:
    def __init__(self, file: OpenFile, wait: Callable[[], None]) -> None:
        self._file, self._wait = file, wait
        self.closed = threading.Event()

    def fingerprint(self) -> Fingerprint:
        self._wait()
        return self._file.fingerprint()

    def read_into(self, offset: int, buffer: memoryview) -> int:
        self._wait()
        return self._file.read_into(offset, buffer)

    def close(self) -> None:
        self._file.close()
        self.closed.set()


@pytest.fixture
def inner() -> Iterator[Hanging]:
    disk = Hanging()
    yield disk
    disk.go.set()


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    for number in range(600):
        (tmp_path / f"f{number:03}").write_bytes(b"abc")
    (tmp_path / "film").write_bytes(bytes(range(256)) * 10_000)
    return os.fsencode(tmp_path)


@pytest.fixture
def disk(inner: Hanging) -> PatientDisk:
    return PatientDisk(inner, far=lambda _: True, patience_s=0.3)


def walk(disk: PatientDisk | LocalDisk, root: bytes) -> list[Entry | Blind]:
    return list(disk.scan(root, recursive=True, descend=lambda _: True, take=lambda _: True))


def read(file: OpenFile, size: int, offset: int = 0) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: file.read_into(offset, memoryview(buffer))])


def put_away(disk: PatientDisk, root: bytes) -> Fate:
    known = LocalDisk().look(root, b"film")
    assert known is not None
    return disk.put_away(
        root, b"film", known, aside=b".aside", to=None, ask=False, rested=False, go_on=lambda: True
    )


def test_while_it_answers_it_is_the_disk_behind_it(inner: Hanging, root: bytes) -> None:
    disk, local = PatientDisk(inner, far=lambda _: True), LocalDisk()
    assert disk.root(root) == local.root(root)
    assert walk(disk, root) == walk(local, root)
    assert disk.look(root, b"film") == local.look(root, b"film")
    assert (disk.exists(root, b"film"), disk.exists(root, b"nothing")) == (True, False)
    assert disk.free_bytes(root)
    file = disk.open(root, b"film")
    assert file.fingerprint() == local.look(root, b"film")
    assert read(file, 3_000_000) == bytes(range(256)) * 10_000
    assert read(file, 300, 2_559_900) == (bytes(range(256)) * 10_000)[2_559_900:]
    file.close()
    with pytest.raises(Vanished):
        disk.open(root, b"nothing")
    with pytest.raises(FolderUnavailable, match="does not exist"):
        disk.root(root + b"/nothing")


ASKING: dict[str, Callable[[PatientDisk, bytes], object]] = {
    "root": lambda disk, root: disk.root(root),
    "scan": walk,
    "look": lambda disk, root: disk.look(root, b"film"),
    "open": lambda disk, root: disk.open(root, b"film"),
    "put away": put_away,
}


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING)
def test_a_call_without_an_answer_ends_in_time_and_the_next_ones_at_once_until_it_answers_again(
    inner: Hanging, disk: PatientDisk, root: bytes, asking: Callable[[PatientDisk, bytes], object]
) -> None:
    inner.stick()
    with pytest.raises(Transient, match="does not answer") as told:
        asking(disk, root)
    assert isinstance(told.value, FolderUnavailable)
    assert told.value.hint is not None
    asked = inner.asked
    for each in ASKING.values():
        with pytest.raises(FolderUnavailable, match="does not answer"):
            each(disk, root)
    assert (disk.exists(root, b"film"), disk.writer(root, b"film")) == (False, Writer.UNASKED)
    assert disk.free_bytes(root) is None
    assert inner.asked == asked  # nobody else was left hanging
    inner.go.set()
    wait_for(lambda: answers(disk, root))
    assert walk(PatientDisk(inner, far=lambda _: True), root)


def answers(disk: PatientDisk, root: bytes) -> bool:
    try:
        disk.look(root, b"f000")
    except FolderUnavailable:
        return False
    return True


def wait_for(what: Callable[[], bool]) -> None:
    """A thread was let go and says so soon."""
    pause = threading.Event()
    for _ in range(500):
        if what():
            return
        pause.wait(0.02)
    raise AssertionError("never")


def test_a_silent_folder_is_probed_by_root_now_and_then(
    inner: Hanging, disk: PatientDisk, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner.stick()
    with pytest.raises(FolderUnavailable):
        disk.look(root, b"film")
    monkeypatch.setattr("syncd.adapters.disk.patient.PROBE_EVERY", 1)
    for _ in range(20):
        with pytest.raises(FolderUnavailable):
            disk.root(root)
    assert inner.asked <= 10  # and not for ever
    stuck, inner.go = inner.go, threading.Event()
    inner.go.set()  # mounted anew: the former calls hang on, the new ones are answered
    monkeypatch.setattr("syncd.adapters.disk.patient.LEFT_AT_MOST", 100)
    assert disk.root(root) == LocalDisk().root(root)
    assert disk.look(root, b"film") is not None
    stuck.set()


def test_a_read_without_an_end_never_writes_into_the_callers_memory_later(
    inner: Hanging, disk: PatientDisk, root: bytes
) -> None:
    file = disk.open(root, b"film")
    buffer = bytearray(1000)
    inner.stick()
    with pytest.raises(FolderUnavailable):
        file.read_into(0, memoryview(buffer))
    file.close()
    inner.go.set()
    wait_for(lambda: answers(disk, root))
    assert not any(buffer)


def test_a_file_that_is_opened_too_late_is_closed_again(
    inner: Hanging, disk: PatientDisk, root: bytes
) -> None:
    inner.stick()
    with pytest.raises(FolderUnavailable):
        disk.open(root, b"film")
    inner.go.set()
    wait_for(lambda: bool(inner.opened))
    [file] = inner.opened
    assert isinstance(file, HangingFile)
    assert file.closed.wait(10)


def test_a_deletion_without_an_answer_goes_no_further_and_none_begins_beside_it(
    inner: Hanging, disk: PatientDisk, root: bytes
) -> None:
    inner.stick()
    with pytest.raises(FolderUnavailable):
        put_away(disk, root)
    stuck, inner.go = inner.go, threading.Event()
    inner.go.set()
    disk._lines[root]._silent = False  # a probe was answered while that one still hangs
    asked = inner.asked
    with pytest.raises(FolderUnavailable):
        put_away(disk, root)
    assert inner.asked == asked
    stuck.set()
    wait_for(lambda: not any(not call.ended() for call, _ in disk._lines[root]._left))
    assert (Path(os.fsdecode(root)) / "film").exists()
    assert put_away(disk, root) is Fate.ASIDE


def test_a_long_copy_that_goes_on_is_not_taken_for_a_hung_one() -> None:
    line, copied, asked = Line(b"/far", patience_s=0.01), threading.Event(), [0]

    def went_on() -> bool:
        asked[0] += 1
        if asked[0] == 4:
            copied.set()
        return True

    assert line.ask(lambda: copied.wait(60), went_on=went_on)


def test_a_near_folder_is_asked_in_the_callers_own_thread(root: bytes) -> None:
    class Telling(LocalDisk):
        def look(self, root: bytes, path: bytes) -> Fingerprint | None:
            assert threading.current_thread() is threading.main_thread()
            return super().look(root, path)

    assert PatientDisk(Telling(), far=lambda _: False).look(root, b"film") is not None


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/a\\040share rw,relatime shared:2 - nfs4 nas:/a rw
31 22 0:41 / /mnt/card rw,relatime - vfat /dev/sdb1 rw
32 22 0:42 / {place}/share rw - fuse.sshfs nas: rw
"""


def test_where_a_path_leads_is_told_without_touching_what_may_not_answer(tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "share").mkdir(parents=True)
    (place / "share" / "out").symlink_to("/")  # would be seen only by who looks in there
    (place / "link").symlink_to("share/inbox")
    (place / "up").symlink_to("../place/./link")
    (place / "loop").symlink_to("loop")
    (place / "near").mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(place=place))
    far = {"/mnt/a share", "/mnt/a share/x", f"{place}/share", f"{place}/share/out/tmp", f"{place}/link"}
    far |= {f"{place}/up", f"{place}/near/../up/x"}
    near = {"/", "/mnt", "/mnt/a", "/mnt/card/DCIM", f"{place}/near", f"{place}/loop", f"{place}/sharer"}
    assert {path for path in far | near if leads_far(os.fsencode(path), mounts)} == far
    mounts.write_text(MOUNTS.splitlines()[0])
    assert not leads_far(b"/mnt/a share", mounts)
    assert not leads_far(b"/", tmp_path / "nothing")
