from __future__ import annotations

import threading
import time

from syncd.adapters.clock import SystemClock


def test_each_clock_reads_the_kernels_own() -> None:
    clock = SystemClock()
    for ours, theirs in (
        (clock.now, time.CLOCK_REALTIME),
        (clock.monotonic, time.CLOCK_MONOTONIC),
        (clock.boottime, time.CLOCK_BOOTTIME),
    ):
        before, value, after = time.clock_gettime(theirs), ours(), time.clock_gettime(theirs)
        assert before - 0.001 <= value <= after + 0.001


def test_waiting_ends_at_once_when_the_event_is_set() -> None:
    event = threading.Event()
    event.set()
    assert SystemClock().wait(event, 3600) is True


def test_waiting_ends_without_the_event_when_the_time_is_over() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert clock.wait(threading.Event(), 0.01) is False
    assert clock.monotonic() - before >= 0.009
    assert clock.wait(threading.Event(), -5) is False
