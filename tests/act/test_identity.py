"""Which changes of a file send bytes again, and which do not: the two identities, end to end on a real disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, House, build_house, computable

from syncd.adapters.disk import LocalDisk
from syncd.model import Algorithm, Entry, Fingerprint, State

SUMMED = (Algorithm.SHA256, Algorithm.MD5, Algorithm.CRC32, Algorithm.CRC32C)


def object_of(store: FakeStore, name: str) -> bytes:
    return store.objects[BUCKET, f"cam/inbox/{name}"].data


def put_back_times(path: Path, status: os.stat_result) -> None:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_copy(film: Path) -> None:
    copy = film.parent.parent / "copy"
    copy.write_bytes(film.read_bytes())
    put_back_times(copy, film.stat())
    copy.replace(film)


HARMLESS: dict[str, Callable[[Path], None]] = {
    "chmod": lambda film: film.chmod(0o640),
    "a hard link elsewhere": lambda film: os.link(film, film.parent.parent / "elsewhere"),
    "touch": os.utime,
    "copied over and put in its place": replace_by_copy,
}


@pytest.mark.parametrize("algorithm", [None, *(each for each in SUMMED if computable(each))])
@pytest.mark.parametrize("size", [3, 13], ids=["one body", "three parts"])
@pytest.mark.parametrize("change", HARMLESS)
def test_what_leaves_the_bytes_alone_sends_nothing_again(
    tmp_path: Path, root: Path, store: FakeStore, change: str, size: int, algorithm: Algorithm | None
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, checksum=algorithm)
    film = root / "film"
    film.write_bytes(b"abcdefghijklm"[:size])
    house.run()
    bodies = list(store.part_bodies)
    HARMLESS[change](film)
    house.rescan()
    house.run()
    assert store.part_bodies == bodies
    assert len(store.writes) == 1
    row = house.row("film")
    assert row.state is State.DONE
    assert row.fingerprint == LocalDisk().look(str(root).encode(), b"film")
    house.world.ledger.close()


@pytest.mark.parametrize("size", [3, 13], ids=["one body", "three parts"])
def test_other_bytes_with_size_and_time_put_back_are_sent(
    house: House, root: Path, store: FakeStore, size: int
) -> None:
    film = root / "film"
    film.write_bytes(b"abcdefghijklm"[:size])
    house.run()
    status = film.stat()
    film.write_bytes(b"ABCDEFGHIJKLM"[:size])
    put_back_times(film, status)
    house.rescan()
    house.run()
    assert object_of(store, "film") == film.read_bytes()
    assert len(store.writes) == 2


class Remounted(LocalDisk):
    """The same files under another device number, as after unplugging and plugging in again."""

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        seen = super().look(root, path)
        return None if seen is None else replace(seen, dev=seen.dev + 7)

    def scan(self, root: bytes, **options: object) -> Iterator[Entry]:  # type: ignore[override]
        for item in super().scan(root, **options):  # type: ignore[arg-type]
            yield Entry(item.path, replace(item.fingerprint, dev=item.fingerprint.dev + 7))


def test_another_device_number_sends_nothing_again(tmp_path: Path, root: Path, store: FakeStore) -> None:
    (root / "film").write_bytes(b"abcdefghijklm")
    first = build_house(root, tmp_path / "state" / "state.db", store)
    first.run()
    first.world.ledger.close()
    bodies = list(store.part_bodies)
    second = build_house(root, tmp_path / "state" / "state.db", store, disk=Remounted())
    second.run()
    assert store.part_bodies == bodies
    assert len(store.writes) == 1
    assert second.states() == {b"film": State.DONE}
    second.world.ledger.close()


def test_a_renamed_file_is_known_under_its_new_name(house: House, root: Path, store: FakeStore) -> None:
    (root / "film").write_bytes(b"abcdefghijklm")
    house.run()
    (root / "film").rename(root / "a film")
    house.rescan()
    house.run()
    assert len(store.writes) == 1
    assert house.states() == {b"a film": State.DONE}
    assert house.row("a film").key == "cam/inbox/film"


def test_a_moved_directory_is_known_in_its_new_place(house: House, root: Path, store: FakeStore) -> None:
    (root / "monday").mkdir()
    for number in range(3):
        (root / "monday" / f"{number}").write_bytes(f"film {number}".encode())
    house.run()
    (root / "archive").mkdir()
    (root / "monday").rename(root / "archive" / "monday")
    house.rescan()
    house.run()
    assert len(store.writes) == 3
    assert house.states() == {f"archive/monday/{number}".encode(): State.DONE for number in range(3)}


def test_rotated_names_send_only_what_is_new(house: House, root: Path, store: FakeStore) -> None:
    (root / "log.2").write_bytes(b"the oldest")
    (root / "log.1").write_bytes(b"older")
    (root / "log").write_bytes(b"old")
    house.run()
    (root / "log.1").replace(root / "log.2")
    (root / "log").replace(root / "log.1")
    (root / "log").write_bytes(b"fresh")
    for _ in range(4):
        house.rescan()
    house.run(
        until=lambda: (
            house.at_rest() or bool([row for row in house.world.ledger.live(9) if row.parked_reason])
        )
    )
    assert [token for _, token in store.writes] == sorted(
        {token for _, token in store.writes}, key=lambda t: t
    )
    sent = [store.objects[key].data for key in sorted(store.objects)]
    assert b"the oldest" in sent
    assert len(store.writes) <= 4, "what was only renamed was sent again"


def test_a_file_renamed_over_one_that_has_not_settled_yet_is_known(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, quiet_s=5.0)
    (root / "film").write_bytes(b"abcdefghijklm")
    house.run()
    (root / "draft").write_bytes(b"another one")
    house.rescan()
    house.tick()
    assert house.row("draft").state is State.DISCOVERED
    (root / "film").replace(root / "draft")
    house.run()
    house.rescan()
    house.run()
    assert len(store.writes) == 1
    assert house.states() == {b"draft": State.DONE}
    house.world.ledger.close()


def test_where_nobody_watches_a_look_at_one_name_asks_a_scan_whether_its_file_was_renamed(
    house: House, root: Path, store: FakeStore
) -> None:
    """As after an upload that met another file at its path: the store has the first one's parts already."""
    (root / "log").write_bytes(b"abcdefghijklm")
    house.run(until=lambda: len(store.part_bodies) == 3)
    (root / "log").rename(root / "log.1")
    (root / "log").write_bytes(b"the next one")
    house.mailbox.path(os.fsencode(root), b"log")
    for _ in range(20):
        house.tick()
    assert house.row("log.1").key == "cam/inbox/log"
    assert object_of(store, "log") == b"abcdefghijklm"
    assert (BUCKET, "cam/inbox/log.1") not in store.objects


