"""What went over the line: by the minute, by how bodies ended, by what was tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import FakeClock
from support.fake_store import FakeStore

from syncd.act.board import Board
from syncd.act.body import HeldBody
from syncd.act.meter import ACKNOWLEDGED, MINUTES, Meter, Minutes
from syncd.act.pulse import HeardStore, Pulse
from syncd.errors import Conflict, LockedOut, Refused, SyncdError, Transient, UploadGone, kind_of
from syncd.model import Algorithm, Condition, Target

TARGET = Target(bucket="b", key="k", algorithm=Algorithm.NONE, token="t")


def test_bytes_stand_in_their_minute_and_leave_after_an_hour(clock: FakeClock) -> None:
    meter = Meter(clock)
    clock.advance(60.0 - clock.monotonic() % 60.0)
    meter.acknowledged(5)
    clock.advance(59.0)
    meter.acknowledged(6)
    clock.advance(1.0)
    meter.acknowledged(7)
    assert meter.last_hour()[-3:] == (0, 11, 7)
    clock.advance(58 * 60.0)
    assert meter.last_hour()[:2] == (11, 7)
    clock.advance(60.0)
    assert meter.last_hour() == (7, *[0] * 59)
    clock.advance(1e6)
    assert meter.last_hour() == (0,) * MINUTES


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(0, 1000)), max_size=200))
def test_the_hour_holds_what_came_in_it_and_nothing_else(steps: list[tuple[float, int]]) -> None:
    minutes, now, came = Minutes(), 0.0, list[tuple[int, int]]()
    for seconds, count in steps:
        now += seconds
        minutes.add(count, now)
        came.append((int(now // 60), count))
    this = int(now // 60)
    assert list(minutes.until(now)) == [
        sum(count for minute, count in came if minute == this - back) for back in range(59, -1, -1)
    ]


def test_the_board_tells_of_every_body_that_was_accepted(clock: FakeClock) -> None:
    meter = Meter(clock)
    board = Board(clock, meter.acknowledged)
    board.begin(1, size=10, sent=4, parts_done=1, parts_total=2)
    board.acknowledged(1, 6)
    assert sum(meter.last_hour()) == 6


def test_bodies_are_counted_by_how_they_ended(clock: FakeClock) -> None:
    meter, inner = Meter(clock), FakeStore()
    store = HeardStore(inner, Pulse(clock), ended=meter.body_ended)
    body = HeldBody(memoryview(b"abc"), "")
    assert meter.bodies() == {ACKNOWLEDGED: 0}
    store.put(TARGET, body, Condition())
    with pytest.raises(UploadGone):
        store.upload_part(TARGET, "no such upload", 1, body)
    assert meter.bodies() == {ACKNOWLEDGED: 1, "upload_gone": 1}


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (LockedOut("no", code="tls"), "tls"),
        (Transient("away", unreachable=True), "network"),
        (Transient("slow down"), "store"),
        (Refused("no"), "refused"),
        (Conflict("another"), "conflict"),
        (UploadGone("gone"), "upload_gone"),
        (SyncdError("?"), "other"),
    ],
)
def test_a_failure_is_counted_by_one_word(failure: SyncdError, kind: str, clock: FakeClock) -> None:
    meter = Meter(clock)
    meter.tried_again(failure)
    assert (kind_of(failure), meter.retries()) == (kind, {kind: 1})
