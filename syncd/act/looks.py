"""When each discovered file is looked at again. In memory: looks are timed by a clock that starts with the process."""

from __future__ import annotations

import heapq


class Looks:
    """Owned by the clerk's thread."""

    def __init__(self) -> None:
        self._first: dict[int, float] = {}
        self._at: dict[int, float] = {}  # the one time that counts; older entries of the heap are stale
        self._due: list[tuple[float, int]] = []

    def __contains__(self, transfer: int) -> bool:
        return transfer in self._first

    def __len__(self) -> int:
        return len(self._first)

    def begin(self, transfer: int, now: float, after_s: float) -> None:
        """The quiet time of this fingerprint begins now."""
        self._first[transfer] = now
        self._schedule(transfer, now + after_s)

    def again(self, transfer: int, at: float) -> None:
        """Look once more at that time; the quiet time goes on."""
        if transfer in self._first:
            self._schedule(transfer, at)

    def _schedule(self, transfer: int, at: float) -> None:
        self._at[transfer] = at
        heapq.heappush(self._due, (at, transfer))

    def _is_stale(self, entry: tuple[float, int]) -> bool:
        return self._at.get(entry[1]) != entry[0]

    def first(self, transfer: int) -> float:
        """When this process first saw the fingerprint."""
        return self._first[transfer]

    def forget(self, transfer: int) -> None:
        """It settled, or is gone."""
        self._first.pop(transfer, None)
        self._at.pop(transfer, None)

    def take_due(self, now: float, limit: int) -> list[int]:
        """Those to look at now, each once."""
        found: list[int] = []
        while self._due and self._due[0][0] <= now and len(found) < limit:
            entry = heapq.heappop(self._due)
            if not self._is_stale(entry):
                found.append(entry[1])
                del self._at[entry[1]]
        return found

    def next_at(self) -> float | None:
        """When the next look is due."""
        while self._due and self._is_stale(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None
