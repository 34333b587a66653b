"""When each discovered file is looked at again. In memory: looks are timed by a clock that starts with the process."""

from __future__ import annotations

import heapq


class Looks:
    """Owned by the clerk's thread."""

    def __init__(self) -> None:
        self._first: dict[int, float] = {}
        self._due: list[tuple[float, int]] = []

    def __contains__(self, transfer: int) -> bool:
        return transfer in self._first

    def __len__(self) -> int:
        return len(self._first)

    def begin(self, transfer: int, now: float, after_s: float) -> None:
        """The quiet time of this fingerprint begins now."""
        self._first[transfer] = now
        heapq.heappush(self._due, (now + after_s, transfer))

    def again(self, transfer: int, at: float) -> None:
        """Look once more at that time; the quiet time goes on."""
        if transfer in self._first:
            heapq.heappush(self._due, (at, transfer))

    def first(self, transfer: int) -> float:
        """When this process first saw the fingerprint."""
        return self._first[transfer]

    def forget(self, transfer: int) -> None:
        """It settled, or is gone."""
        self._first.pop(transfer, None)

    def take_due(self, now: float, limit: int) -> list[int]:
        """Those to look at now, each once."""
        found: dict[int, None] = {}
        while self._due and self._due[0][0] <= now and len(found) < limit:
            _, transfer = heapq.heappop(self._due)
            if transfer in self._first:
                found[transfer] = None
        return list(found)

    def next_at(self) -> float | None:
        """When the next look is due."""
        while self._due and self._due[0][1] not in self._first:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None
