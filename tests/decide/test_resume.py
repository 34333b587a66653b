"""What of an interrupted upload still counts: every part of the plan is kept, checked or sent, and never two of these."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.decide.plan import spans
from syncd.decide.resume import Reconciled, agree, reconcile
from syncd.model import Part, PartSpan

A = Part(number=1, size=10, etag='"a"', checksum="sum-a")
PLAN = [PartSpan(number=1, offset=0, size=10), PartSpan(number=2, offset=10, size=3)]

parts = st.builds(
    Part,
    number=st.integers(1, 6),
    size=st.sampled_from([10, 10, 10, 3, 0]),
    etag=st.sampled_from(['"a"', '"b"', "a"]),
    checksum=st.sampled_from([None, "sum-a", "sum-b"]),
)
lists = st.lists(parts, max_size=6, unique_by=lambda part: part.number)
plans = st.integers(1, 50).map(lambda size: list(spans(size, 10)))


@given(plans, lists, lists)
def test_every_part_of_the_plan_has_one_fate(
    plan: list[PartSpan], recorded: list[Part], listed: list[Part]
) -> None:
    found = reconcile(plan, recorded, listed)
    fates = [
        *(part.number for part in found.keep),
        *(span.number for span, _ in found.check),
        *(span.number for span in found.send),
    ]
    assert sorted(fates) == [span.number for span in plan]


@given(plans, lists, lists)
def test_nothing_counts_that_plan_ledger_and_store_do_not_agree_on(
    plan: list[PartSpan], recorded: list[Part], listed: list[Part]
) -> None:
    found = reconcile(plan, recorded, listed)
    ours, theirs = ({part.number: part for part in some} for some in (recorded, listed))
    sizes = {span.number: span.size for span in plan}
    for part in found.keep:
        there = theirs[part.number]
        assert part == ours[part.number]
        assert part.size == there.size == sizes[part.number]
        assert part.etag.strip('"') == there.etag.strip('"')
        assert len({part.checksum, there.checksum} - {None}) <= 1
    for span, there in found.check:
        assert there == theirs[span.number]
        assert there.size == span.size


@given(plans, lists, lists)
def test_what_the_store_has_in_full_is_not_sent_again_unseen(
    plan: list[PartSpan], recorded: list[Part], listed: list[Part]
) -> None:
    whole = {
        part.number
        for part in listed
        for span in plan
        if (span.number, span.size) == (part.number, part.size)
    }
    assert {span.number for span in reconcile(plan, recorded, listed).send}.isdisjoint(whole)


@pytest.mark.parametrize(
    ("recorded", "listed", "fate"),
    [
        ([A], [A], "keep"),
        ([A], [replace(A, etag="a")], "keep"),
        ([A], [replace(A, checksum=None)], "keep"),
        ([replace(A, checksum=None)], [A], "keep"),
        ([], [A], "check"),  # acknowledged, and then we crashed before the record
        ([A], [replace(A, etag='"b"')], "check"),
        ([A], [replace(A, checksum="sum-b")], "check"),
        ([replace(A, size=9)], [A], "check"),
        ([A], [], "send"),
        ([A], [replace(A, size=9)], "send"),
        ([A], [replace(A, number=2)], "send"),
        ([], [], "send"),
    ],
)
def test_the_first_of_two_parts(recorded: list[Part], listed: list[Part], fate: str) -> None:
    found = reconcile(PLAN, recorded, listed)
    assert found == Reconciled(
        keep=(recorded[0],) if fate == "keep" else (),
        check=((PLAN[0], listed[0]),) if fate == "check" else (),
        send=(PLAN[0], PLAN[1]) if fate == "send" else (PLAN[1],),
    )


@given(parts, parts)
def test_agreement_has_no_sides(one: Part, other: Part) -> None:
    assert agree(one, other) is agree(other, one)
    assert agree(one, one)
