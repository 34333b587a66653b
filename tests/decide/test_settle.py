"""A file settles when it was the same for the whole quiet time, nobody writes it, and its marker is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncd.decide.settle import Look, LookAgain, Missing, Settled, SettlePolicy, judge, marker_path
from syncd.model import Fingerprint, Writer

FILE = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
QUIET = SettlePolicy(quiet_s=10.0)

fingerprints = st.builds(
    Fingerprint,
    **{name: st.integers(0, 1) for name in ("dev", "inode", "size", "mtime_ns", "ctime_ns")},
)
policies = st.builds(
    SettlePolicy,
    quiet_s=st.sampled_from([0.0, 0.5, 10.0, 600.0]),
    check_writer=st.booleans(),
    marker=st.sampled_from([None, "{name}.done"]),
)


def look(since: float = 10.0, **facts: Any) -> Look:
    plain = Look(since_first_s=since, known=FILE, seen=FILE, writer=Writer.NONE, marker_there=None)
    return replace(plain, **facts)


@given(
    policies,
    st.builds(
        Look,
        since_first_s=st.floats(0, 1000),
        known=fingerprints,
        seen=st.one_of(st.none(), fingerprints),
        writer=st.sampled_from(Writer),
        marker_there=st.sampled_from([None, True, False]),
    ),
)
def test_it_settles_exactly_when_nothing_speaks_against_it(policy: SettlePolicy, look: Look) -> None:
    same = look.seen == look.known and look.since_first_s >= policy.quiet_s
    free = look.writer is not Writer.OPEN or not policy.check_writer
    answer = judge(policy, look)
    assert isinstance(answer, Settled) is (same and free and look.marker_there is not False)
    assert isinstance(answer, Missing) is (look.seen is None)
    if isinstance(answer, LookAgain):
        assert 0 < answer.after_s <= max(policy.quiet_s, 1.0)
        assert answer.restart is (look.seen != look.known)
        assert answer.why


@pytest.mark.parametrize(
    ("seen", "after_s", "why", "restart"),
    [
        (look(0.0), 10.0, "it must stay unchanged for 10 s", False),
        (look(9.5), 0.5, "it must stay unchanged for 10 s", False),
        (look(writer=Writer.OPEN), 10.0, "a program has it open for writing", False),
        (look(marker_there=False), 10.0, "its marker {name}.done is not there", False),
        (look(seen=replace(FILE, ctime_ns=6)), 10.0, "it changed since the last look", True),
        (
            look(99.0, seen=replace(FILE, size=4), writer=Writer.OPEN),
            10.0,
            "it changed since the last look",
            True,
        ),
    ],
)
def test_what_it_waits_for_is_said(seen: Look, after_s: float, why: str, restart: bool) -> None:
    policy = replace(QUIET, marker="{name}.done")
    assert judge(policy, seen) == LookAgain(after_s, why, restart)


@pytest.mark.parametrize(
    ("policy", "seen", "why"),
    [
        (QUIET, look(10.0), "unchanged for 10 s, nobody has it open for writing"),
        (
            QUIET,
            look(31.4, writer=Writer.UNKNOWN),
            "for 31 s, whether somebody has it open cannot be told here",
        ),
        (replace(QUIET, check_writer=False), look(writer=Writer.OPEN), "for 10 s, writers are not asked for"),
        (QUIET, look(marker_there=True), "nobody has it open for writing, its marker is there"),
        (SettlePolicy(quiet_s=0.0), look(0.0), "unchanged for 0 s, nobody has it open for writing"),
    ],
)
def test_why_it_settled_is_said_and_no_more_than_is_known(policy: SettlePolicy, seen: Look, why: str) -> None:
    answer = judge(policy, seen)
    assert isinstance(answer, Settled)
    assert answer.why.endswith(why)


def test_without_a_quiet_time_one_look_is_enough_but_a_growing_file_is_not_looked_at_without_pause() -> None:
    policy = SettlePolicy(quiet_s=0.0)
    assert isinstance(judge(policy, look(0.0)), Settled)
    answer = judge(policy, look(0.0, seen=replace(FILE, size=4)))
    assert isinstance(answer, LookAgain)
    assert answer.after_s >= 1.0


@pytest.mark.parametrize(
    ("marker", "path", "expected"),
    [
        (None, b"a.mp4", None),
        ("{name}.done", b"a.mp4", b"a.mp4.done"),
        ("{stem}.done", b"sub/a.tar.gz", b"sub/a.tar.done"),
        ("{stem}.ok{suffix}", b"d.x/\xff.mp4", b"d.x/\xff.ok.mp4"),
        ("COMPLETE", b"sub/deep/a", b"sub/deep/COMPLETE"),
        ("é{name}", b"a", "éa".encode()),
    ],
)
def test_the_marker_lies_beside_the_file(marker: str | None, path: bytes, expected: bytes | None) -> None:
    assert marker_path(SettlePolicy(marker=marker), path) == expected


class Looks(RuleBasedStateMachine):
    """Looks at random moments at a file that changes at random; the book-keeping is that of the clerk."""

    @initialize(
        quiet=st.sampled_from([0.0, 2.0, 10.0]), check=st.booleans(), marker=st.sampled_from([None, "m"])
    )
    def begin(self, quiet: float, check: bool, marker: str | None) -> None:
        self.policy = SettlePolicy(quiet_s=quiet, check_writer=check, marker=marker)
        self.time, self.version = 0.0, 0
        self.writer, self.marker = Writer.NONE, False
        self.changed_at = 0.0
        self.settled = self.gone = False
        self.first, self.known = 0.0, self.file()

    def file(self) -> Fingerprint:
        return replace(FILE, ctime_ns=self.version)

    @rule(seconds=st.sampled_from([0.125, 1.0, 4.0, 10.0, 60.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.time += seconds

    @rule()
    def somebody_writes(self) -> None:
        self.version += 1
        self.changed_at, self.settled = self.time, False

    @rule(writer=st.sampled_from(Writer))
    def somebody_opens_or_closes_it(self, writer: Writer) -> None:
        self.writer, self.settled = writer, False

    @rule(there=st.booleans())
    def the_marker_comes_or_goes(self, there: bool) -> None:
        self.marker, self.settled = there, False

    @rule()
    def the_clerk_looks(self) -> None:
        answer = judge(self.policy, self.a_look())
        if isinstance(answer, LookAgain) and answer.restart:
            self.first, self.known = self.time, self.file()
        self.settled = isinstance(answer, Settled)

    @rule()
    def left_alone_it_settles(self) -> None:
        """With nobody writing and the marker there, the looks that are asked for come to an end."""
        self.writer, self.marker = Writer.NONE, True
        for _ in range(3):
            answer = judge(self.policy, self.a_look())
            if not isinstance(answer, LookAgain):
                break
            if answer.restart:
                self.first, self.known = self.time, self.file()
            self.time += answer.after_s
        assert isinstance(answer, Settled)

    def a_look(self) -> Look:
        return Look(
            since_first_s=self.time - self.first,
            known=self.known,
            seen=self.file(),
            writer=self.writer,
            marker_there=None if self.policy.marker is None else self.marker,
        )

    @invariant()
    def what_settled_was_quiet_unwritten_and_marked(self) -> None:
        if getattr(self, "settled", False):
            assert self.time - self.changed_at >= self.policy.quiet_s
            assert self.writer is not Writer.OPEN or not self.policy.check_writer
            assert self.marker or self.policy.marker is None


TestLooks = Looks.TestCase
