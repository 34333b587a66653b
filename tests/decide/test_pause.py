"""When a pause holds, whatever becomes of the clock."""

from __future__ import annotations

import pytest

from syncd.decide.pause import holds, rebased, told
from syncd.model import Pause

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("pause", "now", "held"),
    [
        (None, NOW, False),
        (Pause(since=NOW), NOW + 1e9, True),
        (Pause(since=NOW, until=NOW + 60), NOW + 59, True),
        (Pause(since=NOW, until=NOW + 60), NOW + 60, False),
        (Pause(since=NOW, until=NOW + 60), NOW - 1e6, True),
    ],
)
def test_a_pause_holds_until_its_end_or_until_somebody_ends_it(
    pause: Pause | None, now: float, held: bool
) -> None:
    assert holds(pause, now) is held


def test_under_a_clock_that_was_set_back_it_lasts_as_long_as_was_asked_for_and_no_longer() -> None:
    pause = Pause(since=NOW, until=NOW + 60)
    early = NOW - 86_400
    assert rebased(pause, early) == Pause(since=early, until=early + 60)
    assert rebased(pause, NOW + 5) == pause
    assert rebased(Pause(since=NOW), early) == Pause(since=early)


def test_a_pause_is_told_with_its_end() -> None:
    assert told(Pause(since=NOW)) == "paused by hand"
    assert told(Pause(since=NOW, until=NOW + 60)) == "paused by hand until 2027-01-15T08:01:00Z"
