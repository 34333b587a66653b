"""How things stand, gathered once for all who ask within a second, and each answer made of it once.

Fifty pages that are open cost an upload as much as one. Where gathering is dear (millions of files wait), it is done
more rarely: at most a tenth of the time goes into it.
"""

from __future__ import annotations

import json
import threading
from functools import cached_property

from syncd.console.facts import Readings
from syncd.console.headline import Document
from syncd.console.page.health import unwell
from syncd.console.page.history import PAGE, Leaf, Page, page_of
from syncd.console.page.metrics import exposition
from syncd.console.page.picture import drawn
from syncd.console.page.view import PageView
from syncd.console.status import status_document
from syncd.ports import Clock

FRESH_S = 1.0
DEAREST = 10
LEAVES_KEPT = 32


class Snapshot:
    """One moment, and what is said of it."""

    def __init__(self, readings: Readings, view: PageView) -> None:
        self.readings = readings
        self._view = view
        self._lock = threading.Lock()  # one search at a time
        self._leaves: dict[Leaf, Page] = {}

    @cached_property
    def document(self) -> Document:
        """The status document."""
        return status_document(self.readings.status)

    @cached_property
    def status_json(self) -> bytes:
        """The same as text."""
        return json.dumps(self.document).encode("ascii")

    @cached_property
    def metrics(self) -> bytes:
        """What Prometheus collects."""
        return exposition(self.readings)

    @cached_property
    def unwell(self) -> str | None:
        """What is wrong; None: nothing is."""
        return unwell(self.readings, self.document)

    @cached_property
    def newest_page(self) -> bytes:
        """What a visitor sees who has asked for nothing."""
        return self._drawn(Leaf())

    def page(self, leaf: Leaf) -> bytes:
        """The page with this stretch of history. Raises LedgerFailure."""
        return self.newest_page if leaf.newest else self._drawn(leaf)

    def _drawn(self, leaf: Leaf) -> bytes:
        return drawn(self.readings, self.document, self._history(leaf)).encode("utf-8")

    def _history(self, leaf: Leaf) -> Page:
        with self._lock:
            if leaf not in self._leaves and len(self._leaves) >= LEAVES_KEPT:
                self._leaves.clear()
            if leaf not in self._leaves:
                found = self._view.happened(
                    PAGE, leaf.before, leaf.after, leaf.word.encode("utf-8", "replace")
                )
                self._leaves[leaf] = page_of(leaf, found)
            return self._leaves[leaf]


class Snapshots:
    """Gives the last snapshot while it is fresh. Any thread; `view` may be swapped."""

    def __init__(self, view: PageView, clock: Clock) -> None:
        self.view = view
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Snapshot | None = None
        self._fresh_until = 0.0

    def latest(self) -> Snapshot:
        """How things stand, or stood a moment ago. Raises SyncdError."""
        with self._lock:
            began = self._clock.monotonic()
            if self._last is None or began >= self._fresh_until:
                self._last = Snapshot(self.view.readings(), self.view)
                ended = self._clock.monotonic()
                self._fresh_until = ended + max(FRESH_S, DEAREST * (ended - began))
            return self._last
