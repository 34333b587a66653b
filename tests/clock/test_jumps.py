"""Somebody sets the wall clock, or the machine sleeps, in each phase of a file's life: all of the daemon but its threads.

Bounds, in monotonic time after the last jump: what waited for its next try is tried within the longest wait of a file
(at once where the jump was forwards); everything else takes as long as without a jump.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.tally import count, sized

from syncd.decide.retry import FILE_CEILING_S, PROBE_CEILING_S
from syncd.demo.store.faults import Fault
from syncd.errors import LockedOut

from .device import HOUR, Device

Make = Callable[..., Device]

TICK = 5.0
"""The longest pause of the clerk."""
WITHIN_S = FILE_CEILING_S + TICK
A_MOMENT = 30.0
"""More than a few ticks, a first try and the next one take."""
KEEPER_LOOKS_S = 60.0
"""After suspend its thread looks as late as that, unless somebody asks for credentials before."""
JUMPS = [-26 * HOUR, -3 * HOUR, -HOUR / 2, HOUR / 2, 3 * HOUR, 26 * HOUR]


def assert_every_request_was_in_order(device: Device) -> None:
    """No signature by a wrong time, none with a dead set: the store looks at both."""
    assert device.requests()
    assert device.refusals() == []


@pytest.mark.parametrize("jump", JUMPS)
def test_during_the_quiet_time_a_jump_neither_shortens_nor_lengthens_it(make: Make, jump: float) -> None:
    device = make(quiet_s=120)
    device.drop("film")
    device.step_until(device.house.states)
    device.clock.advance(50)
    device.step()
    device.clock.jump(jump)
    device.run(120 + A_MOMENT)
    assert 120 <= device.settled_after[b"film"] <= 120 + TICK
    assert_every_request_was_in_order(device)


def test_suspend_does_not_count_as_quiet_time(make: Make) -> None:
    """A writer sleeps along with us."""
    device = make(quiet_s=120)
    device.drop("film")
    device.step_until(device.house.states)
    device.clock.sleep(10 * HOUR)
    device.run(120 + A_MOMENT)
    assert 120 <= device.settled_after[b"film"] <= 120 + TICK
    assert_every_request_was_in_order(device)


def waiting_for_its_next_try(make: Make) -> Device:
    """A device with one file that S3 answered 500 for a while, so that it waits for minutes."""
    device = make()
    device.drop("film")
    device.servers.outage.fault = Fault(status=500, code="InternalError")
    device.servers.outage.left = 10**6
    live = device.house.world.ledger.live
    device.step_until(lambda: any(row.not_before > device.clock.now() + 100 for row in live(10)))
    device.servers.outage.left = 0
    return device


@pytest.mark.parametrize("jump", JUMPS)
def test_what_waits_for_its_next_try_is_tried_within_minutes(make: Make, jump: float) -> None:
    device = waiting_for_its_next_try(make)
    device.clock.jump(jump)
    taken = device.run(WITHIN_S + A_MOMENT, at_least=TICK)
    if jump > 0:
        assert taken <= A_MOMENT
    assert_every_request_was_in_order(device)


def test_suspend_counts_as_waiting_for_the_next_try(make: Make) -> None:
    device = waiting_for_its_next_try(make)
    device.clock.sleep(HOUR)  # the credentials die meanwhile, too
    device.run(A_MOMENT)
    assert_every_request_was_in_order(device)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_destination_that_locks_us_out_is_probed_by_a_clock_that_does_not_jump(
    make: Make, jump: float
) -> None:
    device = make()
    device.servers.outage.fault = Fault(status=404, code="NoSuchBucket")
    device.servers.outage.left = 10**6
    device.drop("film")
    device.step_until(device.house.gate.closed)
    device.clock.jump(jump)
    asked, until = len(device.requests()), device.clock.monotonic() + 5 * PROBE_CEILING_S
    while device.clock.monotonic() < until:
        device.step()
    probes = len(device.requests()) - asked
    assert 5 <= probes <= 20
    device.servers.outage.left = 0
    device.run(PROBE_CEILING_S + A_MOMENT, at_least=TICK)
    assert_every_request_was_in_order(device)


@pytest.mark.parametrize("jump", JUMPS)
def test_credentials_near_their_end_are_renewed_in_time_and_never_used_beyond(
    make: Make, jump: float
) -> None:
    device = make()
    device.step()
    first = device.keeper.current()
    device.clock.advance(590)  # of 900 seconds; the next call is due in the last two thirds
    device.clock.jump(jump)
    device.drop("film")
    device.run(A_MOMENT)
    assert device.keeper.snapshot().state == "ok"
    device.clock.advance(200)
    device.step()
    assert device.keeper.current() != first
    device.drop("another")
    device.run(A_MOMENT)
    assert_every_request_was_in_order(device)
    assert device.servers.endpoint.issued  # the API was there


@pytest.mark.parametrize("jump", [-5 * HOUR, 0.0, 5 * HOUR])
@pytest.mark.parametrize(
    ("away", "lives", "renewed"),
    [(60.0, True, False), (300.0, True, True), (5 * HOUR, False, True)],
    ids=["a minute", "until a renewal is due", "beyond its end"],
)
def test_after_suspend_no_request_goes_out_with_what_died_meanwhile_and_what_is_fresh_serves_on(
    make: Make, jump: float, away: float, lives: bool, renewed: bool
) -> None:
    device = make()
    device.step()
    first = device.keeper.current()
    device.clock.advance(500)  # of 900
    device.clock.sleep(away)
    device.clock.jump(jump)
    device.drop("film")
    if lives:
        assert device.keeper.current() == first
    else:
        with pytest.raises(LockedOut):
            device.keeper.current()
    device.run(A_MOMENT)
    assert (device.keeper.current() != first) == renewed
    assert_every_request_was_in_order(device)


@pytest.mark.parametrize("ahead", [-5 * HOUR, 5 * HOUR, -20 * 365 * 24 * HOUR])
def test_a_clock_that_was_wrong_all_along_costs_no_request_and_no_time(
    make: Make, logged: list[Any], ahead: float
) -> None:
    device = make(ahead=ahead)
    device.drop("film")
    device.run(A_MOMENT)
    device.clock.advance(700)
    device.drop("another")
    device.run(A_MOMENT)
    assert_every_request_was_in_order(device)
    assert device.learnt.offset() == pytest.approx(ahead, abs=1.0)
    assert len([line for line in logged if line["event"] == "clock_offset_large"]) == 1


def test_the_clock_being_set_right_is_told_and_costs_nothing(make: Make, logged: list[Any]) -> None:
    device = make(ahead=5 * HOUR)
    device.drop("film")
    device.run(A_MOMENT)
    device.clock.jump(-5 * HOUR)
    device.drop("another")
    device.run(A_MOMENT)
    told = [line["event"] for line in logged if line["event"].startswith("clock_")]
    assert told == ["clock_offset_large", "clock_set_back", "clock_right_again"]
    assert_every_request_was_in_order(device)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("jump"), st.floats(-30 * HOUR, 30 * HOUR)),
        st.tuples(st.just("jump"), st.floats(-1.5 * HOUR, 1.5 * HOUR)),
        st.tuples(st.just("sleep"), st.floats(0, 5 * HOUR)),
        st.tuples(st.just("advance"), st.floats(0, HOUR)),  # the process was stopped, or starved
        st.tuples(st.just("steps"), st.integers(1, 12)),
        st.tuples(st.just("drop"), st.integers(0, 30)),
        st.tuples(st.just("outage"), st.integers(1, 30)),
    ),
    min_size=3,
    max_size=14,
)
AHEAD = [0.0, -9 * HOUR, 9 * HOUR]
FAULTS = [Fault(drop=True), Fault(status=500, code="InternalError"), Fault(status=404, code="NoSuchBucket")]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(AHEAD), st.sampled_from(FAULTS), steps)
@example(0.0, FAULTS[1], [("outage", 30), ("drop", 12), ("steps", 12), ("jump", -0.9 * HOUR)])
def test_whatever_the_clocks_do_nothing_settles_early_or_waits_for_ever_or_is_signed_wrong(
    make: Make, ahead: float, fault: Fault, steps: list[tuple[str, float]]
) -> None:
    live_through(make, ahead, fault, steps)


@pytest.mark.torture
@settings(max_examples=sized(50, 500), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(AHEAD), st.sampled_from(FAULTS), steps)
def test_the_same_many_times(make: Make, ahead: float, fault: Fault, steps: list[tuple[str, float]]) -> None:
    live_through(make, ahead, fault, steps)
    count("schedules")


def live_through(make: Make, ahead: float, fault: Fault, steps: list[tuple[str, float]]) -> None:
    device = make(ahead=ahead, quiet_s=20)
    device.servers.outage.fault = fault
    device.words.listen()
    for number, (name, value) in enumerate(steps):
        match name:
            case "steps":
                for _ in range(int(value)):
                    device.step()
            case "drop":
                device.drop(f"film {number}", bytes(range(int(value))))
            case "outage":
                device.servers.outage.left = int(value)
            case _:
                getattr(device.clock, name)(value)
    device.servers.outage.left = 0
    device.run(20 + WITHIN_S + PROBE_CEILING_S + A_MOMENT, at_least=TICK)
    assert all(seconds >= 20 for seconds in device.settled_after.values())
    assert device.refusals() == []
    device.clock.advance(KEEPER_LOOKS_S)
    device.step()
    assert device.keeper.snapshot().state == "ok"
