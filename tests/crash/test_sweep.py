"""Crash at every outside call, before and after its effect; start again on the ledger as it was; and once more.

What counts as right is said in `support/lives.py`.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import FakeStore
from support.lives import EFFECTS, Fuse, Point, Trial, at_every_point, at_one_point, lives_on
from support.tally import chance

from syncd.ports import Disk, Hands, Ledger, ObjectStore

pytestmark = pytest.mark.sweep

CONTENT = {"empty": b"", "one put": b"12345", "one part": b"12345", "three parts": b"abcdefghijklm"}
AT_THE_THRESHOLD = {"one part"}
"""A file as large as the threshold, and as a part, is a multipart upload of exactly one."""
STORES: dict[str, dict[str, bool]] = {
    "may list uploads": {},
    "may not list uploads": {"may_list_uploads": False},
    "a repeated Complete is NoSuchUpload": {"repeats_complete": False},
    "may not list, and a repeated Complete is NoSuchUpload": {
        "may_list_uploads": False,
        "repeats_complete": False,
    },
}
LIKE_AWS, MAY_NOT_LIST, LIKE_MINIO, STINGY = STORES
FORTY_PARTS = bytes(range(198))  # five bytes each, the last one three
PART = 5  # build_house's
CHUNKS = 8
IN_THE_DEFAULT_SUITE = 1

HARMLESS = {
    *("get", "at", "between", "due", "next_due", "discovered", "like", "key_holder", "by_token", "parts"),
    *("history", "live", "last_id", "counts", "files_in", "totals", "aborts", "root_identity"),
    *("checksum_ignored", "states_of", "first_scan_upto", "close", "listed", "pause"),
    *("key_in_use", "with_uploads", "uploads_below", "happened", "work_since", "size_bytes"),
    *("root", "scan", "look", "exists", "writer", "free_bytes"),
    "left",
}
"""Reading what is here: a crash before it or after it is one at the outside call next to it."""


def test_no_call_of_the_ports_is_left_out_of_the_sweep() -> None:
    calls = {
        name
        for port in (ObjectStore, Ledger, Disk, Hands)
        for name, _ in inspect.getmembers(port, inspect.isfunction)
        if not name.startswith("_")
    }
    assert calls - HARMLESS - EFFECTS == set(), "new: does it act (lives.EFFECTS) or only look (HARMLESS)?"


def trials(place: Path, name: str, store: str = LIKE_AWS, **options: Any) -> Iterator[Trial]:
    """Worlds with this film, one after the other; nothing in them touches it."""
    data = CONTENT.get(name, FORTY_PARTS)
    root = place / "inbox"
    root.mkdir(parents=True)
    (root / "film").write_bytes(data)
    status = (root / "film").stat()
    number = 0
    while True:
        number += 1
        states = place / f"trial-{number}"
        bodies = -(-len(data) // PART) if len(data) >= threshold(name) else 0
        made = FakeStore(**STORES[store])
        yield Trial(root, states, made, threshold=threshold(name), bodies=bodies, **options)
        shutil.rmtree(states)
        after = (root / "film").stat()
        assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
            status.st_ino,
            status.st_mtime_ns,
            status.st_ctime_ns,
        ), "the source file was touched"


def threshold(name: str) -> int:
    return len(CONTENT[name]) if name in AT_THE_THRESHOLD else 6


def count_calls(trial: Trial) -> int:
    fuse = Fuse(at=0, after=False)
    assert trial.live(fuse)
    return fuse.calls


def sweep(supply: Iterator[Trial]) -> set[str]:
    """One trial for each side of each outside call of a life; the names of those calls."""
    unharmed = next(supply)
    fuse = Fuse(at=0, after=False)
    assert unharmed.live(fuse)
    for at in range(1, fuse.calls + 1):
        for after in (False, True):
            trial = next(supply)
            assert not trial.live(Fuse(at=at, after=after)), "the fuse did not burn"
            assert trial.live(None)
    return set(fuse.told)


@pytest.mark.parametrize(
    ("name", "store"),
    [
        *((name, store) for name in CONTENT for store in (LIKE_AWS, MAY_NOT_LIST)),
        *(("three parts", store) for store in (LIKE_MINIO, STINGY)),
    ],
)
def test_a_crash_at_any_outside_call_costs_nothing(fast_directory: Path, name: str, store: str) -> None:
    called = sweep(trials(fast_directory, name, store))
    assert ("complete" in called, "put" in called) == ("part" in name, "part" not in name)


def test_a_crash_at_any_outside_call_costs_nothing_where_what_is_in_hand_is_remembered(
    fast_directory: Path,
) -> None:
    called = sweep(trials(fast_directory, "three parts", remembers_hands=True))
    assert called >= {"take", "let_go", "complete"}


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.torture
def test_a_crash_while_a_new_version_replaces_the_old_costs_nothing(fast_directory: Path, name: str) -> None:
    root = fast_directory / "inbox"
    root.mkdir()

    def trial(number: int) -> Trial:
        made = Trial(root, fast_directory / f"trial-{number}", FakeStore(), threshold=threshold(name))
        (root / "film").write_bytes(b"the former version")
        assert made.live(None)
        (root / "film").write_bytes(CONTENT[name])
        made.writes = 2
        return made

    calls = count_calls(trial(0))
    for at in range(1, calls + 1):
        for after in (False, True):
            made = trial(2 * at + after)
            assert not made.live(Fuse(at=at, after=after))
            assert made.live(None)


PAIRS = [*((name, LIKE_AWS) for name in CONTENT), ("three parts", MAY_NOT_LIST)]
PAIRS_IN_THE_DEFAULT_SUITE = {"one put"}


@pytest.mark.parametrize("third", range(3))
@pytest.mark.parametrize(
    ("name", "store"),
    [
        pytest.param(name, store, marks=[] if name in PAIRS_IN_THE_DEFAULT_SUITE else [pytest.mark.torture])
        for name, store in PAIRS
    ],
)
def test_a_second_crash_in_the_recovery_costs_nothing_either(
    fast_directory: Path, name: str, store: str, third: int
) -> None:
    pairs = 0

    def final(trial: Trial, point: Point) -> None:
        nonlocal pairs
        pairs += 1
        lives_on(trial, point)

    def recover(trial: Trial, _: Point) -> None:
        assert at_every_point(trial, final) == []

    trial = next(trials(fast_directory, name, store))
    assert at_every_point(trial, recover, lambda number: number % 3 == third) == []
    assert pairs > 30


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(number, marks=[pytest.mark.torture] if number >= IN_THE_DEFAULT_SUITE else [])
        for number in range(CHUNKS)
    ],
)
@pytest.mark.parametrize("store", [LIKE_AWS, MAY_NOT_LIST])
def test_a_crash_at_any_call_of_forty_parts_and_one_more_in_each_recovery_cost_nothing(
    fast_directory: Path, store: str, chunk: int
) -> None:
    points = 0
    dice = chance("forty parts", store, chunk)

    def recover(trial: Trial, _: Point) -> None:
        nonlocal points
        points += 1
        assert at_one_point(trial, lives_on, dice) == []

    trial = next(trials(fast_directory, "forty parts", store))
    assert at_every_point(trial, recover, lambda number: number % CHUNKS == chunk) == []
    assert points > 2 * 80 / CHUNKS
