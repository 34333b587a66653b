"""The one rate that all uploads together keep to: bytes are booked before they go, and whoever comes early waits.

Refuses bursts: what was not used is not saved up. The rate may be changed at any time; who waits by the old one is let go
within a second. Several files and parts share it in the order in which they ask.
"""

from __future__ import annotations

import threading

from syncd.ports import Clock

_SLICE_S = 1.0
_SMALLEST, _LARGEST = 1 << 14, 1 << 20


class SharedRate:
    """Implements `ports.Pace`, from any thread. `bytes_per_second` None: as fast as it goes."""

    def __init__(self, clock: Clock, stop: threading.Event, bytes_per_second: float | None = None) -> None:
        self._clock = clock
        self._stop = stop
        self._lock = threading.Lock()
        self._rate = bytes_per_second
        self._free_at = clock.monotonic()
        self._changes = 0

    def change(self, bytes_per_second: float | None) -> None:
        """Another rate from now on."""
        with self._lock:
            self._rate = bytes_per_second
            self._free_at = self._clock.monotonic()
            self._changes += 1

    def block(self) -> int:
        """How many bytes to ask for at once: a quarter of a second's worth, 16 KiB to 1 MiB."""
        rate = self._rate
        return _LARGEST if rate is None else int(min(max(rate / 4, _SMALLEST), _LARGEST))

    def take(self, count: int) -> None:
        """Wait until so many bytes may go; returns early when the process is to stop."""
        with self._lock:
            if self._rate is None:
                return
            now = self._clock.monotonic()
            begin = max(self._free_at, now)
            self._free_at = begin + count / self._rate
            changes = self._changes
        while not self._stop.is_set() and changes == self._changes:
            left = begin - self._clock.monotonic()
            if left <= 0:
                return
            self._clock.wait(self._stop, min(left, _SLICE_S))
