"""A plan's bodies are the file, in order and without a gap, within what S3 takes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.decide.plan import MAX_PARTS, MAX_SIZE, MIB, PlanPolicy, part_count, part_size_for, spans
from syncd.errors import Refused
from syncd.model import PartSpan

GIB, TIB = 2**30, 2**40
MIN_PART, MAX_PUT = 5 * MIB, 5 * GIB

policies = st.builds(
    PlanPolicy,
    part_size=st.integers(MIN_PART, MAX_PUT),
    multipart_threshold=st.integers(1, MAX_PUT),
)
sizes = st.one_of(
    st.integers(0, 64 * MIB), st.integers(0, MAX_SIZE), st.sampled_from([MAX_SIZE, MAX_SIZE - 1])
)


@given(sizes, policies)
@example(MAX_SIZE, PlanPolicy())
@example(MAX_PARTS * 16 * MIB + 1, PlanPolicy())
@example(MAX_PUT, PlanPolicy(multipart_threshold=MAX_PUT))
def test_the_plan_of_any_file_is_one_that_s3_takes(size: int, policy: PlanPolicy) -> None:
    part_size = part_size_for(size, policy)
    count = part_count(size, part_size)
    assert 1 <= count <= MAX_PARTS
    if part_size is None:
        assert size < max(1, policy.multipart_threshold)
        assert size <= MAX_PUT
    else:
        assert MIN_PART <= policy.part_size <= part_size <= MAX_PUT
        assert (count - 1) * part_size < size <= count * part_size


@given(st.integers(0, 300 * MIB), policies)
def test_the_parts_together_are_the_file(size: int, policy: PlanPolicy) -> None:
    part_size = part_size_for(size, policy)
    parts = list(spans(size, part_size))
    assert [part.number for part in parts] == list(range(1, part_count(size, part_size) + 1))
    end = 0
    for part in parts:
        assert part.offset == end
        end += part.size
    assert end == size
    assert all(part.size == part_size for part in parts[:-1])
    assert 0 < parts[-1].size <= (part_size or size) if size else parts[-1].size == 0


@given(st.integers(MIN_PART, MAX_PUT), st.integers(1, MAX_PARTS), st.integers(1, MAX_PUT))
def test_the_last_part_of_any_plan_ends_with_the_file(part_size: int, count: int, rest: int) -> None:
    size = (count - 1) * part_size + min(rest, part_size)
    *_, last = spans(size, part_size)
    assert (last.number, last.offset + last.size) == (count, size)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, None),
        (1, None),
        (16 * MIB - 1, None),
        (16 * MIB, 16 * MIB),
        (MAX_PARTS * 16 * MIB, 16 * MIB),
        (MAX_PARTS * 16 * MIB + 1, 17 * MIB),
        (TIB, 105 * MIB),
        (MAX_SIZE, MAX_PUT),
    ],
)
def test_parts_grow_in_whole_mebibytes_only_where_ten_thousand_would_not_do(
    size: int, expected: int | None
) -> None:
    assert part_size_for(size, PlanPolicy()) == expected


@pytest.mark.parametrize("threshold", [1, 16 * MIB])
def test_an_empty_file_is_one_put(threshold: int) -> None:
    assert part_size_for(0, PlanPolicy(multipart_threshold=threshold)) is None
    assert list(spans(0, None)) == [PartSpan(number=1, offset=0, size=0)]


@given(st.integers(MAX_SIZE + 1, 2**63 - 1), policies)
def test_above_what_s3_holds_a_file_is_refused_with_its_size(size: int, policy: PlanPolicy) -> None:
    with pytest.raises(Refused, match=str(size)) as refused:
        part_size_for(size, policy)
    assert refused.value.hint


def test_s3_holds_what_its_page_of_limits_says() -> None:
    assert MAX_SIZE == 10_000 * 5 * GIB
    assert round(MAX_SIZE / TIB, 1) == 48.8
