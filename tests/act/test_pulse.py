"""Bytes that go further than ever are heard; trying the same again is not."""

from __future__ import annotations

from pathlib import Path

from support.clock import FakeClock
from support.fake_store import FakeStore

from syncd.act.body import HeldBody, sum_of_span
from syncd.act.pulse import BodyName, HeardBody, HeardStore, Pulse
from syncd.adapters.disk import LocalDisk
from syncd.adapters.s3.sums import AwsSums
from syncd.decide.plan import spans
from syncd.model import Algorithm, Condition, Target

NAME = BodyName("token", 1)


def heard(data: bytes, pulse: Pulse) -> HeardBody:
    return HeardBody(HeldBody(memoryview(data), "sum"), NAME, pulse)


def test_a_block_is_heard_when_the_next_one_is_asked_for(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    body = heard(b"abcd", pulse)
    assert (bytes(body.read_at(0, 2)), body.size, body.checksum) == (b"ab", 4, "sum")
    assert pulse.moved_at("token") is None
    clock.advance(7)
    body.read_at(2, 2)
    assert pulse.moved_at("token") == clock.monotonic()
    assert pulse.moved_at("another") is None
    assert pulse.moved_at(None) is None


def test_a_body_that_is_signed_first_is_heard_again_while_it_is_sent(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    body = heard(b"abcd", pulse)
    body.read_at(0, 2), body.read_at(2, 2)
    clock.advance(7)
    body.read_at(0, 2), body.read_at(2, 2)
    assert pulse.moved_at("token") == clock.monotonic()


def test_further_attempts_are_silent_until_they_get_further(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    body = heard(b"abcd", pulse)
    for _ in range(2):
        body.read_at(0, 2), body.read_at(2, 2)
    last = clock.monotonic()
    clock.advance(7)
    body.read_at(0, 2), body.read_at(2, 2)
    again = heard(b"abcd", pulse)
    again.read_at(0, 2), again.read_at(2, 1)
    assert pulse.moved_at("token") == last


def test_an_acknowledged_part_is_heard_however_small_it_is(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    store = HeardStore(FakeStore(), pulse)
    target = Target(bucket="b", key="k", algorithm=Algorithm.NONE, token="token")
    clock.advance(3)
    store.put(target, HeldBody(memoryview(b"abc"), ""), Condition())
    assert pulse.moved_at("token") == clock.monotonic()


def test_it_remembers_no_more_than_it_must(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    for number in range(20_000):
        pulse.went(BodyName(f"token-{number}", 1), 5)
    assert len(pulse._furthest) == len(pulse._moved_at) == 10_000
    assert pulse.moved_at("token-19999") is not None


def test_a_file_that_is_read_to_be_compared_is_heard_block_by_block(clock: FakeClock, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"x" * 25)
    pulse, heard = Pulse(clock), list[float]()

    def looked() -> None:
        clock.advance(700.0)
        pulse.looked()
        heard.append(pulse.last_at())

    began = pulse.last_at()
    file = LocalDisk().open(bytes(tmp_path), b"film")
    try:
        [span] = spans(25, None)
        sum_of_span(file, span, memoryview(bytearray(10)), Algorithm.SHA256, AwsSums(), looked)
    finally:
        file.close()
    assert heard == [began + 700.0, began + 1400.0, began + 2100.0]
