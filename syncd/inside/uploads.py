"""Which uploads the ledger owns: what goes on, what is being opened, what is given up. Reads only."""

from __future__ import annotations

from typing import Any

from syncd.inside.scene import Scene
from syncd.model import State

_EVER = 1e12
_ALL = 2**31


def uploads_document(scene: Scene) -> dict[str, Any]:
    """`uploads` that go on, `creating`: keys whose upload may not be recorded yet, `leaving`: to be aborted."""
    rows = scene.ledger.with_uploads()
    return {
        "uploads": [row.upload_id for row in rows if row.upload_id is not None],
        "creating": [row.key for row in rows if row.state is State.CREATING],
        "leaving": [each.upload_id for each in scene.ledger.aborts(_EVER, _ALL)],
    }
