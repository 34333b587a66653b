"""When a local file may go: only with a real proof, at its age, and with certainty that nobody writes it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from syncd.decide.dispose import DisposalPolicy, Go, Later, Situation, Stay, judge, waits_for_age
from syncd.model import Proof, ProofKind, Writer

DELETE = DisposalPolicy(delete=True)
MOVE = DisposalPolicy(move_to=b"/srv/sent")
PROVEN = Proof(ProofKind.CHECKSUM, "crc64nvme AAAA", "HEAD shows our checksum")


def situation(**known: Any) -> Situation:
    usual: dict[str, Any] = {"proof": PROVEN, "age_s": 10.0, "writer": Writer.NONE, "has_marker": False}
    return Situation(**(usual | known))


@pytest.mark.parametrize("policy", [DELETE, MOVE])
def test_a_proven_file_that_nobody_writes_goes_if_the_kernel_still_says_so(policy: DisposalPolicy) -> None:
    assert judge(policy, situation()) == Go(ask_again=True)


def test_a_kept_file_stays_whatever_is_known() -> None:
    for writer, proof in itertools.product(Writer, (None, PROVEN)):
        assert judge(DisposalPolicy(), situation(writer=writer, proof=proof)) == Stay("the file is kept")


@pytest.mark.parametrize("proof", [None, Proof(ProofKind.SIZE, "5", "HEAD shows our token and size")])
def test_size_is_no_proof(proof: Proof | None) -> None:
    answer = judge(DELETE, situation(proof=proof, age_s=1e9, has_marker=True))
    assert isinstance(answer, Stay)
    assert "only the size" in answer.why


@pytest.mark.parametrize("kind", [ProofKind.CHECKSUM, ProofKind.MD5, ProofKind.MD5_PARTS])
def test_every_real_proof_is_enough(kind: ProofKind) -> None:
    assert isinstance(judge(DELETE, situation(proof=Proof(kind, "x", "y"))), Go)


def test_a_young_file_waits_for_just_as_long_as_it_is_too_young() -> None:
    answer = judge(DisposalPolicy(delete=True, min_age_s=100.0), situation(age_s=30.0))
    assert isinstance(answer, Later)
    assert answer.after_s == pytest.approx(70.0)
    assert waits_for_age(answer.why)


def test_an_open_file_waits_even_where_a_rule_would_let_it_go() -> None:
    for policy in (DELETE, DisposalPolicy(delete=True, min_age_s=7200.0)):
        answer = judge(policy, situation(writer=Writer.OPEN, age_s=1e9, has_marker=True))
        assert isinstance(answer, Later)
        assert not waits_for_age(answer.why)


def test_where_writers_cannot_be_told_a_marker_or_an_hour_is_certainty_and_nothing_else() -> None:
    assert judge(DELETE, situation(writer=Writer.UNKNOWN, has_marker=True)) == Go(ask_again=False)
    hour = DisposalPolicy(delete=True, min_age_s=3600.0)
    assert judge(hour, situation(writer=Writer.UNKNOWN, age_s=3600.0)) == Go(ask_again=False)
    short = DisposalPolicy(delete=True, min_age_s=3599.0)
    answer = judge(short, situation(writer=Writer.UNKNOWN, age_s=1e9))
    assert isinstance(answer, Stay)
    assert "marker" in answer.why


def test_a_clock_that_went_back_makes_nothing_old() -> None:
    answer = judge(DisposalPolicy(delete=True, min_age_s=60.0), situation(age_s=-7200.0))
    assert isinstance(answer, Later)
