"""Whether all is well, for a monitor that knows yes and no: something got on lately, or nothing is to do. Pure.

A pause is a person's will, so it is well. So is a device whose files are not finished yet. A destination that locks us out is
not, once that has lasted.
"""

from __future__ import annotations

from datetime import datetime

from syncd.console.facts import Readings
from syncd.console.headline import Document, opening, weightiest
from syncd.decide.words import span

PATIENCE_S = 600.0


def unwell(readings: Readings, document: Document) -> str | None:
    """What is wrong, in one sentence; None: nothing is. `document`: the status made of the same readings."""
    if readings.round_s > PATIENCE_S:
        return f"the daemon has not come round for {span(readings.round_s)}"
    if readings.status.paused is not None:
        return None
    waits_s = _waits_s(readings, document)
    if waits_s <= PATIENCE_S:
        return None
    return f"nothing has got on for {span(waits_s)}: {opening(document)}"


def _waits_s(readings: Readings, document: Document) -> float:
    """How long there has been something to do and nothing came of it."""
    if document["state"] == "blocked":
        since = (weightiest(document) or {}).get("since")
        blocked_at = 0.0 if since is None else datetime.fromisoformat(since).timestamp()
        return min(readings.moved_s, readings.status.now - blocked_at)
    begun = readings.work_since
    return 0.0 if begun is None else min(readings.moved_s, readings.status.now - begun)
