"""A clock that a test turns. Nothing here ever sleeps, unless a test asks for a clock that threads wait on."""

from __future__ import annotations

import threading

START = 1_800_000_000.0
"""Wall time of a fresh FakeClock: 2027-01-15T08:00:00Z."""


class FakeClock:
    """`syncd.ports.Clock`: three times that a test sets, turns and lets jump.

    Waiting costs no time: `wait` turns the clock by the seconds at once, `waits` remembers how long. With `driven=True`
    the waits block instead, until the event is set or another thread has turned the clock far enough.
    """

    def __init__(self, start: float = START, *, driven: bool = False) -> None:
        self.wall = start
        self.mono = 1_000.0
        self.boot = 2_000.0
        self.waits: list[float] = []
        self._driven = driven
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def boottime(self) -> float:
        return self.boot

    def advance(self, seconds: float) -> None:
        """Time goes by, for all three."""
        with self._lock:
            self.wall += seconds
            self.mono += seconds
            self.boot += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock; the other two do not notice."""
        with self._lock:
            self.wall += seconds

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: the monotonic clock stands still meanwhile."""
        with self._lock:
            self.wall += seconds
            self.boot += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """True at once if the event is set; else the seconds are over at once (or, driven, when somebody turned)."""
        end = self.mono + seconds
        self.waits.append(seconds)
        if event.is_set():
            return True
        if self._driven:
            return self._wait_for_others(event, end)
        self.advance(max(0.0, seconds))
        return event.is_set()

    def _wait_for_others(self, event: threading.Event, end: float) -> bool:
        while self.mono < end:
            if event.wait(0.002):
                return True
        return event.is_set()
