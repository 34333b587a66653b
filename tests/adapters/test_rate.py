"""All uploads together keep to one rate, which may change while somebody waits by the old one."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import FakeClock

from syncd.adapters.rate import SharedRate
from syncd.adapters.s3.body import BodyReader

KIB = 1 << 10


def rate(bytes_per_second: float | None) -> tuple[SharedRate, FakeClock]:
    clock = FakeClock()
    return SharedRate(clock, threading.Event(), bytes_per_second), clock


@given(st.lists(st.integers(1, 1 << 20), min_size=1, max_size=40), st.floats(1000, 1e8))
def test_over_any_time_no_more_goes_than_the_rate_allows_and_one_block(
    counts: list[int], limit: float
) -> None:
    shared, clock = rate(limit)
    began = clock.monotonic()
    for at, count in enumerate(counts):
        shared.take(count)
        passed = clock.monotonic() - began
        assert sum(counts[:at]) <= passed * limit + 1e-3 * limit + 1
    assert clock.monotonic() - began == pytest.approx(sum(counts[:-1]) / limit, rel=1e-6, abs=1e-6)


def test_what_was_not_used_is_not_saved_up() -> None:
    shared, clock = rate(1000)
    clock.advance(3600)
    began = clock.monotonic()
    for _ in range(11):
        shared.take(1000)
    assert clock.monotonic() - began == pytest.approx(10)


def test_without_a_rate_nobody_waits() -> None:
    shared, clock = rate(None)
    for _ in range(100):
        shared.take(1 << 30)
    assert clock.waits == []
    assert shared.block() == 1 << 20


@pytest.mark.parametrize(
    ("limit", "block"), [(1000, 16 * KIB), (1_000_000, 250_000), (100_000_000, 1024 * KIB)]
)
def test_slow_lines_get_small_blocks(limit: float, block: int) -> None:
    assert rate(limit)[0].block() == block


def test_whoever_waits_by_an_old_rate_is_let_go_when_it_changes() -> None:
    clock = FakeClock(driven=True)
    shared = SharedRate(clock, threading.Event(), 1.0)
    shared.take(1_000_000)  # the next one would wait for days
    waiter = threading.Thread(target=shared.take, args=(1,))
    waiter.start()
    shared.change(1e9)
    clock.advance(1.5)  # it looks up every second
    waiter.join(10)
    assert not waiter.is_alive()


def test_a_stop_ends_every_wait() -> None:
    stop = threading.Event()
    shared = SharedRate(FakeClock(), stop, 1.0)
    shared.take(1_000_000)
    stop.set()
    shared.take(1)  # returns


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.checksum = data, len(data), ""

    def read_at(self, offset: int, size: int) -> memoryview:
        return memoryview(self.data)[offset : offset + size]

    def sent(self, count: int) -> None:
        pass


@pytest.mark.parametrize("signed", [0, 1])
def test_only_what_goes_out_counts_not_what_is_read_to_be_signed(signed: int) -> None:
    shared, clock = rate(100_000)
    reader = BodyReader(Bytes(bytes(1_000_000)), shared, signed=signed)
    for _ in range(signed + 1):
        reader.seek(0)
        assert sum(len(block) for block in iter(reader.read, b"")) == 1_000_000
    assert sum(clock.waits) == pytest.approx(10, rel=0.05)
