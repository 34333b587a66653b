"""Whether a pause that a person asked for still holds, by a wall clock that may have been set meanwhile."""

from __future__ import annotations

from dataclasses import replace

from syncd.decide import words
from syncd.model import Pause

SLACK_S = 1.0
RESUME = "syncd resume ends it"


def holds(pause: Pause | None, now: float) -> bool:
    """Whether nothing may be sent now."""
    return pause is not None and (pause.until is None or now < pause.until)


def rebased(pause: Pause, now: float) -> Pause:
    """The same span from now on, if the clock shows a time before the pause was asked for: it was set back since."""
    if now >= pause.since - SLACK_S:
        return pause
    until = None if pause.until is None else now + (pause.until - pause.since)
    return replace(pause, since=now, until=until)


def told(pause: Pause) -> str:
    """`paused by hand until 2026-11-25T08:00:00Z`."""
    return "paused by hand" + ("" if pause.until is None else f" until {words.moment(pause.until)}")
