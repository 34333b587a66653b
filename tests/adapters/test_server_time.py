"""The server's time against clocks that are wrong, jump and sleep, and against dates that say little or lie."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from support.clock import START, FakeClock

from syncd.adapters.server_time import GOOD_CLOCK_S, LearntTime

HOUR = 3600.0


class Servers:
    """S3 and the API, which share one true time; the machine's own clock is `wrong_by` seconds ahead of it."""

    def __init__(self, wrong_by: float = 0.0) -> None:
        self.clock = FakeClock(START + wrong_by)
        self.origin = START - self.clock.boot
        self.learnt = LearntTime(self.clock)

    def true(self) -> float:
        return self.origin + self.clock.boot

    def answer(
        self, source: Any = "s3", *, before: float = 0.0, after: float = 0.0, lies_by: float = 0
    ) -> None:
        """One exchange: `before` seconds until the server dates its answer, `after` until we have it."""
        asked_at = self.clock.boottime()
        self.clock.advance(before)
        date = float(int(self.true() + lies_by))
        self.clock.advance(after)
        self.learnt.heard(date, source=source, asked_at=asked_at)

    def error(self) -> float:
        return self.learnt.now() - self.true()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as records:
        yield records


def told(logged: list[Any]) -> list[tuple[str, int]]:
    return [(record["event"], record["clock_offset_s"]) for record in logged]


def test_until_something_was_heard_the_wall_clock_counts_and_no_offset_is_claimed() -> None:
    servers = Servers(5 * HOUR)
    assert servers.learnt.now() == servers.clock.now()
    assert servers.learnt.offset() is None


@pytest.mark.parametrize(
    "wrong_by", [-26 * 365 * 24 * HOUR, -5 * HOUR, -61, 61, 5 * HOUR, 26 * 365 * 24 * HOUR]
)
@pytest.mark.parametrize("source", ["api", "s3"])
def test_one_date_corrects_a_wrong_clock_to_the_second(wrong_by: float, source: str) -> None:
    servers = Servers(wrong_by)
    servers.answer(source, before=0.2, after=0.2)
    assert abs(servers.error()) <= 1.0
    assert servers.learnt.offset() == pytest.approx(wrong_by, abs=1.0)


@pytest.mark.parametrize("wrong_by", [-58.9, -0.4, 0.0, 3.0, 58.9])
def test_a_clock_within_a_minute_is_used_as_it_is_and_its_offset_shown(wrong_by: float) -> None:
    servers = Servers(wrong_by)
    servers.answer()
    assert servers.learnt.now() == servers.clock.now()
    assert servers.learnt.offset() == pytest.approx(wrong_by, abs=1.0)


@pytest.mark.parametrize("jump", [-30 * HOUR, -3 * HOUR, -90, 90, 3 * HOUR, 30 * HOUR])
def test_a_jump_of_the_wall_clock_is_noticed_at_once_and_changes_nothing(jump: float) -> None:
    servers = Servers()
    servers.answer()
    servers.clock.jump(jump)
    assert abs(servers.error()) <= 1.0
    assert servers.learnt.offset() == pytest.approx(jump, abs=1.0)


def test_suspend_counts() -> None:
    servers = Servers(2 * HOUR)
    servers.answer()
    servers.clock.sleep(9 * HOUR)
    assert abs(servers.error()) <= 1.0
    assert servers.learnt.offset() == pytest.approx(2 * HOUR, abs=1.0)


def test_what_s3_says_outranks_what_the_api_says_before_and_after() -> None:
    servers = Servers(2 * HOUR)
    servers.answer("api", lies_by=-4 * HOUR)
    assert servers.error() == pytest.approx(-4 * HOUR, abs=1.0)
    servers.answer("s3")
    assert abs(servers.error()) <= 1.0
    servers.answer("api", lies_by=-4 * HOUR)
    assert abs(servers.error()) <= 1.0


def test_a_slow_answer_does_not_move_what_a_quick_one_said() -> None:
    servers = Servers(2 * HOUR)
    servers.answer()
    known = servers.learnt.offset()
    servers.answer(before=0.0, after=300.0)  # a Complete that trickles: dated at its head, read to its end
    servers.answer(before=110.0, after=0.0)
    assert servers.learnt.offset() == pytest.approx(known, abs=1e-3)