def test_a_file_that_changes_while_it_is_sent_ends_as_its_last_version(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(b"abcdefghijklm")

    def rewrite_once(number: int) -> None:
        if number == 2 and film.read_bytes() == b"abcdefghijklm":
            film.write_bytes(b"the second version")

    store.after_part = rewrite_once
    house.run()
    assert object_of(store, "film") == b"the second version"
    assert len(store.writes) == 1
    assert not store.uploads


def test_chmod_in_the_middle_of_an_upload_sends_no_part_twice(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(b"abcdefghijklmnopqrstuvwxyz")
    store.after_part = lambda number: film.chmod(0o640) if number == 3 else None
    house.run()
    assert object_of(store, "film") == film.read_bytes()
    numbers = [number for _, number, _ in store.part_bodies]
    assert len(numbers) <= len(set(numbers)) + 2  # those in flight
    assert len(store.writes) == 1


def test_other_bytes_put_under_the_same_times_in_the_middle_of_an_upload_are_noticed(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(b"abcdefghijklm")

    def forge_once(number: int) -> None:
        if number == 2 and film.read_bytes() == b"abcdefghijklm":
            status = film.stat()
            film.write_bytes(b"ABCDEFGHIJKLM")
            put_back_times(film, status)

    store.after_part = forge_once
    house.run()
    house.rescan()
    house.run()
    assert object_of(store, "film") == b"ABCDEFGHIJKLM"


def test_a_file_renamed_during_its_upload_keeps_its_key_and_its_parts(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(b"abcdefghijklm")

    def rename_once(number: int) -> None:
        if number == 2 and film.exists():
            film.rename(root / "zoo")

    store.after_part = rename_once
    house.run()
    assert object_of(store, "film") == b"abcdefghijklm"
    assert house.states() == {b"zoo": State.DONE}
    assert len({upload for upload, _, _ in store.part_bodies}) == 1


def test_a_file_deleted_before_it_is_sent_is_recorded_as_vanished(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, quiet_s=10.0)
    (root / "film").write_bytes(b"abc")
    house.tick()
    house.tick()
    assert house.row("film").state is State.DISCOVERED
    (root / "film").unlink()
    house.rescan()
    house.run()
    assert house.row("film").state is State.VANISHED
    assert not store.writes
    house.world.ledger.close()


def test_a_file_that_is_gone_and_comes_back_is_not_sent_again(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(b"abc")
    house.run()
    film.rename(root.parent / "film")
    house.rescan()
    assert house.row("film").gone_at is not None
    (root.parent / "film").rename(film)
    house.rescan()
    house.run()
    assert house.row("film").gone_at is None
    assert len(store.writes) == 1


def test_a_growing_file_is_not_sent_before_it_is_quiet(tmp_path: Path, root: Path, store: FakeStore) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, quiet_s=10.0)
    film = root / "film"
    film.write_bytes(b"")
    for number in range(30):
        with film.open("ab") as file:
            file.write(b"x")
        house.mailbox.path(str(root).encode(), b"film")
        for _ in range(3):
            house.clock.advance(2.0)
            house.clerk.tick()
        assert not store.writes, f"sent after write {number}"
    house.run()
    assert object_of(store, "film") == b"x" * 30
    house.world.ledger.close()


def test_a_file_open_for_writing_waits_until_it_is_closed(
    tmp_path: Path, root: Path, store: FakeStore
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, quiet_s=1.0)
    with (root / "film").open("wb") as file:
        file.write(b"abc")
        file.flush()
        for _ in range(50):
            house.tick()
        assert house.row("film").state is State.DISCOVERED
        assert house.row("film").hint == "a program has it open for writing"
    house.run()
    assert object_of(store, "film") == b"abc"
    house.world.ledger.close()


def test_a_marker_holds_a_file_until_it_appears(tmp_path: Path, root: Path, store: FakeStore) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, marker="{stem}.done", quiet_s=1.0)
    (root / "film.mp4").write_bytes(b"abc")
    for _ in range(50):
        house.tick()
    assert house.row("film.mp4").state is State.DISCOVERED
    (root / "film.done").write_bytes(b"")
    house.run(until=lambda: house.row("film.mp4").state is State.DONE)
    house.world.ledger.close()
