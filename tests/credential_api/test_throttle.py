"""How often somebody may ask, and that remembering it has a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.clock import FakeClock

from syncd.credential_api.throttle import Bucket, Rate, Throttle


@given(
    burst=st.integers(1, 50),
    every=st.integers(1, 60),
    gaps=st.lists(st.floats(0, 120), max_size=80),
)
def test_no_one_gets_more_than_the_burst_and_one_for_every_while(
    burst: int, every: int, gaps: list[float]
) -> None:
    clock, passed = FakeClock(), 0
    bucket = Bucket(Rate(burst=burst, every=every), monotonic=clock.monotonic)
    for gap in gaps:
        clock.advance(gap)
        passed += bucket.take("cam") == 0
    assert passed <= burst + sum(gaps) / every + 1e-6


@given(burst=st.integers(1, 20), calls=st.integers(1, 60))
def test_whoever_waits_as_long_as_told_gets_through(burst: int, calls: int) -> None:
    clock = FakeClock()
    bucket = Bucket(Rate(burst=burst, every=10), monotonic=clock.monotonic)
    for _ in range(calls):
        wait = bucket.take("cam")
        clock.advance(wait + 1e-6 if wait else 0)
        assert not wait or bucket.take("cam") == 0


def test_a_million_names_are_not_all_remembered() -> None:
    bucket = Bucket(Rate(), at_most=100)
    for number in range(1_000):
        bucket.take(str(number))
    assert len(bucket) == 100


def test_the_addresses_of_one_ipv6_customer_count_as_one() -> None:
    throttle = Throttle(Rate(burst=1, every=10), monotonic=FakeClock().monotonic)
    assert throttle.stranger("2001:db8::1") == 0
    assert throttle.stranger("2001:db8::ffff:2") == 10
    assert throttle.stranger("2001:db8:0:1::1") == 0
    assert throttle.stranger("not an address") == 0
