"""Threads behind `submit`: a pool for files, and one for bodies in which every thread has a buffer of its own.

Daemon threads on purpose: at the end of the grace time the process may leave while a slow link still holds one.
"""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from syncd.ports import Clock

T = TypeVar("T")

LEAST_COST = 1 << 18
"""A request costs something however small its body is."""
FLOWS_REMEMBERED = 1000


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


class FairQueue:
    """Jobs of several flows, served so that each flow gets as many bytes through as any other (start-time fair queueing).

    A flow that was idle gets no credit for that, and none waits for more than one job of every other. None ends it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Any]] = []
        self._finish: dict[int, float] = {}
        self._served = 0.0  # the start tag of the job that was taken last
        self._count = 0

    def put(self, flow: int, cost: int, job: Any) -> None:
        """Line up a job of so many bytes."""
        with self._changed:
            start = max(self._served, self._finish.get(flow, 0.0))
            self._finish[flow] = start + max(cost, LEAST_COST)
            self._count += 1
            heapq.heappush(self._heap, (start, self._count, job))
            if len(self._finish) > FLOWS_REMEMBERED:
                self._finish = {each: at for each, at in self._finish.items() if at > self._served}
            self._changed.notify()

    def end(self) -> None:
        """One more None for a taker, behind all jobs."""
        with self._changed:
            self._count += 1
            heapq.heappush(self._heap, (float("inf"), self._count, None))
            self._changed.notify()

    def get(self) -> Any:
        """The next job; waits for one."""
        with self._changed:
            while not self._heap:
                self._changed.wait()
            start, _, job = heapq.heappop(self._heap)
            if job is not None:
                self._served = start
            return job


class BodyThreads:
    """One buffer per thread, so file data in memory never exceeds threads x buffer.

    What is sent in one piece is one flow, every multipart upload another: none waits for all parts of the others.
    """

    def __init__(self, threads: int, clock: Clock, buffer_size: int) -> None:
        self._clock = clock
        self._buffer_size = buffer_size
        self._jobs = FairQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"body-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[memoryview], T], *, flow: int, cost: int) -> Future[T]:
        """Run the job with a buffer of its own; it holds the buffer until it returns."""
        future: Future[T] = Future()
        self._jobs.put(flow, cost, (job, future))
        return future

    def close(self, seconds: float) -> bool:
        """Take no more; True when all threads ended in time."""
        for _ in self._threads:
            self._jobs.end()
        until = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - self._clock.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        buffer: memoryview | None = None
        while (task := self._jobs.get()) is not None:
            if buffer is None:
                buffer = memoryview(bytearray(self._buffer_size))
            job, future = task
            try:
                future.set_result(job(buffer))
            except BaseException as failure:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(failure)
            del task, job, future  # an idle thread holds no file and no error
