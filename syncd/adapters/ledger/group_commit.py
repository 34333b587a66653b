"""One sync to disk for all who wait: writers that come while a transaction is being committed share the next one.

Each keeps its own fate: what one of them did is undone alone when it fails, by a savepoint. Nobody's call returns before
the transaction that holds its work is on disk.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from syncd.adapters.ledger.trouble import seen_through, translated

T = TypeVar("T")


class _Errand(Generic[T]):
    """One writer's work and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.failure: BaseException | None = None


class GroupCommit:
    """Writes through one connection; `lock` guards that connection against all other use."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.RLock) -> None:
        self._connection = connection
        self._lock = lock
        self._waiting: list[_Errand[Any]] = []
        self._waiting_lock = threading.Lock()

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run the work within a transaction; its result, once that is on disk. Raises what the work raised."""
        errand = _Errand(work)
        with self._waiting_lock:
            self._waiting.append(errand)
        with self._lock:
            if not errand.done:  # else whoever had the lock before took it along
                self._run(self._take_waiting())
        if errand.failure is not None:
            raise errand.failure
        return errand.result  # type: ignore[return-value]  # None only where T is

    def _take_waiting(self) -> list[_Errand[Any]]:
        with self._waiting_lock:
            errands, self._waiting = self._waiting, []
        return errands

    def _run(self, errands: list[_Errand[Any]]) -> None:
        try:
            with translated():
                self._connection.execute("BEGIN IMMEDIATE")
                for errand in errands:
                    self._run_one(errand)
                self._connection.execute("COMMIT")
        except BaseException as failure:  # noqa: BLE001 - every writer that is not told otherwise hears of it
            with contextlib.suppress(sqlite3.Error):  # the failure that brought us here is the one to tell
                self._connection.execute("ROLLBACK")
            told = seen_through(failure, self._connection)
            for errand in errands:
                errand.failure = errand.failure or told
        for errand in errands:
            errand.done = True

    def _run_one(self, errand: _Errand[Any]) -> None:
        self._connection.execute("SAVEPOINT errand")
        try:
            with translated():
                errand.result = errand.work(self._connection)
        except BaseException as failure:
            if not self._connection.in_transaction:  # a full disk takes the whole transaction back by itself
                raise
            self._connection.execute("ROLLBACK TO errand")
            errand.failure = failure
        self._connection.execute("RELEASE errand")
