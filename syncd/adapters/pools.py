"""Threads behind `submit`: a pool for files, and one for bodies in which every thread has a buffer of its own.

Both may be resized while they work: nothing that runs is broken off. Daemon threads on purpose: at the end of the grace
time the process may leave while a slow link still holds one.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from syncd.ports import Clock

T = TypeVar("T")

LEAST_COST = 1 << 18
"""A request costs something however small its body is."""
FLOWS_REMEMBERED = 1000


class FairQueue:
    """Jobs of several flows, served so that each flow gets as many bytes through as any other (start-time fair queueing).

    A flow that was idle gets no credit for that, and none waits for more than one job of every other.
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

    def get(self, leave: Callable[[bool], bool] = lambda _: False) -> Any:
        """The next job; waits for one. None where `leave` says so, which is told whether anything is lined up."""
        with self._changed:
            while not leave(bool(self._heap)):
                if self._heap:
                    start, _, job = heapq.heappop(self._heap)
                    self._served = start
                    return job
                self._changed.wait()
            self._changed.notify()  # what woke this one may be meant for another
            return None

    def wake(self) -> None:
        """Let everybody who waits ask again whether to leave."""
        with self._changed:
            self._changed.notify_all()


class _Threads:
    """So many threads at one queue; each job is called with its thread's own things."""

    def __init__(self, name: str, threads: int, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._jobs = FairQueue()
        self._wanted = 0
        self._closing = False
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._in_hand: dict[int, str] = {}
        self._resize(threads)

    def _resize(self, threads: int) -> None:
        with self._lock:
            alive = [thread for thread in self._threads[:threads] if thread.is_alive()]
            self._threads = [*alive, *(self._begin(number) for number in range(len(alive), threads))]
            self._wanted = threads
        self._jobs.wake()

    def mend(self) -> bool:
        """Begin threads that have died anew; True if there were any."""
        dead = not self._closing and not all(thread.is_alive() for thread in self._threads)
        if dead:
            self._resize(self._wanted)
        return dead

    def in_hand(self) -> dict[int, str]:
        """The threads that have a job now, by the kernel's number, with their names."""
        return dict(self._in_hand)

    def _begin(self, number: int) -> threading.Thread:
        name = f"{self._name}-{number}"
        thread = threading.Thread(target=self._work, args=(number,), name=name, daemon=True)
        self._wanted = max(self._wanted, number + 1)
        thread.start()
        return thread

    def _line_up(self, job: Callable[..., T], flow: int, cost: int) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put(flow, cost, (job, future))
        return future

    def close(self, seconds: float) -> bool:
        """Take no more; True when all threads ended in time, and with them all that was lined up."""
        self._closing = True
        self._jobs.wake()
        until = self._clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - self._clock.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, number: int) -> None:
        def leave(lined_up: bool) -> bool:
            return number >= self._wanted or (self._closing and not lined_up)

        this, name = threading.get_native_id(), threading.current_thread().name
        while (task := self._jobs.get(leave)) is not None:
            job, future = task
            self._in_hand[this] = name
            try:
                future.set_result(self._call(job))
            except BaseException as failure:  # noqa: BLE001 - whoever waits for the future gets it
                future.set_exception(failure)
            finally:
                del self._in_hand[this]
            del task, job, future  # an idle thread holds no file and no error

    def _call(self, job: Callable[..., Any]) -> Any:
        return job()


class FileThreads(_Threads):
    """As many visits at once as threads; the rest wait in order."""

    def __init__(self, threads: int, clock: Clock) -> None:
        super().__init__("file", threads, clock)

    def resize(self, threads: int) -> None:
        """So many from now on; one too many ends with its job."""
        self._resize(threads)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Run the job some time."""
        return self._line_up(job, 0, 0)


class BodyThreads(_Threads):
    """One buffer per thread, so file data in memory never exceeds threads x buffer.

    What is sent in one piece is one flow, every multipart upload another: none waits for all parts of the others.
    """

    def __init__(self, threads: int, clock: Clock, buffer_size: int) -> None:
        self._local = threading.local()
        self._buffer_size = buffer_size
        super().__init__("body", threads, clock)

    def resize(self, threads: int, buffer_size: int) -> None:
        """So many, with buffers of that size, from the next body of each on."""
        self._buffer_size = buffer_size
        self._resize(threads)

    def submit(self, job: Callable[[memoryview], T], *, flow: int, cost: int) -> Future[T]:
        """Run the job with a buffer of its own; it holds the buffer until it returns."""
        return self._line_up(job, flow, cost)

    def _call(self, job: Callable[[memoryview], T]) -> T:
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None or len(buffer) != self._buffer_size:
            self._local.buffer = buffer = memoryview(bytearray(self._buffer_size))
        return job(buffer)


def times_run(thread: int) -> int | None:
    """How often the kernel gave this thread the processor: unchanged, it did nothing. None where it cannot be told.

    `thread` is the kernel's number of it. proc(5): `/proc/self/task/N/status`.
    """
    try:
        status = Path(f"/proc/self/task/{thread}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    switches = [int(line.split()[1]) for line in status.splitlines() if "_ctxt_switches:" in line]
    return sum(switches) if switches else None
