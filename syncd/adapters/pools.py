"""Threads behind `submit`: a pool for files, and one for bodies in which every thread has a buffer of its own.

Daemon threads on purpose: at the end of the grace time the process may leave while a slow link still holds one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from syncd.ports import Clock

T = TypeVar("T")


class FileThreads:
    """As many visits at once as threads; the rest wait in order."""

    def __init__(self, threads: int, clock: Clock, name: str = "file") -> None:
        self._clock = clock
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Run the job some time."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def close(self, seconds: float) -> bool:
        """Take no more; True when all threads ended in time."""
        for _ in self._threads:
            self._jobs.put(None)
        until = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - self._clock.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, future = task
            try:
                future.set_result(job())
            except BaseException as failure:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(failure)
            del task, job, future  # an idle thread holds no file and no error


class BodyThreads:
    """One buffer per thread, so file data in memory never exceeds threads x buffer."""

    def __init__(self, threads: int, clock: Clock, buffer_size: int) -> None:
        self._pool = FileThreads(threads, clock, name="body")
        self._local = threading.local()
        self._buffer_size = buffer_size

    def submit(self, job: Callable[[memoryview], T]) -> Future[T]:
        """Run the job with a buffer of its own; it holds the buffer until it returns."""
        return self._pool.submit(lambda: job(self._buffer()))

    def close(self, seconds: float) -> bool:
        """Take no more; True when all threads ended in time."""
        return self._pool.close(seconds)

    def _buffer(self) -> memoryview:
        if not hasattr(self._local, "buffer"):
            self._local.buffer = memoryview(bytearray(self._buffer_size))
        buffer: memoryview = self._local.buffer
        return buffer
