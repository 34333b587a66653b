"""What the machine tells about paths, leases and locks."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest

from syncd.adapters import machine
from syncd.decide.explain import Kind


def test_every_kind_of_thing_at_a_path_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("")
    (tmp_path / "link").symlink_to("dir/file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "door").symlink_to("dir")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
    expected = {
        b"": Kind.DIRECTORY,
        b"dir": Kind.DIRECTORY,
        b"dir/file": Kind.FILE,
        b"link": Kind.SYMLINK,
        b"dangling": Kind.SYMLINK,
        b"door/file": Kind.BEHIND_SYMLINK,
        b"door/none": Kind.BEHIND_SYMLINK,
        b"pipe": Kind.OTHER,
        b"sock": Kind.OTHER,
        b"none": Kind.MISSING,
        b"none/file": Kind.MISSING,
        b"dir/file/below": Kind.MISSING,
        b"x" * 300: Kind.MISSING,
        b"nul\0": Kind.MISSING,
    }
    root = os.fsencode(tmp_path)
    assert {path: Kind(machine.kind_of(root, path)) for path in expected} == expected


def test_where_one_may_not_enter_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: object) -> os.stat_result:  # as the kernel does it to everybody but root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", refused)
    assert Kind(machine.kind_of(os.fsencode(tmp_path), b"a")) is Kind.HIDDEN


def test_symlinks_on_the_way_are_resolved_but_not_the_last_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "link").symlink_to("elsewhere")
    (tmp_path / "door").symlink_to("real")
    here = os.fsencode(os.path.realpath(tmp_path))
    assert machine.real_path(here + b"/door/link") == here + b"/real/link"
    assert machine.real_path(here + b"/door/../door/x") == here + b"/real/x"
    assert machine.real_root(here + b"/door") == here + b"/real"
    assert machine.real_path(b"/x") == b"/x"


def test_leases_are_for_owners_and_for_the_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.fsencode(tmp_path)
    assert machine.may_take_leases(root)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(machine, "has_capability", lambda *_: False)
    assert not machine.may_take_leases(root)
    monkeypatch.setattr(machine, "has_capability", lambda *_: True)
    assert machine.may_take_leases(root)
    monkeypatch.setattr(machine, "has_capability", lambda *_: False)
    assert not machine.may_take_leases(root + b"/none")
    monkeypatch.setattr(machine, "has_capability", lambda _, pid=None: pid == 77)
    assert machine.may_take_leases(root, 77), "the daemon's capability is what counts"


def test_the_holder_of_a_lock_is_found_without_touching_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert machine.lock_holder(lock) is None
    with lock.open("w") as held:
        assert machine.lock_holder(lock) is None
        fcntl.flock(held, fcntl.LOCK_EX)
        assert machine.lock_holder(lock) == os.getpid()
    assert machine.lock_holder(lock) is None


def test_a_path_behind_a_server_that_does_not_answer_stays_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = threading.Event()
    monkeypatch.setattr(machine, "_PATIENCE_S", 0.02)
    monkeypatch.setattr("os.path.realpath", lambda path: go.wait(60) and path + b"/real")
    asked = [machine.real_root(b"/share") for _ in range(20)]  # and only so many are left hanging
    assert set(asked) == {b"/share"}
    go.set()
    pause = threading.Event()
    for _ in range(500):  # those that were left hanging end one by one
        if machine.real_root(b"/share") == b"/share/real":
            return
        pause.wait(0.01)
    raise AssertionError("it answers again, and nobody asks")
