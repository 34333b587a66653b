"""What the page and the metrics show: the status and its neighbours, of one moment. Reads only; safe from any thread."""

from __future__ import annotations

from syncd.act.meter import MINUTES
from syncd.console.facts import ParkedFacts, Readings
from syncd.inside.scene import Live, Scene
from syncd.inside.status import status_facts
from syncd.model import Standing, Totals

PARKED_SHOWN = 50


def readings(scene: Scene) -> Readings:
    """How things stand now. Raises LedgerFailure."""
    status, live = status_facts(scene), scene.live
    meter = live.meter if live else None
    return Readings(
        status=status,
        last_hour=meter.last_hour() if meter else (0,) * MINUTES,
        bodies=meter.bodies() if meter else {},
        retries=meter.retries() if meter else {},
        ledger_bytes=scene.ledger.size_bytes(),
        work_since=scene.ledger.work_since(status.now),
        moved_s=_moved_s(live, status.totals, scene),
        round_s=scene.clock.monotonic() - live.clerk.came_round_at if live else 0.0,
        parked=_parked(scene) if status.counts.parked else (),
    )


def _moved_s(live: Live | None, totals: Totals, scene: Scene) -> float:
    """By bytes that went further than ever, or by a file that was proven: it may have been there already."""
    proven_s = scene.clock.now() - (totals.last_success_at or 0.0)
    if live is None or live.pulse is None:
        return max(proven_s, 0.0)
    heard_s = scene.clock.monotonic() - live.pulse.last_at()
    return min(heard_s, proven_s) if proven_s >= 0 else heard_s


def _parked(scene: Scene) -> tuple[ParkedFacts, ...]:
    rows = scene.ledger.listed(Standing.PARKED, 0, PARKED_SHOWN)
    return tuple(
        ParkedFacts(path=row.folder + b"/" + row.path, reason=row.parked_reason or "", hint=row.hint)
        for row in rows
    )
