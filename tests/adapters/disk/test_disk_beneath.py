"""Opening beneath a directory where the kernel has openat2 and where it has not, and what an errno becomes."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.adapters.disk import LocalDisk, beneath
from syncd.adapters.disk.beneath import LOOK_FLAGS, Opener, open_at_once, open_by_components
from syncd.adapters.disk.trouble import shown
from syncd.errors import SyncdError, Transient, Vanished


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which means were used, in order."""
    used: list[str] = []

    def components(directory: int, path: bytes, flags: int) -> int:
        used.append("components")
        return open_by_components(directory, path, flags)

    monkeypatch.setattr(beneath, "open_by_components", components)
    return used


def refusing(code: int, used: list[str]) -> object:
    def openat2(_directory: int, _path: bytes, _flags: int) -> int:
        used.append("openat2")
        raise OSError(code, os.strerror(code))

    return openat2


def test_this_kernel_has_openat2_and_it_refuses_symlinks(directory: int) -> None:
    os.close(open_at_once(directory, b"a/b/f", LOOK_FLAGS))
    with pytest.raises(OSError, match="symbolic links") as caught:
        open_at_once(directory, b"link/b/f", LOOK_FLAGS)
    assert caught.value.errno == errno.ELOOP
    with pytest.raises(OSError, match="cross-device") as caught:
        open_at_once(directory, b"a/../../x", LOOK_FLAGS)
    assert caught.value.errno == errno.EXDEV


def test_the_walk_by_components_refuses_symlinks_too_and_leaks_nothing(directory: int) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    os.close(open_by_components(directory, b"a/b/f", LOOK_FLAGS))
    for path in (b"link/b/f", b"a/missing/f", b"a/b/f/g", b"a/b/missing"):
        with pytest.raises(OSError, match="directory"):
            open_by_components(directory, path, LOOK_FLAGS)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_kernel_without_openat2_is_asked_only_once(
    directory: int, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath, "open_at_once", refusing(errno.ENOSYS, calls))
    opener = Opener()
    for _ in range(2):
        os.close(opener.open(directory, b"a/b/f", LOOK_FLAGS))
    assert calls == ["openat2", "components", "components"]


def test_a_sandbox_that_forbids_openat2_is_walked_around(
    directory: int, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath, "open_at_once", refusing(errno.EPERM, calls))
    os.close(Opener().open(directory, b"a/b/f", LOOK_FLAGS))
    assert calls == ["openat2", "components"]


def test_an_interrupted_call_is_made_again(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [-1, -1]
    kernel = beneath._libc.syscall

    def syscall(*arguments: object) -> int:
        if answers:
            ctypes.set_errno(errno.EINTR)
            return answers.pop()
        return int(kernel(*arguments))

    monkeypatch.setattr(beneath._libc, "syscall", syscall)
    os.close(open_at_once(directory, b"a/b/f", LOOK_FLAGS))
    assert answers == []


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (errno.ENOENT, Vanished, None),
        (errno.ELOOP, Vanished, None),
        (errno.EXDEV, Vanished, None),
        (errno.EACCES, Transient, "make it readable for"),
        (errno.EIO, Transient, "dmesg"),
        (errno.ENXIO, Transient, "dmesg"),
        (errno.ESTALE, Transient, "mount it again"),
        (errno.EHOSTDOWN, Transient, "mount it again"),
        (errno.EMFILE, Transient, "LimitNOFILE"),
        (errno.EAGAIN, Transient, "lease"),
    ],
)
def test_each_errno_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[SyncdError], hint: str | None
) -> None:
    monkeypatch.setattr(beneath, "open_at_once", refusing(code, []))
    root = os.fsencode(tmp_path)
    with pytest.raises(kind, match=f"{tmp_path}/some/file") as caught:
        LocalDisk().open(root, b"some/file")
    assert (caught.value.hint is None) if hint is None else (hint in str(caught.value.hint))
    if kind is Vanished:
        assert LocalDisk().look(root, b"some/file") is None
    else:
        with pytest.raises(kind):
            LocalDisk().look(root, b"some/file")


def test_names_in_messages_cannot_forge_a_line() -> None:
    assert shown(b"/a/\xff\n\x1b[31m\xc3\xa9") == "/a/\\xff\\n\\x1b[31m\u00e9"
