"""What recorders do to files at the wrong moment: between two parts, under two names, with odd time stamps. Real disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, House

from syncd.model import State

FIRST = b"abcdefghijklmnopqrstuvwxy"
SECOND = FIRST.upper()
YEAR_S = 365 * 86_400.0


def once_after_part_two(store: FakeStore, meddle: Callable[[], object]) -> None:
    left = [meddle]

    def after(number: int) -> None:
        if number == 2 and left:
            left.pop()()

    store.after_part = after


def replace_by_rename(film: Path) -> None:
    """With size and time of the first, as rsync and tar make them; the first is still open in the daemon."""
    status = film.stat()
    (film.parent / ".next").write_bytes(SECOND)
    os.utime(film.parent / ".next", ns=(status.st_atime_ns, status.st_mtime_ns))
    (film.parent / ".next").replace(film)


def test_a_file_that_takes_the_place_of_one_half_sent_is_sent_whole_and_alone(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(FIRST)
    once_after_part_two(store, lambda: replace_by_rename(film))
    house.run()
    house.rescan()
    house.run()
    assert {kept.data for kept in store.objects.values()} <= {FIRST, SECOND}, "two files in one object"
    assert store.objects[BUCKET, "cam/inbox/film"].data == SECOND
    assert not store.uploads


@pytest.mark.parametrize("size", [0, 3, 12, 24])
def test_a_file_that_is_cut_short_midway_is_never_completed_in_the_length_it_had(
    house: House, root: Path, store: FakeStore, size: int
) -> None:
    film = root / "film"
    film.write_bytes(FIRST)
    once_after_part_two(store, lambda: os.truncate(film, size))
    house.run()
    assert store.objects[BUCKET, "cam/inbox/film"].data == FIRST[:size]
    assert len(store.writes) == 1
    assert not store.uploads


def test_a_file_deleted_midway_comes_to_an_end_with_nothing_left_open(
    house: House, root: Path, store: FakeStore
) -> None:
    film = root / "film"
    film.write_bytes(FIRST)
    once_after_part_two(store, film.unlink)
    house.run()
    house.rescan()
    house.run()
    assert not store.uploads
    assert house.row("film").state is State.VANISHED
    assert store.objects == {}


@pytest.mark.parametrize("off_s", [-YEAR_S, YEAR_S])
def test_a_time_stamp_of_next_year_holds_no_file_back(
    house: House, root: Path, store: FakeStore, off_s: float
) -> None:
    film = root / "film"
    film.write_bytes(FIRST)
    os.utime(film, (house.clock.now() + off_s,) * 2)
    began = house.clock.now()
    house.run()
    assert house.row("film").state is State.DONE
    assert house.clock.now() - began < 60.0


def test_a_hint_for_what_is_not_there_or_leads_outside_is_nothing(
    house: House, root: Path, store: FakeStore
) -> None:
    """Of a directory that was moved out, the kernel goes on telling under the old name."""
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "film").write_bytes(b"not ours")
    (root / "film").write_bytes(FIRST)
    house.run()
    (root / "left").symlink_to(outside)
    for path in (b"gone/film", b"left/film", b"film/film", b"../outside/film"):
        house.mailbox.path(os.fsencode(root), path)
    house.run()
    assert house.states() == {b"film": State.DONE}
    assert [key for key, _ in store.writes] == ["cam/inbox/film"]


def test_two_hard_links_are_two_files_with_a_key_each(house: House, root: Path, store: FakeStore) -> None:
    (root / "film").write_bytes(FIRST)
    (root / "link").hardlink_to(root / "film")
    for _ in range(3):
        house.rescan()
        house.run()
    assert {key: kept.data for (_, key), kept in store.objects.items()} == {
        "cam/inbox/film": FIRST,
        "cam/inbox/link": FIRST,
    }
    assert len(store.writes) == 2
    assert house.states() == {b"film": State.DONE, b"link": State.DONE}


def test_a_hard_link_made_later_sends_neither_for_ever(house: House, root: Path, store: FakeStore) -> None:
    (root / "film").write_bytes(FIRST)
    house.run()
    (root / "link").hardlink_to(root / "film")
    for _ in range(4):
        house.rescan()
        house.run()
    assert len(store.writes) <= 2
    assert store.objects[BUCKET, "cam/inbox/film"].data == FIRST
    assert house.states() == {b"film": State.DONE, b"link": State.DONE}
