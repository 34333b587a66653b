"""What is on its way right now: the numbers behind progress bars. Nothing here outlives the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from syncd.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One transfer in flight: bytes acknowledged, parts, and the pace since this process took it up."""

    transfer: int
    size: int
    sent: int
    parts_done: int
    parts_total: int
    began_at: float
    sent_before: int

    def bytes_per_second(self, now: float) -> float | None:
        """The mean pace so far; None before the first acknowledged byte."""
        passed, gained = now - self.began_at, self.sent - self.sent_before
        return gained / passed if passed > 0 and gained > 0 else None


class Board:
    """Who is in flight. One lock; written by the steps, read by the console."""

    def __init__(self, clock: Clock, arrived: Callable[[int], None] = lambda _: None) -> None:
        """`arrived` is told the size of every body that was accepted."""
        self._clock = clock
        self._arrived = arrived
        self._lock = threading.Lock()
        self._live: dict[int, Progress] = {}
        self._renewed_at = clock.monotonic()

    def begin(self, transfer: int, *, size: int, sent: int, parts_done: int, parts_total: int) -> None:
        """A transfer starts to send; `sent` bytes are there from before."""
        now = self._clock.monotonic()
        with self._lock:
            self._live[transfer] = Progress(
                transfer=transfer,
                size=size,
                sent=sent,
                parts_done=parts_done,
                parts_total=parts_total,
                began_at=now,
                sent_before=sent,
            )
            self._renewed_at = now

    def acknowledged(self, transfer: int, size: int) -> None:
        """One more body of a transfer was accepted."""
        with self._lock:
            known = self._live.get(transfer)
            if known is not None:
                self._live[transfer] = replace(known, sent=known.sent + size, parts_done=known.parts_done + 1)
            self._renewed_at = self._clock.monotonic()
        self._arrived(size)

    def end(self, transfer: int) -> None:
        """It is no longer in flight."""
        with self._lock:
            self._live.pop(transfer, None)
            self._renewed_at = self._clock.monotonic()

    def live(self) -> list[Progress]:
        """All in flight, in the order they began."""
        with self._lock:
            return list(self._live.values())

    def last_progress_at(self) -> float:
        """Monotonic time of the last thing that moved."""
        with self._lock:
            return self._renewed_at
