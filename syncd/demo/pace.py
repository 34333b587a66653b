"""A slow link for the demo: the store takes bodies no faster than a given pace, all connections together."""

from __future__ import annotations

import threading
import time
from typing import Final

from syncd.demo.store.faults import Fault, Record

BODIES: Final = frozenset({"PutObject", "UploadPart"})


class Pace:
    """Implements `Faults`: each body waits until the ones before it would have passed the link, and itself too."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def before(self, record: Record) -> Fault | None:
        """How long this body takes."""
        if record.operation not in BODIES or not record.length:
            return None
        now = time.monotonic()
        with self._lock:
            self._free_at = max(self._free_at, now) + record.length / self._bytes_per_second
            return Fault(delay=self._free_at - now)

    def after(self, record: Record) -> Fault | None:  # noqa: ARG002 - the port's signature
        """Answers are quick."""
        return None
