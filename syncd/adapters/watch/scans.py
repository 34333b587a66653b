"""Requests for scans, at most one per folder and interval: a storm of directories is one scan now and one afterwards."""

from __future__ import annotations

import threading

import structlog

from syncd.ports import Clock, Hints

log = structlog.get_logger()

INTERVAL = 10.0


class Scans:
    """Asks for scans from any thread; never raises. What comes too soon waits for `flush`, nothing is forgotten."""

    def __init__(self, hints: Hints, clock: Clock) -> None:
        self._hints = hints
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[bytes, float] = {}
        self._waiting: dict[bytes, str] = {}

    def ask(self, root: bytes, why: str, *, again: bool = False) -> bool:
        """Ask now (True), or with the next due `flush`; `again`: then too, as now may be too early to see it all."""
        now = self._clock.monotonic()
        with self._lock:
            due = now - self._asked.get(root, -INTERVAL) >= INTERVAL
            if due:
                self._asked[root] = now
                self._waiting.pop(root, None)
            if again or not due:
                self._waiting.setdefault(root, why)
        if due:
            self._deliver(root, why)
        return due

    def flush(self) -> None:
        """Ask for what waits and is due; called every few seconds."""
        now = self._clock.monotonic()
        with self._lock:
            due = {
                root: why
                for root, why in self._waiting.items()
                if now - self._asked.get(root, -INTERVAL) >= INTERVAL
            }
            for root in due:
                del self._waiting[root]
                self._asked[root] = now
        for root, why in due.items():
            self._deliver(root, why)

    def forget(self, root: bytes) -> None:
        """The folder is not there any more."""
        with self._lock:
            self._asked.pop(root, None)
            self._waiting.pop(root, None)

    def _deliver(self, root: bytes, why: str) -> None:
        try:
            self._hints.scan(root, why)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end watchdog's thread
            log.warning(
                "watch_hint_failed", root=root.decode("utf-8", "backslashreplace"), why=why, error=repr(error)
            )
            with self._lock:
                self._waiting.setdefault(root, why)
