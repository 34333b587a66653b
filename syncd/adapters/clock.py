"""The system's clocks: the only place that asks what time it is, and the only thing that waits.

Refuses to interpret: jumps of the wall clock, offsets to a server and deadlines are judged by those who ask.
"""

from __future__ import annotations

import threading
import time


class SystemClock:
    """`ports.Clock` on a Linux machine."""

    def now(self) -> float:
        """Wall time: seconds since the epoch, UTC. May jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump and stop while the machine sleeps (CLOCK_MONOTONIC)."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def boottime(self) -> float:
        """Seconds that never jump and count through suspend (CLOCK_BOOTTIME)."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set (True) or the seconds are over (False); a negative time does not wait."""
        return event.wait(max(0.0, seconds))
