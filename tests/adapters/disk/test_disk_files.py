"""Looking at and reading single files."""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.adapters.disk import LocalDisk
from syncd.adapters.disk.beneath import Opener
from syncd.errors import FolderUnavailable, Transient, Vanished
from syncd.model import Fingerprint, RootIdentity, Writer

ODD_NAMES = [
    b"\xff\xfe.raw",
    b"line\nbreak",
    b" ",
    b"a\\b",
    "\u00e9".encode(),
    "e\u0301".encode(),
    b"x" * 255,
]


def by_lstat(path: Path) -> Fingerprint:
    status = path.lstat()
    return Fingerprint(
        dev=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def read_all(disk: LocalDisk, root: bytes, path: bytes, size: int = 1024) -> bytes:
    file = disk.open(root, path)
    buffer = bytearray(size)
    count = file.read_into(0, memoryview(buffer))
    file.close()
    return bytes(buffer[:count])


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_a_file_system_allows_can_be_looked_at_and_read(
    disk: LocalDisk, root: bytes, name: bytes
) -> None:
    full = Path(os.fsdecode(root + b"/" + name))
    full.write_bytes(b"content of " + name)
    assert disk.look(root, name) == by_lstat(full)
    assert read_all(disk, root, name) == b"content of " + name


def test_the_open_file_has_the_fingerprint_that_a_look_saw(
    disk: LocalDisk, root: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"12345")
    file = disk.open(root, b"a/b")
    assert file.fingerprint() == disk.look(root, b"a/b") == by_lstat(tmp_path / "a/b")
    (tmp_path / "a/b").unlink()
    (tmp_path / "a/b").write_bytes(b"54321")
    assert file.fingerprint() != disk.look(root, b"a/b")
    file.close()
    file.close()


def test_a_read_fills_the_buffer_and_is_short_only_at_the_end(
    disk: LocalDisk, root: bytes, tmp_path: Path
) -> None:
    content = os.urandom((5 << 20) + 17)
    (tmp_path / "big").write_bytes(content)
    file = disk.open(root, b"big")
    buffer = memoryview(bytearray(3 << 20))
    assert file.read_into(100, buffer) == len(buffer)
    assert buffer == content[100 : 100 + len(buffer)]
    assert file.read_into(3 << 20, buffer) == (2 << 20) + 17
    assert buffer[: (2 << 20) + 17] == content[3 << 20 :]
    assert file.read_into(len(content), buffer) == 0
    os.truncate(tmp_path / "big", 150)
    assert file.read_into(100, buffer) == 50
    file.close()


def test_a_read_after_close_is_trouble_and_touches_no_other_file(
    disk: LocalDisk, root: bytes, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    file = disk.open(root, b"f")
    file.close()
    with pytest.raises(Transient):
        file.read_into(0, memoryview(bytearray(1)))
    with pytest.raises(Transient):
        file.fingerprint()


@pytest.mark.parametrize("openat2", [True, False])
def test_nothing_but_regular_files_beneath_the_root_is_ever_opened(tmp_path: Path, openat2: bool) -> None:
    disk = LocalDisk(Opener(openat2=openat2))
    inside = tmp_path / "root"
    inside.mkdir()
    root = os.fsencode(inside)
    (tmp_path / "secret").write_bytes(b"canary")
    (inside / "real").mkdir()
    (inside / "real/file").write_bytes(b"fine")
    (inside / "link").symlink_to("real/file")
    (inside / "out").symlink_to("../secret")
    (inside / "linkdir").symlink_to("real")
    (inside / "outdir").symlink_to("..")
    os.mkfifo(inside / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inside / "socket"))
    absolute = os.fsencode(tmp_path / "secret")
    never = [
        b"link", b"out", b"linkdir/file", b"outdir/secret", b"fifo", b"socket", b"real", b"missing",
        b"../secret", b"real/../../secret", b"real/file/x", absolute, b"real//file", b"./real/file",
        b"real/file\0", b"", b".", b"real/", b"n" * 256,
    ]  # fmt: skip
    for path in never:
        assert disk.look(root, path) is None, path
        with pytest.raises(Vanished):
            disk.open(root, path)
        assert disk.writer(root, path) is Writer.UNASKED
    assert read_all(disk, root, b"real/file") == b"fine"


def test_a_device_counts_as_no_file(disk: LocalDisk) -> None:
    assert disk.look(b"/dev", b"null") is None
    assert disk.exists(b"/dev", b"null")
    with pytest.raises(Vanished):
        disk.open(b"/dev", b"null")


def test_a_marker_exists_whatever_it_is_but_not_behind_a_symlink(
    disk: LocalDisk, root: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/x").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "dirlink").symlink_to("dir")
    assert all(disk.exists(root, path) for path in (b"file", b"dir", b"dangling", b"dir/x"))
    assert not any(disk.exists(root, path) for path in (b"nowhere", b"dirlink/x", b"file/x", b"../"))


def test_a_path_beyond_path_max_is_found_and_read(disk: LocalDisk, root: bytes) -> None:
    component = b"d" * 200
    here = os.open(root, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(component, dir_fd=here)
        below = os.open(component, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with os.fdopen(os.open("deep", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here), "wb") as file:
        file.write(b"deep down")
    os.close(here)
    path = b"/".join([component] * 25 + [b"deep"])
    assert len(path) > 4096
    assert read_all(disk, root, path) == b"deep down"
    found = disk.look(root, path)
    assert found is not None
    assert found.size == 9
    (entry,) = disk.scan(root, recursive=True, descend=lambda _: True, take=lambda _: True)
    assert (entry.path, entry.fingerprint) == (path, found)  # type: ignore[union-attr]


def test_the_root_itself_may_be_a_symlink(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/f").write_bytes(b"1")
    (tmp_path / "alias").symlink_to("real")
    alias = os.fsencode(tmp_path / "alias")
    assert read_all(disk, alias, b"f") == b"1"
    assert disk.look(alias, b"f") == by_lstat(tmp_path / "real/f")
    status = (tmp_path / "real").stat()
    filesystem = os.statvfs(tmp_path / "real").f_fsid
    assert disk.root(alias) == RootIdentity(status.st_dev, status.st_ino, filesystem)


def test_the_identity_of_a_root_tells_a_replaced_directory(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    before = disk.root(os.fsencode(tmp_path / "r"))
    (tmp_path / "r").rename(tmp_path / "away")
    (tmp_path / "r").mkdir()
    assert disk.root(os.fsencode(tmp_path / "r")) != before
    assert disk.root(os.fsencode(tmp_path / "away")) == before


def test_a_missing_root_is_no_vanished_file(disk: LocalDisk, tmp_path: Path) -> None:
    missing = os.fsencode(tmp_path / "missing")
    assert disk.exists(missing, b"f") is False
    assert disk.writer(missing, b"f") is Writer.UNASKED
    for call in (disk.look, disk.open):
        with pytest.raises(Transient, match="missing does not exist") as caught:
            call(missing, b"f")
        assert isinstance(caught.value, FolderUnavailable)
        assert caught.value.hint


def test_a_root_that_cannot_be_used_says_why(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnavailable, match="file is not a directory"):
        disk.root(os.fsencode(tmp_path / "file"))
    with pytest.raises(FolderUnavailable, match="nowhere does not exist"):
        disk.root(os.fsencode(tmp_path / "nowhere"))


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_a_root_needs_the_rights_to_list_and_to_enter(
    public: Path, unprivileged: Callable[[Path, str], str], mode: int
) -> None:
    (public / "r").mkdir()
    (public / "r").chmod(mode)
    said = unprivileged(
        public / "r",
        """
try:
    disk.root(root)
except FolderUnavailable as trouble:
    print(trouble, "|", trouble.hint)
""",
    )
    assert "cannot be read by" in said
    assert "setfacl" in said


def test_an_unreadable_file_is_seen_but_waits_for_permission(
    public: Path, unprivileged: Callable[[Path, str], str]
) -> None:
    (public / "f").write_bytes(b"123")
    (public / "f").chmod(0)
    said = unprivileged(
        public,
        """
print(disk.look(root, b"f").size, disk.writer(root, b"f").value)
try:
    disk.open(root, b"f")
except Transient as trouble:
    print(trouble, "|", trouble.hint)
""",
    )
    assert said.startswith("3 unasked")
    assert "not allowed to read it | make it readable for" in said


def test_a_file_behind_a_closed_directory_is_unknown_rather_than_gone(
    public: Path, unprivileged: Callable[[Path, str], str]
) -> None:
    (public / "d").mkdir()
    (public / "d/f").touch()
    (public / "d").chmod(0)
    said = unprivileged(
        public,
        """
print(disk.exists(root, b"d/f"), disk.writer(root, b"d/f").value)
for call in (disk.look, disk.open):
    try:
        call(root, b"d/f")
    except Transient as trouble:
        print("transient", trouble.hint)
""",
    )
    assert said.startswith("False unasked\n")
    assert said.count("transient make it readable") == 2


def test_free_bytes_are_those_for_everybody(disk: LocalDisk, root: bytes) -> None:
    free = disk.free_bytes(root)
    space = os.statvfs(root)
    assert free is not None
    assert abs(free - space.f_bavail * space.f_frsize) < 1 << 30
    assert disk.free_bytes(root + b"/missing") is None


@pytest.mark.parametrize("openat2", [True, False])
def test_a_directory_that_flips_to_a_symlink_while_we_open_never_leads_outside(
    tmp_path: Path, openat2: bool
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_bytes(b"canary")
    inside = tmp_path / "root"
    (inside / "real").mkdir(parents=True)
    (inside / "real/f").write_bytes(b"fine")
    (inside / "link").symlink_to("../outside")
    ended = threading.Event()

    def flip() -> None:
        while not ended.is_set():
            for name in ("real", "link"):
                (inside / name).rename(inside / "d")
                (inside / "d").rename(inside / name)

    flipping = threading.Thread(target=flip)
    flipping.start()
    disk, seen = LocalDisk(Opener(openat2=openat2)), Counter[bytes]()
    try:
        # At least so many looks, and as many more as it takes to have met the directory itself a few times.
        while seen.total() < 1500 or (seen[b"fine"] < 5 and seen.total() < 500_000):
            try:
                seen[read_all(disk, os.fsencode(inside), b"d/f", size=16)] += 1
            except Vanished:
                seen[b"nothing"] += 1
    finally:
        ended.set()
        flipping.join()
    assert set(seen) <= {b"fine", b"nothing"}
    assert seen[b"fine"] > 0
