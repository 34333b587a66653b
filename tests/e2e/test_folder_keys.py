"""Every key of a folder and of `upload`, from the YAML file to what the daemon does: each test fails where its key is ignored."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.whole import LARGE, PART, Servers, Whole

from syncd.demo.store import Fault, Record
from syncd.model import State, Writer

Daemon = Callable[..., Whole]


@pytest.fixture
def daemon(servers: Servers, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon with these keys in its folder, or these sections."""
    running: list[Whole] = []

    def start(folder: dict[str, Any] | None = None, **sections: Any) -> Whole:
        running.append(Whole(servers, tmp_path / str(len(running)), folder=folder or {}, **sections))
        return running[-1]

    yield start
    servers.store.faults = None
    for one in running:
        one.__exit__()


class Watched:
    """The store's requests that carry bodies: each takes a moment, and how many there were at once is counted."""

    def __init__(self, seconds: float = 0.2, *, only_first: bool = False) -> None:
        self._seconds, self._only_first = seconds, only_first
        self._lock = threading.Lock()
        self._now = self.most = self.met = 0

    def before(self, record: Record) -> Fault | None:
        if record.operation not in {"PutObject", "UploadPart"}:
            return None
        with self._lock:
            self.met += 1
            self._now += 1
            self.most = max(self.most, self._now)
            slow = self.met == 1 or not self._only_first
        return Fault(delay=self._seconds) if slow else None

    def after(self, record: Record) -> Fault | None:
        if record.operation in {"PutObject", "UploadPart"}:
            with self._lock:
                self._now -= 1
        return None


def scanned(device: Whole, *names: str) -> None:
    """Files appear and nobody hints at them; a scan is asked for, and these are sent."""
    device.app.mailbox.scan(os.fsencode(device.inbox), "a test wants it")
    device.run(lambda: all(map(device.done, names)))


def unknown(device: Whole, name: str) -> bool:
    return device.app.ledger.at(os.fsencode(device.inbox), name.encode()) is None


def test_include_exclude_and_recursive_choose_what_is_taken(daemon: Daemon) -> None:
    device = daemon({"include": ["*.mp4"], "exclude": ["raw*"], "recursive": False})
    (device.inbox / "sub").mkdir()
    for name in ("a.mp4", "a.txt", "raw-a.mp4", ".hidden.mp4", "sub/b.mp4"):
        (device.inbox / name).write_bytes(b"12345")
    scanned(device, "a.mp4", ".hidden.mp4")  # which the default patterns would have passed over
    assert [unknown(device, name) for name in ("a.txt", "raw-a.mp4", "sub/b.mp4")] == [True] * 3


def test_name_and_key_make_the_objects_key(daemon: Daemon) -> None:
    device = daemon({"name": "front door", "key": "{prefix}{folder}/{device}/{stem}~{suffix}"})
    device.drop("film.mp4")
    device.run(lambda: device.done("film.mp4"))
    assert device.row("film.mp4").key == f"{device.device}/front door/{device.device}/film~.mp4"
    assert device.status()["folders"][0]["name"] == "front door"


def test_a_file_waits_until_it_has_been_quiet(daemon: Daemon) -> None:
    device = daemon({"complete_when": {"quiet": "2s"}})
    began = time.monotonic()
    device.sends("film")
    assert time.monotonic() - began >= 2.0


@pytest.mark.parametrize("not_open", ["auto", "off"])
def test_a_file_that_is_open_for_writing_waits_unless_nobody_is_asked(daemon: Daemon, not_open: str) -> None:
    device = daemon({"complete_when": {"quiet": "0s", "not_open": not_open}})
    with (device.inbox / "film").open("wb") as writer:
        writer.write(b"12345")
        writer.flush()
        device.drop("other")
        device.app.mailbox.path(os.fsencode(device.inbox), b"film")
        device.run(lambda: device.done("other") and not unknown(device, "film"))
        if not_open == "off":
            device.run(lambda: device.done("film"))
        else:
            assert device.row("film").state is State.DISCOVERED
    assert device.status()["folders"][0]["open_check"] == ("off" if not_open == "off" else "ok")


