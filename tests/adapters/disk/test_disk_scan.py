"""Walking a folder."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.adapters.disk import LocalDisk
from syncd.adapters.disk.beneath import Opener
from syncd.errors import FolderUnavailable
from syncd.model import Blind, Entry

names = st.binary(min_size=1, max_size=6).map(lambda raw: raw.replace(b"/", b"-").replace(b"\0", b"!")).filter(
    lambda name: name not in {b".", b".."}
)  # fmt: skip
trees = st.recursive(
    st.sampled_from(["file", "symlink", "fifo"]),
    lambda below: st.dictionaries(names, below, max_size=6),
    max_leaves=25,
).filter(lambda tree: isinstance(tree, dict))


def everything(_: bytes) -> bool:
    return True


def scan(
    disk: LocalDisk,
    root: bytes,
    *,
    recursive: bool = True,
    descend: Callable[[bytes], bool] = everything,
    take: Callable[[bytes], bool] = everything,
) -> list[Entry | Blind]:
    return list(disk.scan(root, recursive=recursive, descend=descend, take=take))


def paths(found: list[Entry | Blind]) -> list[bytes]:
    return [item.path if isinstance(item, Entry) else item.prefix for item in found]


def grow(directory: Path, tree: dict[bytes, object]) -> None:
    for name, below in tree.items():
        path = directory / os.fsdecode(name)
        if isinstance(below, dict):
            path.mkdir()
            grow(path, below)
        elif below == "file":
            path.write_bytes(name)
        elif below == "symlink":
            path.symlink_to("..")
        else:
            os.mkfifo(path)


def files_of(tree: dict[bytes, object], prefix: bytes = b"") -> Iterator[bytes]:
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from files_of(below, prefix + name + b"/")
        elif below == "file":
            yield prefix + name


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(tree=trees)
def test_any_tree_comes_complete_in_byte_order_and_opens_alike_by_both_means(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, object]
) -> None:
    directory = tmp_path_factory.mktemp("tree")
    grow(directory, tree)
    root = os.fsencode(directory)
    before = open_descriptors()
    by_openat2, by_components = LocalDisk(Opener()), LocalDisk(Opener(openat2=False))
    found = scan(by_openat2, root)
    assert paths(found) == sorted(files_of(tree))
    for entry in found:
        assert isinstance(entry, Entry)
        assert by_openat2.look(root, entry.path) == by_components.look(root, entry.path) == entry.fingerprint
        for disk in (by_openat2, by_components):
            file = disk.open(root, entry.path)
            assert file.fingerprint() == entry.fingerprint
            file.close()
    assert open_descriptors() == before


def test_a_directory_sorts_as_its_files_do(disk: LocalDisk, tmp_path: Path, root: bytes) -> None:
    for name in ("a", "ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    for name in ("a!", "a0", "a.b", "aa"):
        (tmp_path / name).touch()
    assert paths(scan(disk, root)) == [b"a!", b"a.b", b"a/x", b"a0", b"aa", b"ab/x"]


def test_only_regular_files_count_and_symlinked_directories_are_not_entered(
    disk: LocalDisk, tmp_path: Path, root: bytes
) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "link").symlink_to("one")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    found = scan(disk, root)
    assert paths(found) == [b"one", b"two"]
    assert [disk.look(root, entry.path) for entry in found if isinstance(entry, Entry)] == [
        entry.fingerprint for entry in found if isinstance(entry, Entry)
    ]


def test_the_one_who_asks_decides_what_to_enter_and_what_to_take(
    disk: LocalDisk, tmp_path: Path, root: bytes
) -> None:
    for path in ("a/skip/x", "a/b/x", "a/b/y.tmp", "top"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    entered: list[bytes] = []

    def descend(path: bytes) -> bool:
        entered.append(path)
        return path != b"a/skip"

    found = scan(disk, root, descend=descend, take=lambda path: not path.endswith(b".tmp"))
    assert paths(found) == [b"a/b/x", b"top"]
    assert sorted(entered) == [b"a", b"a/b", b"a/skip"]


def test_a_flat_folder_is_not_descended_into(disk: LocalDisk, tmp_path: Path, root: bytes) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/x").touch()
    (tmp_path / "top").touch()
    assert paths(scan(disk, root, recursive=False)) == [b"top"]


def test_a_scan_that_is_dropped_lets_go_of_every_descriptor(
    disk: LocalDisk, tmp_path: Path, root: bytes
) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/c/x").touch()
    before = open_descriptors()
    running = disk.scan(root, recursive=True, descend=everything, take=everything)
    next(running)
    assert open_descriptors() > before
    running.close()  # type: ignore[attr-defined]
    assert open_descriptors() == before


def test_what_vanishes_during_the_scan_is_left_out_without_fuss(
    disk: LocalDisk, tmp_path: Path, root: bytes
) -> None:
    for path in ("a/1", "a/2", "b/1", "c/1", "d"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    running = disk.scan(root, recursive=True, descend=everything, take=everything)
    found = [next(running)]
    (tmp_path / "a/2").unlink()
    (tmp_path / "b/1").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "c").rename(tmp_path / "c-before")
    (tmp_path / "c").symlink_to("c-before")
    (tmp_path / "d").unlink()
    os.mkfifo(tmp_path / "d")
    found += running
    assert paths(found) == [b"a/1"]


def test_a_root_removed_during_the_scan_says_so_instead_of_missing_its_files(
    disk: LocalDisk, tmp_path: Path
) -> None:
    inside = tmp_path / "root"
    inside.mkdir()
    (inside / "a").touch()
    (inside / "b").touch()
    running = disk.scan(os.fsencode(inside), recursive=True, descend=everything, take=everything)
    next(running)
    (inside / "a").unlink()
    (inside / "b").unlink()
    inside.rmdir()
    with pytest.raises(FolderUnavailable, match="does not exist"):
        list(running)


def test_a_root_that_cannot_be_listed_is_unavailable(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnavailable, match="not a directory"):
        scan(disk, os.fsencode(tmp_path / "file"))
    with pytest.raises(FolderUnavailable, match="does not exist"):
        scan(disk, os.fsencode(tmp_path / "missing"))


SHOW = """
try:
    for item in disk.scan(root, recursive=True, descend=lambda _: True, take=lambda _: True):
        print(item.path.decode() if isinstance(item, Entry) else f"blind {item.prefix.decode()} {item.reason}")