def test_a_first_answer_that_is_slow_is_believed_to_its_middle_and_the_next_quick_one_corrects_it() -> None:
    servers = Servers(2 * HOUR)
    servers.answer(after=300.0)
    assert abs(servers.error()) <= 151
    servers.answer()
    assert abs(servers.error()) <= 1.0


def test_an_answer_that_suspend_held_up_for_hours_says_nothing() -> None:
    servers = Servers(2 * HOUR)
    asked_at, date = servers.clock.boottime(), servers.true()
    servers.clock.sleep(8 * HOUR)
    servers.learnt.heard(date, source="s3", asked_at=asked_at)
    assert servers.learnt.offset() is None


def test_a_server_whose_clock_is_set_is_followed() -> None:
    servers = Servers()
    servers.answer()
    servers.answer(lies_by=2 * HOUR)
    assert servers.error() == pytest.approx(2 * HOUR, abs=1.0)
    servers.answer()
    assert servers.learnt.now() == servers.clock.now()


@pytest.mark.parametrize("date", [0.0, -1.0, 1_767_225_599.0, 4_102_444_800.0, float("inf"), float("nan")])
def test_dates_that_cannot_be_are_ignored(date: float) -> None:
    servers = Servers(2 * HOUR)
    servers.learnt.heard(date, source="s3", asked_at=servers.clock.boottime())
    assert servers.learnt.offset() is None


def test_a_wrong_clock_is_told_once_and_so_is_its_being_right_again(logged: list[Any]) -> None:
    servers = Servers(2 * HOUR)
    for _ in range(5):
        servers.answer(before=0.7)
    servers.clock.jump(HOUR)
    for _ in range(5):
        servers.answer(before=0.7)
    servers.clock.jump(-3 * HOUR)
    for _ in range(5):
        servers.answer(before=0.7)
    assert told(logged) == [
        ("clock_offset_large", 7200),
        ("clock_offset_large", 10800),
        ("clock_right_again", 0),
    ]
    assert "timedatectl" in logged[0]["hint"]


def test_a_clock_that_was_never_wrong_is_not_worth_a_line(logged: list[Any]) -> None:
    servers = Servers(5.0)
    servers.answer()
    servers.answer("api")
    assert logged == []


def test_many_threads_may_tell_it_at_once(logged: list[Any]) -> None:
    servers = Servers(2 * HOUR)
    threads = [threading.Thread(target=servers.answer) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert abs(servers.error()) <= 1.0
    assert told(logged) == [("clock_offset_large", 7200)]


seconds = st.floats(0, 30 * HOUR)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), seconds),
        st.tuples(st.just("sleep"), seconds),
        st.tuples(st.just("jump"), st.floats(-30 * HOUR, 30 * HOUR)),
        st.tuples(st.just("answer"), st.floats(0, 400)),
        st.tuples(st.just("api"), st.floats(0, 400)),
    ),
    max_size=30,
)


@given(st.floats(-100 * HOUR, 100 * HOUR), st.floats(0, 400), steps)
@example(0.0, 0.0, [("jump", 61.0), ("answer", 0.0), ("jump", -61.0), ("sleep", 30 * HOUR)])
def test_whatever_happens_signatures_are_never_minutes_off_once_a_server_was_heard(
    wrong_by: float, first: float, steps: list[tuple[str, float]]
) -> None:
    servers = Servers(wrong_by)
    servers.answer("api", before=first / 3, after=first)
    for name, value in steps:
        match name:
            case "answer" | "api":
                servers.answer("s3" if name == "answer" else "api", before=value / 3, after=value)
            case _:
                getattr(servers.clock, name)(value)
        # Half of the slowest answer, or the wall clock where it is good; S3 tolerates 900.
        assert abs(servers.error()) <= 400 * 4 / 3 / 2 + GOOD_CLOCK_S + 2
        offset = servers.learnt.offset()
        assert offset is not None
        assert offset == pytest.approx(servers.clock.now() - servers.true(), abs=400 * 4 / 3 / 2 + 2)
