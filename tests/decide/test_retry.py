"""How long trouble waits: never less than a second, never more than the ceiling unless the server wishes so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.decide.retry import FAR_FUTURE_S, FILE_CEILING_S, FLOOR_S, PROBE_CEILING_S, file_delay, probe_delay

Delay = Callable[..., float]
counts = st.integers(1, 10_000)
chances = st.floats(0.0, 1.0, exclude_max=True)
both = pytest.mark.parametrize(
    ("delay", "ceiling"),
    [(file_delay, FILE_CEILING_S), (probe_delay, PROBE_CEILING_S)],
    ids=["file", "probe"],
)


@both
@given(counts, chances)
def test_a_delay_is_between_floor_and_ceiling(
    delay: Delay, ceiling: float, count: int, chance: float
) -> None:
    assert FLOOR_S <= delay(count, chance) <= ceiling < FAR_FUTURE_S


@both
@given(counts, chances)
def test_more_failures_never_wait_less(delay: Delay, ceiling: float, count: int, chance: float) -> None:
    assert delay(count, chance) <= delay(count + 1, chance) <= ceiling


@both
@given(counts, chances, chances)
def test_chance_spreads_the_delays_in_its_own_order(
    delay: Delay, ceiling: float, count: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert delay(count, low) <= delay(count, high) <= ceiling


@pytest.mark.parametrize("count", range(1, 12))
def test_the_jitter_of_a_file_is_full_and_that_of_a_probe_half(count: int) -> None:
    assert file_delay(count, 0.0) == FLOOR_S
    assert file_delay(count, 1.0) == min(2.0**count, FILE_CEILING_S)
    assert probe_delay(count, 1.0) == min(2.0**count, PROBE_CEILING_S)
    assert probe_delay(count, 0.0) == probe_delay(count, 1.0) / 2


@both
@given(counts, chances, st.floats(0.0, 900.0))
def test_the_servers_wish_is_a_lower_bound(
    delay: Delay, ceiling: float, count: int, chance: float, wish: float
) -> None:
    assert delay(count, chance, wish=wish) == max(delay(count, chance), wish) <= max(ceiling, wish)
