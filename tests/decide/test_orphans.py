"""Whose an open upload is, and what is never aborted."""

from __future__ import annotations

import pytest

from syncd.decide.orphans import OLD_ENOUGH_S, Owners, Standing, alone_below, sort
from syncd.model import OpenUpload

NOW = 1_800_000_000.0
OLD = NOW - OLD_ENOUGH_S


def upload(key: str, at: float = OLD) -> OpenUpload:
    return OpenUpload(key=key, upload_id=f"u-{key}", initiated_at=at)


@pytest.mark.parametrize(
    ("owners", "standing"),
    [
        (Owners(uploads=(), creating=(), leaving=()), Standing.ORPHAN),
        (Owners(uploads=("u-k",), creating=(), leaving=()), Standing.OWNED),
        (Owners(uploads=(), creating=("k",), leaving=()), Standing.OWNED),
        (Owners(uploads=(), creating=("k2",), leaving=("u-k2",)), Standing.ORPHAN),
        (Owners(uploads=(), creating=(), leaving=("u-k",)), Standing.LEAVING),
        (Owners(uploads=("u-k",), creating=(), leaving=("u-k",)), Standing.OWNED),
    ],
)
def test_only_what_nobody_owns_is_an_orphan(owners: Owners, standing: Standing) -> None:
    [found] = sort([upload("k")], owners, NOW)
    assert found.standing is standing


def test_what_is_younger_than_a_day_is_left_alone_also_when_clocks_disagree() -> None:
    nobody = Owners(uploads=(), creating=(), leaving=())
    found = sort([upload("a", OLD + 1), upload("b", NOW + 9), upload("c", OLD - 5)], nobody, NOW)
    assert [(each.upload.key, each.standing) for each in found] == [
        ("c", Standing.ORPHAN),
        ("a", Standing.YOUNG),
        ("b", Standing.YOUNG),
    ]
    assert [each.age_s for each in found] == [OLD_ENOUGH_S + 5, OLD_ENOUGH_S - 1, 0.0]


@pytest.mark.parametrize(
    ("prefix", "configured", "alone"),
    [
        ("cam-07/", None, True),
        ("tenant/cam-07/", "tenant/cam-07/", True),
        ("all/", "all/", False),
        ("", "", False),
        ("", None, False),
    ],
)
def test_a_prefix_that_others_may_share_is_not_ours_alone(
    prefix: str, configured: str | None, alone: bool
) -> None:
    assert alone_below(prefix, configured, "cam-07") is alone
