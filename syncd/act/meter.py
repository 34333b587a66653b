"""What went over the line since this process began: bytes by the minute, bodies by how they ended, requests tried again.

For the page and for monitors. In memory only, a bounded amount of it: nothing here is a promise, and nothing decides by it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping

from syncd.errors import SyncdError, kind_of
from syncd.ports import Clock

MINUTES = 60
_MINUTE_S = 60.0
ACKNOWLEDGED = "acknowledged"


class Minutes:
    """How many bytes arrived in each of the last minutes. Pure: the time comes in, in seconds that never jump."""

    def __init__(self) -> None:
        self._filled: deque[tuple[int, int]] = deque(maxlen=MINUTES)  # (which minute, bytes), the newest last

    def add(self, count: int, now: float) -> None:
        """So many bytes arrived."""
        minute = int(now // _MINUTE_S)
        if self._filled and self._filled[-1][0] >= minute:
            last, known = self._filled.pop()
            self._filled.append((last, known + count))
        else:
            self._filled.append((minute, count))

    def until(self, now: float) -> tuple[int, ...]:
        """The last hour, minute by minute; the newest one, which is not over yet, stands last."""
        this = int(now // _MINUTE_S)
        known = dict(self._filled)
        return tuple(known.get(minute, 0) for minute in range(this - MINUTES + 1, this + 1))


class Meter:
    """One lock; told by the steps and by the store, read by the page. Any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minutes = Minutes()
        self._bodies: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()

    def acknowledged(self, size: int) -> None:
        """The store has so many bytes more."""
        with self._lock:
            self._minutes.add(size, self._clock.monotonic())

    def body_ended(self, failure: SyncdError | None) -> None:
        """A part, or a file that goes in one piece, was taken (None) or not."""
        with self._lock:
            self._bodies[ACKNOWLEDGED if failure is None else kind_of(failure)] += 1

    def tried_again(self, failure: SyncdError) -> None:
        """A request is made once more, because of this."""
        with self._lock:
            self._retries[kind_of(failure)] += 1

    def last_hour(self) -> tuple[int, ...]:
        """Bytes in each of the last 60 minutes, the newest last."""
        with self._lock:
            return self._minutes.until(self._clock.monotonic())

    def bodies(self) -> Mapping[str, int]:
        """How many bodies ended how: `acknowledged`, or a kind of failure."""
        with self._lock:
            return {ACKNOWLEDGED: 0, **self._bodies}

    def retries(self) -> Mapping[str, int]:
        """How many requests were made again, by the kind of failure."""
        with self._lock:
            return dict(self._retries)
