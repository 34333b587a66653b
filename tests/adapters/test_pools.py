"""Bodies in the air: no flow waits for all of another, memory has a bound, the end is clean."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from syncd.adapters.clock import SystemClock
from syncd.adapters.pools import LEAST_COST, BodyThreads, FairQueue, FileThreads, times_run

MIB = 1 << 20


def drain(queue: FairQueue, count: int) -> list[object]:
    return [queue.get() for _ in range(count)]


def test_a_small_body_does_not_wait_for_all_parts_of_a_large_file() -> None:
    queue = FairQueue()
    for number in range(12):
        queue.put(7, 16 * MIB, f"part-{number}")
    queue.put(0, 1, "small")
    assert drain(queue, 3)[:2] == ["part-0", "small"]


def test_a_flood_of_small_bodies_does_not_keep_a_large_file_waiting() -> None:
    queue = FairQueue()
    queue.put(7, 16 * MIB, "part")
    queue.put(7, 16 * MIB, "part")
    for number in range(1000):
        queue.put(0, 1, number)
    order = drain(queue, 1002)
    second = [place for place, job in enumerate(order) if job == "part"][1]
    assert second <= 16 * MIB // LEAST_COST + 2, "each flow gets as many bytes as the other"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 64 * MIB)), min_size=1, max_size=60))
def test_each_flow_is_served_in_order_and_none_is_more_than_two_jobs_ahead(
    jobs: list[tuple[int, int]],
) -> None:
    queue = FairQueue()
    for number, (flow, cost) in enumerate(jobs):
        queue.put(flow, cost, number)
    taken = [int(str(job)) for job in drain(queue, len(jobs))]
    served: dict[int, int] = {}
    largest = max(max(cost, LEAST_COST) for _, cost in jobs)
    left = {flow: [n for n, (other, _) in enumerate(jobs) if other == flow] for flow in range(4)}
    for number in taken:
        flow, cost = jobs[number]
        assert left[flow].pop(0) == number, "a flow is served in its own order"
        served[flow] = served.get(flow, 0) + max(cost, LEAST_COST)
        waiting = [other for other, rest in left.items() if rest]
        for one, other in itertools.permutations(waiting, 2):
            assert served.get(one, 0) - served.get(other, 0) <= 2 * largest


def test_a_flow_that_was_idle_has_no_credit() -> None:
    queue = FairQueue()
    for _ in range(5):
        queue.put(1, 16 * MIB, "one")
        assert queue.get() == "one"
    for _ in range(2):
        queue.put(1, 16 * MIB, "one")
        queue.put(2, 16 * MIB, "two")
    assert sorted(map(str, drain(queue, 2))) == ["one", "two"]


def test_every_job_has_a_buffer_of_its_thread_and_the_end_waits_for_what_is_lined_up() -> None:
    pool = BodyThreads(2, SystemClock(), 64)
    buffers: set[int] = set()
    lock = threading.Lock()

    def job(buffer: memoryview) -> int:
        with lock:
            buffers.add(id(buffer.obj))
        return len(buffer)

    futures = [pool.submit(job, flow=number % 3, cost=1) for number in range(50)]
    assert pool.close(10.0)
    assert [future.result(0) for future in futures] == [64] * 50
    assert 1 <= len(buffers) <= 2


def test_a_pool_grows_at_once_and_shrinks_when_its_jobs_are_done() -> None:
    pool = FileThreads(1, SystemClock())
    gate, at_once = threading.Event(), threading.Semaphore(0)

    def job() -> str:
        at_once.release()
        gate.wait(10)
        return threading.current_thread().name

    first = [pool.submit(job) for _ in range(3)]
    assert at_once.acquire(timeout=10)
    assert not at_once.acquire(timeout=0.05), "one thread, one job"
    pool.resize(3)
    assert at_once.acquire(timeout=10)
    assert at_once.acquire(timeout=10)
    pool.resize(1)
    gate.set()
    assert {each.result(10) for each in first} == {"file-0", "file-1", "file-2"}
    later = [pool.submit(lambda: threading.current_thread().name) for _ in range(20)]
    assert {each.result(10) for each in later} == {"file-0"}
    assert pool.close(10)


def test_buffers_follow_a_new_size_with_the_next_body() -> None:
    pool = BodyThreads(2, SystemClock(), 10)
    assert pool.submit(len, flow=0, cost=1).result(10) == 10
    pool.resize(2, 20)
    assert [pool.submit(len, flow=0, cost=1).result(10) for _ in range(5)] == [20] * 5
    assert pool.close(10)


def test_a_thread_that_died_is_begun_anew() -> None:
    pool = FileThreads(2, SystemClock())
    assert not pool.mend()
    pool._threads[0] = threading.Thread(target=lambda: None)  # one that is dead, as after a fault of ours
    assert pool.mend()
    assert not pool.mend()
    assert pool.submit(lambda: 7).result(10) == 7
    assert pool.close(10)


def test_a_thread_with_a_job_is_in_hand_and_runs_only_when_it_gets_on() -> None:
    pool, go_on, end = FileThreads(2, SystemClock()), threading.Event(), threading.Event()
    future = pool.submit(lambda: (go_on.wait(10), end.wait(10)))
    until(lambda: bool(pool.in_hand()))
    [(thread, name)] = pool.in_hand().items()
    assert name.startswith("file-")
    before = settled(lambda: times_run(thread))
    go_on.set()
    until(lambda: (times_run(thread) or 0) > before)
    assert settled(lambda: times_run(thread)) > before
    end.set()
    future.result(10)
    assert pool.close(10)
    assert not pool.in_hand()
    until(lambda: times_run(thread) is None)  # the kernel takes it out a moment after it was joined


def settled(number: Callable[[], int | None]) -> int:
    """The number when it has stopped to change: a thread that waits does not run."""
    seen: list[int | None] = [None]

    def same() -> bool:
        time.sleep(0.1)  # what is waited for is that nothing happens
        seen.append(number())
        return seen[-1] == seen[-2]

    until(same)
    assert seen[-1] is not None
    return seen[-1]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)  # another thread is watched
