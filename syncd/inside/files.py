"""The files that the ledger knows, a page at a time, each as `explain` would tell of it. Reads only."""

from __future__ import annotations

from typing import Any

from syncd.console.status import moment
from syncd.decide.retry import FAR_FUTURE_S
from syncd.decide.states import LIVE
from syncd.inside.explain import how_far
from syncd.inside.scene import Scene, shown
from syncd.model import Standing, Transfer

PAGE = 1000


def files_document(standing: Standing | None, after: int, scene: Scene) -> dict[str, Any]:
    """Files that stand so (None: all there are), oldest first; `next` goes on from there, null after the last."""
    rows = scene.ledger.listed(standing, after, PAGE)
    return {
        "files": [_file(row, scene) for row in rows],
        "next": str(rows[-1].id) if len(rows) == PAGE else None,
    }


def _file(row: Transfer, scene: Scene) -> dict[str, Any]:
    waits = row.state in LIVE and 0 < row.not_before - scene.clock.now() <= FAR_FUTURE_S
    return {
        "path": shown(row.folder + b"/" + row.path),
        "state": row.state.value,
        "key": row.key,
        "proof": row.proof.kind.value if row.proof else None,
        "size": row.fingerprint.size,
        "sent": how_far(row, scene)[0],
        "not_before": moment(row.not_before) if waits else None,
        "parked_reason": row.parked_reason,
    }
