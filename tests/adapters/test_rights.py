"""What may be done in directories, asked without doing it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from syncd.adapters import rights
from syncd.adapters.rights import Removal

NOBODY = 65534


@pytest.fixture
def powerless() -> Iterator[None]:
    """Who may do everything becomes somebody who may not, for a while; everybody else stays who he is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def tree() -> Iterator[Path]:
    """Reachable and writable for everybody, which pytest's own directories are not."""
    with TemporaryDirectory() as place:
        root = Path(place)
        (root / "a" / "b").mkdir(parents=True)
        for each in (root, root / "a", root / "a" / "b"):
            each.chmod(0o777)
        yield root


def test_the_tree_is_walked_without_following_symlinks_and_not_for_ever(tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    (tree / "file").write_text("")
    root = os.fsencode(tree)
    assert sorted(rights.directories(root, descend=lambda _: True)) == [root, root + b"/a", root + b"/a/b"]
    assert list(rights.directories(root, descend=lambda _: False)) == [root]
    assert len(list(rights.directories(root, descend=lambda _: True, most=2))) == 2
    assert list(rights.directories(root + b"/none", descend=lambda _: True)) == [root + b"/none"]


def test_where_everything_can_be_written_nothing_hinders(tree: Path, powerless: None) -> None:
    assert rights.hindrance(os.fsencode(tree), descend=lambda _: True) is None


def test_a_directory_below_that_cannot_be_written_hinders(tree: Path, request: pytest.FixtureRequest) -> None:
    (tree / "a" / "b").chmod(0o555)
    request.getfixturevalue("powerless")
    root = os.fsencode(tree)
    assert rights.hindrance(root, descend=lambda _: True) == Removal(root + b"/a/b")
    assert rights.hindrance(root, descend=lambda path: path != b"a/b") is None, "excluded, it hinders nobody"
    assert rights.hindrance(root, descend=lambda _: False) is None


def test_a_sticky_directory_keeps_the_files_of_others(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "film").write_text("")
    root = os.fsencode(tree)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert rights.hindrance(root, descend=lambda _: True) is None
    tree.chmod(0o1777)
    assert rights.hindrance(root, descend=lambda _: True) == Removal(root, sticky=True)
    (tree / "film").unlink()
    assert rights.hindrance(root, descend=lambda _: True) is None
    (tree / "film").write_text("")
    assert rights.hindrance(root, descend=lambda _: True, anybodys=True) is None


def test_what_is_not_there_is_neither_read_only_nor_on_a_device(tmp_path: Path) -> None:
    missing = os.fsencode(tmp_path / "none")
    assert not rights.is_read_only(missing)
    assert rights.device(missing) is None
    assert rights.device(os.fsencode(tmp_path)) == tmp_path.stat().st_dev
    assert not rights.is_read_only(os.fsencode(tmp_path), pid=os.getpid())


def test_what_is_mounted_read_only_for_us_or_for_the_daemon_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mounts:
        f_flag = 0

    def statvfs(path: bytes) -> Mounts:
        seen = Mounts()
        seen.f_flag = os.ST_RDONLY if path in {b"/ours", b"/proc/77/root/theirs"} else 0
        return seen

    monkeypatch.setattr(os, "statvfs", statvfs)
    assert rights.is_read_only(b"/ours")
    assert rights.is_read_only(b"/theirs", pid=77)
    assert not rights.is_read_only(b"/theirs")
