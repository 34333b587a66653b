"""Whose turn it is: oldest first, priorities that age, large and small files out of each other's way."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncd.decide.order import AGEING_S, BULKY_BYTES, choose, is_bulky
from syncd.model import Fingerprint, State, Transfer

NOW = 1_000_000.0


def row(identity: int, *, since: float = NOW, size: int = 1, folder: bytes = b"/f") -> Transfer:
    return Transfer(
        id=identity,
        folder=folder,
        path=b"%d" % identity,
        fingerprint=Fingerprint(dev=1, inode=identity, size=size, mtime_ns=1, ctime_ns=1),
        state=State.SETTLED,
        discovered_at=since,
        not_before=since,
    )


def order(rows: list[Transfer], **known: Any) -> list[int]:
    usual: dict[str, Any] = {"now": NOW, "room": 100, "large_room": 100, "large_in_hand": 0}
    priority = known.pop("priority", lambda transfer: 0)
    return [transfer.id for transfer in choose(rows, priority, **(usual | known))]


def test_the_one_that_is_due_for_longest_goes_first() -> None:
    assert order([row(1, since=NOW - 1), row(2, since=NOW - 9), row(3, since=NOW - 9)]) == [2, 3, 1]


def test_a_priority_is_a_head_start_and_not_for_ever() -> None:
    rows = [row(1, since=NOW - AGEING_S + 1), row(2, folder=b"/urgent")]
    urgent = lambda transfer: int(transfer.folder == b"/urgent")  # noqa: E731
    assert order(rows, priority=urgent) == [2, 1]
    assert order([row(1, since=NOW - AGEING_S - 1), rows[1]], priority=urgent) == [1, 2]


def test_large_files_leave_room_and_small_ones_leave_a_place() -> None:
    large = [row(number, since=NOW - 50, size=BULKY_BYTES) for number in range(1, 5)]
    small = [row(number, since=NOW - 90) for number in range(11, 21)]
    assert order([*large, *small], room=5, large_room=3) == [11, 12, 13, 14, 1]
    assert order([*large, *small], room=5, large_room=2, large_in_hand=1) == [11, 12, 13, 14, 15]
    assert order(large, room=8, large_room=3) == [1, 2, 3]
    assert order([*large, *small], room=5, large_room=0) == [11, 12, 13, 14, 15]


def test_a_time_of_another_clock_counts_as_now() -> None:
    assert order([row(1, since=NOW + 1e6), row(2, since=NOW - 1)]) == [2, 1]


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.booleans(), st.integers(-3, 3)), max_size=30),
    st.integers(0, 8),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_whoever_is_chosen_was_due_once_and_has_room(
    kinds: list[tuple[float, bool, int]], room: int, large_room: int, in_hand: int
) -> None:
    rows = [
        row(number, since=NOW - age, size=BULKY_BYTES if bulky else 1)
        for number, (age, bulky, _) in enumerate(kinds, 1)
    ]
    chosen = choose(
        rows,
        lambda transfer: kinds[transfer.id - 1][2],
        now=NOW,
        room=room,
        large_room=large_room,
        large_in_hand=in_hand,
    )
    ids = [transfer.id for transfer in chosen]
    assert len(ids) == len(set(ids)) <= room
    large = sum(map(is_bulky, chosen))
    assert large <= large_room
    if room and large_room and not in_hand and any(map(is_bulky, rows)):
        assert large >= 1, "a large file waits behind small ones"
    if room and any(not is_bulky(each) for each in rows) and room > large_room:
        assert large < room, "small files wait behind large ones"
