"""Events of the kernel become hints. `mailbox` waits for what it is asked for, so that no test sleeps."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import FileCreatedEvent

from syncd.adapters.mounts import is_remote
from syncd.adapters.watch import InotifyWatcher, NullWatcher
from syncd.adapters.watch.postman import Postman
from syncd.adapters.watch.scans import Scans
from syncd.model import RootIdentity

Tend = Callable[..., None]


@pytest.mark.parametrize("name", [b"plain.raw", b"\xff\xfe", b"line\nbreak", b" ", "é".encode(), b"x" * 255])
def test_a_new_file_is_hinted_by_its_exact_name(folder: Path, mailbox: Any, tend: Tend, name: bytes) -> None:
    tend()
    (folder / os.fsdecode(name)).touch()
    mailbox.wait_for_path(name)


def test_writing_closing_moving_and_deleting_are_hinted(folder: Path, mailbox: Any, tend: Tend) -> None:
    (folder / "old").touch()
    (folder / "doomed").touch()
    tend()
    with (folder / "old").open("ab") as file:
        file.write(b"x")
        file.flush()
        mailbox.wait_for_path(b"old")
        mailbox.seen.clear()
    mailbox.wait_for_path(b"old")
    (folder / "old").rename(folder / "new")
    mailbox.wait_for_path(b"new")
    (folder / "doomed").unlink()
    mailbox.wait_for_path(b"doomed")


def test_a_file_moved_in_or_out_is_hinted(folder: Path, tmp_path: Path, mailbox: Any, tend: Tend) -> None:
    (tmp_path / "outside").touch()
    (folder / "inside").touch()
    tend()
    (tmp_path / "outside").rename(folder / "arrived")
    mailbox.wait_for_path(b"arrived")
    (folder / "inside").rename(tmp_path / "left")
    mailbox.wait_for_path(b"inside")


def test_reading_is_no_event(folder: Path, mailbox: Any, tend: Tend) -> None:
    (folder / "f").write_bytes(b"x")
    tend()
    for _ in range(3):
        (folder / "f").read_bytes()
        list(folder.iterdir())
    (folder / "last").touch()
    mailbox.wait_for_path(b"last")
    assert mailbox.seen == {b"last"}


def test_a_tree_moved_in_asks_for_a_scan_and_later_writes_in_it_are_hinted(
    folder: Path, tmp_path: Path, mailbox: Any, clock: Any, tend: Tend
) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/f").touch()
    tend()
    mailbox.wait_for_scan("watching begins")
    clock.time += 100
    (tmp_path / "tree").rename(folder / "tree")
    mailbox.wait_for_scan("directories came or went")
    mailbox.wait_for_path(b"tree/sub/f")
    (folder / "tree/sub/g").touch()
    mailbox.wait_for_path(b"tree/sub/g")


def test_directories_made_and_filled_at_once_are_all_noticed(
    folder: Path, mailbox: Any, clock: Any, tend: Tend
) -> None:
    tend()
    mailbox.wait_for_scan("watching begins")
    clock.time += 100
    files = []
    for number in range(300):
        directory = folder / f"{number}/b/c"
        directory.mkdir(parents=True)
        for name in ("1", "2", "3"):
            (directory / name).touch()
            files.append(f"{number}/b/c/{name}".encode())
    # A scan that is asked for after the last of them sees them all; hints may bring some forward.
    mailbox.wait_for_scan("directories came or went")
    clock.time += 100
    mailbox.wait_for_path(files[-1])
    tend()
    mailbox.wait_for_scan("directories came or went")


def test_a_storm_of_directories_is_one_scan_now_and_one_afterwards(
    folder: Path, mailbox: Any, clock: Any, tend: Tend
) -> None:
    tend()
    assert mailbox.reasons() == ["watching begins"]
    clock.time += 100
    for number in range(50):
        (folder / f"d{number}").mkdir()
    (folder / "end").touch()
    mailbox.wait_for_path(b"end")
    assert mailbox.reasons() == ["directories came or went"]
    tend()
    assert mailbox.reasons() == []
    clock.time += 10
    tend()
    assert mailbox.reasons() == ["directories came or went"]
    tend()
    assert mailbox.reasons() == []


def test_a_flat_folder_hints_its_own_files_only(folder: Path, root: bytes, mailbox: Any, clock: Any) -> None:
    status = folder.stat()
    watcher = InotifyWatcher(mailbox, {root: False}, clock, is_remote=is_remote)
    try:
        watcher.tend({root: RootIdentity(status.st_dev, status.st_ino)})
        assert mailbox.reasons() == ["watching begins"]
        clock.time += 100
        (folder / "sub").mkdir()
        (folder / "sub/f").touch()
        (folder / "f").touch()
        mailbox.wait_for_path(b"f")
        assert mailbox.seen == {b"f"}
        assert mailbox.reasons() == []
        assert watcher.state(root) == "inotify"
    finally:
        watcher.close()


def test_a_root_given_through_a_symlink_is_watched_under_its_given_name(
    tmp_path: Path, folder: Path, mailbox: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    (folder / "sub").mkdir()
    (tmp_path / "alias").symlink_to("folder")
    alias = os.fsencode(tmp_path / "alias")
    tend(alias)
    (folder / "sub/f").touch()
    roots = {mailbox.paths.get(timeout=10)[0] for _ in range(2)}
    assert alias in roots
    assert watcher.state(alias) == "inotify"


def test_special_files_neither_block_nor_break_the_watch(folder: Path, mailbox: Any, tend: Tend) -> None:
    tend()
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    (folder / "f").touch()
    (folder / "hard").hardlink_to(folder / "f")
    mailbox.wait_for_path(b"hard")


def test_hints_that_raise_end_in_a_scan_and_the_watch_goes_on(
    folder: Path, mailbox: Any, clock: Any, tend: Tend, monkeypatch: pytest.MonkeyPatch
) -> None:
    tend()
    assert mailbox.reasons() == ["watching begins"]
    clock.time += 100
    deliver = mailbox.path

    def refuse(*arguments: bytes) -> None:
        monkeypatch.setattr(mailbox, "path", deliver)
        raise ValueError(arguments)

    monkeypatch.setattr(mailbox, "path", refuse)
    (folder / "first").touch()
    mailbox.wait_for_scan("could not be handled: ValueError")
    (folder / "second").touch()
    mailbox.wait_for_path(b"second")


def test_a_scan_request_that_raises_is_made_again_later(mailbox: Any, clock: Any) -> None:
    refusing: Any = object()  # it has neither of the two methods
    scans = Scans(refusing, clock)
    Postman(b"/r", b"/real", recursive=True, hints=refusing, scans=scans).dispatch(
        FileCreatedEvent("/real/f")
    )
    scans._hints = mailbox
    clock.time += 10
    scans.flush()
    assert len(mailbox.reasons()) == 1


def test_events_from_outside_the_root_are_no_hints(mailbox: Any, clock: Any) -> None:
    postman = Postman(b"/r", b"/real", recursive=True, hints=mailbox, scans=Scans(mailbox, clock))
    for path in ("/realm/f", "/real", "/elsewhere/f", b"/real2/f"):
        postman.dispatch(FileCreatedEvent(path))
    postman.dispatch(FileCreatedEvent(b"/real/\xff"))
    assert mailbox.paths.get_nowait() == (b"/r", b"\xff")
    assert mailbox.paths.empty()


def test_the_null_watcher_leaves_everything_to_scans() -> None:
    watcher = NullWatcher()
    watcher.tend({b"/r": None})
    assert watcher.state(b"/r") == "poll"
    watcher.close()