except FolderUnavailable as trouble:
    print("unavailable", trouble)
"""


def test_a_subtree_that_cannot_be_read_is_blind_in_its_place(
    public: Path, unprivileged: Callable[[Path, str], str]
) -> None:
    for path in ("a/1", "closed/x", "listed/x", "listed/y", "z/1"):
        (public / path).parent.mkdir(exist_ok=True)
        (public / path).touch()
    (public / "closed").chmod(0)
    (public / "listed").chmod(0o444)
    lines = unprivileged(public, SHOW).splitlines()
    assert [line.split(" cannot")[0] for line in lines] == [
        "a/1",
        "blind closed/",
        "blind listed/",
        "z/1",
    ]
    assert all("cannot be read by" in line for line in lines[1:3])


def test_a_root_whose_entries_cannot_be_looked_at_is_unavailable(
    public: Path, unprivileged: Callable[[Path, str], str]
) -> None:
    (public / "r").mkdir()
    (public / "r/x").touch()
    (public / "r").chmod(0o444)
    assert unprivileged(public / "r", SHOW).startswith("unavailable")


def test_a_directory_that_fails_while_being_listed_is_blind(
    disk: LocalDisk, tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("a/1", "bad/1", "c/1"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    sick = (tmp_path / "bad").stat().st_ino
    healthy = os.scandir

    class Sick:
        def __init__(self, descriptor: int) -> None:
            self.entries = healthy(descriptor)

        def __enter__(self) -> Iterator[object]:
            yield from list(self.entries)[:0]
            raise OSError(5, "Input/output error")

        def __exit__(self, *_: object) -> None:
            self.entries.close()

    def scandir(descriptor: int) -> object:
        return Sick(descriptor) if os.fstat(descriptor).st_ino == sick else healthy(descriptor)

    monkeypatch.setattr(os, "scandir", scandir)
    before = open_descriptors()
    found = scan(disk, root)
    assert paths(found) == [b"a/1", b"bad/", b"c/1"]
    assert found[1] == Blind(b"bad/", "Input/output error (EIO)")
    assert open_descriptors() == before


def test_one_sick_file_is_blind_in_its_place_and_the_others_go_on(
    disk: LocalDisk, tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "sick", "sick!", "sick.raw", "sick0", "z"):
        (tmp_path / name).touch()
    healthy = os.scandir

    class Sick:
        name = "sick"

        def is_file(self, *, follow_symlinks: bool) -> bool:
            return not follow_symlinks

        def stat(self, *, follow_symlinks: bool) -> None:
            raise OSError(117, "Structure needs cleaning", follow_symlinks)

    class Listing:
        def __init__(self, descriptor: int) -> None:
            self.entries = healthy(descriptor)

        def __enter__(self) -> Iterator[object]:
            return (Sick() if entry.name == "sick" else entry for entry in self.entries)

        def __exit__(self, *_: object) -> None:
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Listing)
    found = scan(disk, root)
    assert paths(found) == [b"a", b"sick!", b"sick.raw", b"sick/", b"sick0", b"z"]
    assert found[3] == Blind(b"sick/", "Structure needs cleaning (EUCLEAN)")


def test_a_scan_holds_one_directory_of_the_tree_at_a_time(
    disk: LocalDisk, root: bytes, tmp_path: Path
) -> None:
    files = 250
    for directory in range(20):
        (tmp_path / f"{directory}").mkdir()
        for number in range(files):
            (tmp_path / f"{directory}" / f"{number:060}").touch()

    def peak(below: bytes) -> int:
        tracemalloc.start()
        count = sum(1 for _ in disk.scan(below, recursive=True, descend=everything, take=everything))
        assert count in {files, 20 * files}
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(root) < 3 * peak(root + b"/0"), "twenty times the files must not cost twenty times the memory"