@pytest.mark.parametrize("not_open", ["auto", "require"])
def test_where_the_system_cannot_tell_of_writers_a_file_goes_unless_that_is_required(
    daemon: Daemon, not_open: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.adapters.disk.local.writer_of", lambda _: Writer.UNKNOWN)
    device = daemon({"complete_when": {"quiet": "0s", "not_open": not_open}})
    device.drop("film")
    if not_open == "auto":
        device.run(lambda: device.done("film"))
        return
    device.run(lambda: not unknown(device, "film"))
    for _ in range(20):
        device.app.clerk.tick()
    assert device.row("film").state is State.DISCOVERED


def test_a_file_waits_for_its_marker(daemon: Daemon) -> None:
    device = daemon({"complete_when": {"quiet": "0s", "marker": "{stem}.ok"}, "exclude": ["*.ok"]})
    device.drop("first.mp4")
    (device.inbox / "second.ok").touch()
    device.sends("second.mp4")
    assert device.row("first.mp4").state is State.DISCOVERED
    (device.inbox / "first.ok").touch()
    device.app.mailbox.path(os.fsencode(device.inbox), b"first.mp4")
    device.run(lambda: device.done("first.mp4"))


def test_priority_reaches_those_who_choose(daemon: Daemon) -> None:
    """What it does there, tests/decide/test_order.py says."""
    device = daemon({"priority": 7})
    assert device.app.household.world.folders[os.fsencode(device.inbox)].priority == 7


def test_a_file_is_deleted_or_moved_when_it_is_stored_and_old_enough(daemon: Daemon, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    for rule, there in ((("delete"), False), ({"delete": {"min_age": "1h"}}, True)):
        device = daemon({"after_upload": rule})
        device.drop("film")
        device.run(lambda device=device: not unknown(device, "film") and device.row("film").proof is not None)  # type: ignore[misc]
        if not there:
            device.run(lambda device=device: device.done("film"))  # type: ignore[misc]
        assert (device.inbox / "film").exists() is there
    device = daemon({"after_upload": {"move": {"to": str(sent)}}})
    device.sends("film")
    assert (sent / "film").read_bytes() == b"12345"
    assert not (device.inbox / "film").exists()


@pytest.mark.parametrize(("watch", "said"), [("inotify", "inotify"), ("poll", "poll")])
def test_a_folder_is_watched_or_not(daemon: Daemon, watch: str, said: str) -> None:
    device = daemon({"watch": watch})
    device.run(lambda: device.status()["folders"][0]["last_scan_at"] is not None)
    assert device.status()["folders"][0]["watch"] == said
    (device.inbox / "film").write_bytes(b"12345")
    if watch == "inotify":
        device.run(lambda: device.done("film"))
    else:
        for _ in range(20):
            device.app.clerk.tick()
        assert unknown(device, "film")  # until the next scan


def test_a_folder_that_is_not_watched_is_scanned_every_so_often(daemon: Daemon) -> None:
    device = daemon({"rescan": "1s"})
    device.run(lambda: device.status()["folders"][0]["last_scan_at"] is not None)
    (device.inbox / "film").write_bytes(b"12345")
    device.run(lambda: device.done("film"))


def test_a_folder_that_is_to_be_mounted_waits_where_nothing_is(daemon: Daemon) -> None:
    device = daemon({"require_mount": True})
    device.drop("film")
    device.run(lambda: device.status()["folders"][0]["state"] == "blocked")
    assert "mounted" in device.status()["folders"][0]["reason"]
    assert unknown(device, "film")


def test_a_file_is_cut_where_part_size_and_threshold_say(daemon: Daemon) -> None:
    sizes = {"part_size": "6MiB", "multipart_threshold": "12MiB"}
    device = daemon(upload=sizes)
    device.sends("below", bytes(12 * 2**20 - 1))
    device.sends("above", bytes(12 * 2**20))
    asked = [(record.operation, record.length) for record in device.requests() if record.length > PART]
    assert sorted(asked) == [("PutObject", 12 * 2**20 - 1), *[("UploadPart", 6 * 2**20)] * 2]


@pytest.mark.parametrize("upload", [{"files": 2}, {"parts": 2}], ids=str)
def test_no_more_files_and_parts_are_on_their_way_than_is_said(
    daemon: Daemon, servers: Servers, upload: dict[str, int]
) -> None:
    device = daemon(upload=upload)
    device.run(lambda: device.status()["credentials"]["state"] == "ok")
    device.sends("first")  # from then on the destination is known to be open
    servers.store.faults = watched = Watched()
    device.sends_all({f"film {number}": b"12345" for number in range(6)})
    assert watched.most == 2


def test_a_part_larger_than_its_share_of_the_memory_is_read_twice_instead_of_held(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncd.adapters.disk.local import LocalFile

    read, total = LocalFile.read_into, [0]

    def counted(file: LocalFile, offset: int, buffer: memoryview) -> int:
        total[0] += len(buffer)
        return read(file, offset, buffer)

    monkeypatch.setattr(LocalFile, "read_into", counted)
    upload = {"part_size": "5MiB", "multipart_threshold": "5MiB", "parts": 2}
    daemon(upload=upload | {"memory": "10MiB"}).sends("film", LARGE)
    held = total[0]
    assert held < 1.5 * len(LARGE)
    daemon(upload=upload | {"memory": "4MiB"}).sends("film", LARGE)
    assert total[0] - held > 1.9 * PART


def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_is_said(
    daemon: Daemon, servers: Servers
) -> None:
    servers.store.faults = watched = Watched(30.0, only_first=True)
    device = daemon(upload={"read_timeout": "500ms"})
    device.sends("film")
    assert watched.met >= 2


def test_a_connection_that_does_not_come_about_is_not_waited_for_longer_than_is_said(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on this machine lets a connection hang; so it is seen what the socket was told."""
    import urllib3.util.connection

    connect, told = urllib3.util.connection.create_connection, list[Any]()

    def listening(address: Any, timeout: Any = None, *others: Any, **more: Any) -> Any:
        told.append(timeout)
        return connect(address, timeout, *others, **more)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", listening)
    daemon(upload={"connect_timeout": "7s"}).sends("film")
    assert set(told) == {7.0}


def test_history_is_kept_as_long_as_is_said(daemon: Daemon) -> None:
    assert daemon(retention="36h").app.household.world.retention_s == 36 * 3600.0
    assert daemon().app.household.world.retention_s == 90 * 86_400.0


def test_ledger_and_socket_lie_where_is_said(daemon: Daemon) -> None:
    device = daemon()
    assert (device.place / "state" / "state.db").is_file()
    assert stat.S_ISSOCK((device.place / "s" / "c.sock").stat().st_mode)
