"""Folders that are missing, unreadable, unmounted or replaced wait and say so; nothing of theirs counts as gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, House, build_house

from syncd.adapters.disk import LocalDisk, PatientDisk
from syncd.adapters.disk.local import LocalFile
from syncd.decide.select import Selection
from syncd.errors import FolderUnavailable, Transient
from syncd.model import Blind, Entry, Fingerprint, RootIdentity, State, Writer


@pytest.fixture
def house(tmp_path: Path, root: Path, store: FakeStore) -> Iterator[House]:
    made = build_house(root, tmp_path / "state" / "state.db", store, quiet_s=2.0)
    yield made
    made.world.ledger.close()


def ticks(house: House, seconds: float) -> None:
    """Let time go by."""
    end = house.clock.monotonic() + seconds
    while house.clock.monotonic() < end:
        house.tick()


def test_a_folder_that_is_missing_at_the_start_is_taken_up_when_it_comes(
    house: House, root: Path, store: FakeStore
) -> None:
    root.rmdir()
    ticks(house, 30.0)
    desk = house.clerk.folders[0]
    assert desk.state == "blocked"
    assert str(root) in (desk.reason or "")
    root.mkdir()
    (root / "film").write_bytes(b"abc")
    house.run(ticks=100, until=lambda: bool(store.writes))


def test_a_folder_that_goes_away_loses_no_row_and_goes_on_when_it_is_back(
    house: House, root: Path, store: FakeStore
) -> None:
    (root / "sent").write_bytes(b"abc")
    house.run()
    (root / "waiting").write_bytes(b"abcdefghijklm")
    house.rescan()
    assert house.row("waiting").state is State.DISCOVERED
    root.rename(root.parent / "away")
    ticks(house, 700.0)
    desk = house.clerk.folders[0]
    assert desk.state == "blocked"
    assert house.row("waiting").state in {State.DISCOVERED, State.SETTLED}
    assert house.row("sent").gone_at is None
    (root.parent / "away").rename(root)
    ticks(house, 20.0)
    house.run()
    assert house.row("waiting").state is State.DONE
    assert desk.state == "ok"


def test_an_empty_directory_in_its_place_as_after_unmounting_is_told_and_nothing_vanishes(
    house: House, root: Path, store: FakeStore
) -> None:
    (root / "sent").write_bytes(b"abc")
    house.run()
    (root / "waiting").write_bytes(b"abcdefghijklm")
    house.rescan()
    root.rename(root.parent / "away")
    root.mkdir()
    ticks(house, 700.0)
    desk = house.clerk.folders[0]
    assert desk.state == "waiting"
    assert "unmounted" in (desk.reason or "")
    assert house.row("waiting").state in {State.DISCOVERED, State.SETTLED}
    assert house.row("sent").gone_at is None
    root.rmdir()
    (root.parent / "away").rename(root)
    ticks(house, 20.0)
    house.run()
    assert house.row("waiting").state is State.DONE
    assert desk.state == "ok"
    assert len(store.writes) == 2


def test_new_files_in_a_replaced_folder_are_taken_and_it_is_accepted_then(
    house: House, root: Path, store: FakeStore
) -> None:
    (root / "sent").write_bytes(b"abc")
    house.run()
    root.rename(root.parent / "away")
    root.mkdir()
    ticks(house, 20.0)
    assert house.clerk.folders[0].state == "waiting"
    (root / "fresh").write_bytes(b"xyz")
    ticks(house, 700.0)
    assert store.objects[BUCKET, "cam/inbox/fresh"].data == b"xyz"
    assert house.clerk.folders[0].state == "ok"


def test_one_missing_folder_does_not_hold_up_another(tmp_path: Path, root: Path, store: FakeStore) -> None:
    missing = str(tmp_path / "missing").encode()
    house = build_house(root, tmp_path / "state" / "state.db", store, also={missing: "missing"})
    (root / "film").write_bytes(b"abc")
    ticks(house, 30.0)
    assert len(store.writes) == 1
    assert [desk.state for desk in house.clerk.folders] == ["ok", "blocked"]
    house.world.ledger.close()


def test_a_file_that_is_moved_to_another_watched_folder_is_a_new_one_there(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    """A rename is followed within its folder only: the key tells the folder."""
    other = tmp_path / "other"
    other.mkdir()
    house = build_house(root, tmp_path / "state" / "state.db", store, also={str(other).encode(): "other"})
    (root / "film").write_bytes(b"abcdefghijklm")
    house.run()
    (root / "film").rename(other / "another name")
    house.rescan()
    house.clerk.folders[1].scan_now()
    house.run()
    assert sorted(key for key, _ in store.writes) == ["cam/inbox/film", "cam/other/another name"]
    rows = {row.folder: row for row in (house.world.ledger.get(number) for number in (1, 2)) if row}
    assert rows[bytes(root)].gone_at is not None
    assert (rows[bytes(other)].path, rows[bytes(other)].state) == (b"another name", State.DONE)
    house.world.ledger.close()


class Silent(LocalDisk):
    """A disk of which one folder stops to answer."""

    def __init__(self, silent: Path) -> None:
        super().__init__()
        self._silent = bytes(silent)
        self.reads_until_then = -1
        self.answers = threading.Event()
        self.answers.set()

    def wait(self, root: bytes) -> None:
        if root == self._silent:
            assert self.answers.wait(60)

    def root(self, root: bytes) -> RootIdentity:
        self.wait(root)
        return super().root(root)

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        self.wait(root)
        return super().look(root, path)

    def scan(self, root: bytes, **options: object) -> Iterator[Entry | Blind]:  # type: ignore[override]
        self.wait(root)
        yield from super().scan(root, **options)  # type: ignore[arg-type]

    def open(self, root: bytes, path: bytes) -> LocalFile:
        disk, file = self, super().open(root, path)

        class Read(LocalFile):
            def read_into(self, offset: int, buffer: memoryview) -> int:
                if root == disk._silent:
                    disk.reads_until_then -= 1
                    if disk.reads_until_then == 0:
                        disk.answers.clear()
                disk.wait(root)
                return super().read_into(offset, buffer)

        file.__class__ = Read
        return file


def test_a_folder_that_stops_to_answer_in_the_middle_of_a_file_holds_up_nobody_else(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    disk = Silent(share)
    patient = PatientDisk(disk, far=lambda path: path == bytes(share), patience_s=0.2)
    house = build_house(
        root, tmp_path / "state" / "state.db", store, also={bytes(share): "share"}, disk=patient
    )
    (share / "film").write_bytes(b"abcdefghijklmnop")
    disk.reads_until_then = 2
    ticks(house, 10.0)
    assert not disk.answers.is_set()
    for number in range(5):
        (root / f"film {number}").write_bytes(b"abcdefghijklm")
    house.mailbox.scan(bytes(root), "new files")
    ticks(house, 60.0)
    assert sorted(key for _, key in store.objects) == [f"cam/inbox/film {number}" for number in range(5)]
    desk = house.clerk.folders[1]
    assert (desk.state, desk.reason) == ("blocked", f"{share} does not answer")
    assert desk.hint is not None
    disk.answers.set()
    sent = len(store.part_bodies)
    house.run(ticks=2000, until=lambda: (BUCKET, "cam/share/film") in store.objects)
    assert store.objects[BUCKET, "cam/share/film"].data == b"abcdefghijklmnop"
    assert len(store.part_bodies) - sent == 3  # the first of four had been acknowledged
    house.world.ledger.close()


class Sick(LocalDisk):
    """A disk with a subdirectory, or single looks, that fail."""

    def __init__(self) -> None:
        super().__init__()
        self.blind: bytes | None = None
        self.failing = False

    def scan(self, root: bytes, **options: object) -> Iterator[Entry | Blind]:  # type: ignore[override]
        told = False
        for item in super().scan(root, **options):  # type: ignore[arg-type]
            hidden = self.blind is not None and isinstance(item, Entry) and item.path.startswith(self.blind)
            if hidden and not told:
                told = True
                yield Blind(self.blind or b"", "I/O error")
            if not hidden:
                yield item

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        if self.failing:
            raise Transient("I/O error")
        return super().look(root, path)


def test_what_lies_in_an_unreadable_subtree_does_not_count_as_missing(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    disk = Sick()
    house = build_house(root, tmp_path / "state" / "state.db", store, disk=disk)
    (root / "sub").mkdir()
    (root / "sub" / "film").write_bytes(b"abc")
    house.run()
    disk.blind = b"sub/"
    house.rescan()
    assert house.row("sub/film").gone_at is None
    house.world.ledger.close()


def test_a_disk_that_cannot_be_asked_is_no_proof_that_a_file_is_gone(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    disk = Sick()
    house = build_house(root, tmp_path / "state" / "state.db", store, disk=disk, quiet_s=5.0)
    (root / "film").write_bytes(b"abc")
    house.tick()
    disk.failing = True
    (root / "film").rename(root.parent / "film")
    house.rescan()
    ticks(house, 60.0)
    assert house.row("film").state is State.DISCOVERED
    (root.parent / "film").rename(root / "film")
    disk.failing = False
    house.run()
    assert house.row("film").state is State.DONE
    house.world.ledger.close()


def test_a_settled_file_that_is_excluded_now_is_not_begun(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    state = tmp_path / "state" / "state.db"
    first = build_house(root, state, store, quiet_s=0.0)
    first.world.stop.set()  # it settles, but nothing is begun
    (root / "film").write_bytes(b"abc")
    for _ in range(10):
        first.tick()
    assert first.row("film").state is State.SETTLED
    first.world.ledger.close()
    second = build_house(root, state, store, selection=Selection(exclude=("film",)))
    for _ in range(50):
        second.tick()
    assert second.row("film").state is State.SETTLED
    assert "exclude pattern" in (second.row("film").hint or "")
    assert not store.writes
    second.world.ledger.close()


def test_an_unchanged_folder_costs_a_restart_no_write(tmp_path: Path, root: Path, store: FakeStore) -> None:
    for number in range(50):
        (root / f"film {number}").write_bytes(b"abc")
    state = tmp_path / "state" / "state.db"
    first = build_house(root, state, store)
    first.run()
    first.world.ledger.close()
    second = build_house(root, state, store)
    before = second.world.ledger._connection.total_changes  # type: ignore[attr-defined]
    second.rescan()
    assert second.world.ledger._connection.total_changes == before  # type: ignore[attr-defined]
    assert len(store.writes) == 50
    second.world.ledger.close()


def test_the_root_is_known_by_its_inode_not_by_its_device(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    class Replugged(LocalDisk):
        def root(self, root: bytes) -> RootIdentity:
            seen = super().root(root)
            return RootIdentity(seen.dev + 1, seen.inode)

    state = tmp_path / "state" / "state.db"
    first = build_house(root, state, store)
    first.run()
    first.world.ledger.close()
    second = build_house(root, state, store, disk=Replugged())
    second.run()
    assert second.clerk.folders[0].state == "ok"
    second.world.ledger.close()


def test_a_root_that_fails_in_the_middle_of_a_scan_only_waits(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    class Pulled(LocalDisk):
        def __init__(self) -> None:
            super().__init__()
            self.pulled = False

        def root(self, root: bytes) -> RootIdentity:
            if self.pulled:
                raise FolderUnavailable("the disk was pulled", hint="plug it in")
            return super().root(root)

        def scan(self, root: bytes, **options: object) -> Iterator[Entry | Blind]:  # type: ignore[override]
            if self.pulled:
                raise FolderUnavailable("the disk was pulled", hint="plug it in")
            yield from super().scan(root, **options)  # type: ignore[arg-type]

    disk = Pulled()
    house = build_house(root, tmp_path / "state" / "state.db", store, disk=disk)
    (root / "film").write_bytes(b"abc")
    house.run()
    disk.pulled = True
    house.clerk.folders[0].scan_soon("test")
    ticks(house, 30.0)
    assert house.clerk.folders[0].hint == "plug it in"
    assert house.row("film").gone_at is None
    house.world.ledger.close()


def test_a_subtree_that_cannot_be_read_is_told_and_the_rest_goes_on(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    disk = Sick()
    house = build_house(root, tmp_path / "state" / "state.db", store, disk=disk)
    (root / "sub").mkdir()
    (root / "sub" / "film").write_bytes(b"abc")
    (root / "other").write_bytes(b"abc")
    disk.blind = b"sub/"
    house.run()
    desk = house.clerk.folders[0]
    assert (desk.state, desk.reason) == ("waiting", "a part of it cannot be read: sub/: I/O error")
    assert len(store.writes) == 1
    disk.blind = None
    house.rescan()
    assert (desk.state, desk.reason) == ("ok", None)
    house.run()
    assert len(store.writes) == 2
    house.world.ledger.close()


def test_a_file_that_is_wanted_again_after_a_restart_does_not_wait(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    state = tmp_path / "state" / "state.db"
    first = build_house(root, state, store)
    first.world.stop.set()
    (root / "film").write_bytes(b"abc")
    for _ in range(10):
        first.tick()
    first.world.ledger.close()
    second = build_house(root, state, store, clock=first.clock, selection=Selection(exclude=("film",)))
    ticks(second, 30.0)
    assert second.row("film").not_before > second.clock.now()
    second.world.ledger.close()
    third = build_house(root, state, store, clock=second.clock)
    third.run()
    assert len(store.writes) == 1
    third.world.ledger.close()


def test_a_folder_that_must_be_a_mount_point_waits_until_it_is(
    root: Path, tmp_path: Path, store: FakeStore
) -> None:
    class Mounting(LocalDisk):
        mounted = False

        def root(self, root: bytes) -> RootIdentity:
            return replace(super().root(root), is_mount=self.mounted)

    disk = Mounting()
    (root / "film").write_bytes(b"12345")
    house = build_house(root, tmp_path / "state" / "state.db", store, disk=disk, require_mount=True)
    for _ in range(5):
        house.tick()
    desk = house.clerk.folders[0]
    assert (desk.state, store.writes) == ("blocked", [])
    assert "mounted" in (desk.reason or "")
    assert desk.hint
    disk.mounted = True
    house.run()
    assert len(store.writes) == 1
    house.world.ledger.close()


def test_the_root_of_a_file_system_is_a_mount_point_and_a_directory_in_it_is_not(tmp_path: Path) -> None:
    assert LocalDisk().root(b"/").is_mount
    assert LocalDisk().root(b"/proc").is_mount
    assert not LocalDisk().root(str(tmp_path).encode()).is_mount


def test_where_nobody_can_tell_of_writers_a_folder_may_require_to_know(
    root: Path, tmp_path: Path, store: FakeStore
) -> None:
    class Blind(LocalDisk):
        answer = Writer.UNKNOWN

        def writer(self, root: bytes, path: bytes) -> Writer:
            return self.answer

    disk = Blind()
    (root / "film").write_bytes(b"12345")
    house = build_house(root, tmp_path / "state" / "state.db", store, disk=disk, require_answer=True)
    for _ in range(20):
        house.tick()
    assert house.row("film").state is State.DISCOVERED
    assert "cannot be told" in (house.row("film").hint or "")
    disk.answer = Writer.NONE
    house.run()
    assert house.row("film").state is State.DONE
    house.world.ledger.close()
