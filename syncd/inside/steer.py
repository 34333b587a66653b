"""What a person may want of syncd as a whole: that it pauses, that it goes on, that it looks through its folders now.

A pause stands in the ledger, so it survives restarts and can be asked for where no daemon runs.
"""

from __future__ import annotations

from typing import Any

from syncd.console.status import moment
from syncd.errors import SyncdError
from syncd.inside.scene import Scene, shown
from syncd.model import Pause


def pause(seconds: float | None, scene: Scene) -> dict[str, Any]:
    """Nothing is sent for so long; None: until `resume`. Twice: the later word counts. Raises LedgerFailure."""
    now = scene.clock.now()
    wanted = Pause(since=now, until=None if seconds is None else now + seconds)
    _set(wanted, scene)
    return {"since": moment(wanted.since), "until": moment(wanted.until)}


def resume(scene: Scene) -> dict[str, Any]:
    """The pause is over; says whether there was one. Raises LedgerFailure."""
    was = scene.pause()
    _set(None, scene)
    return {"was_paused": was is not None}


def _set(wanted: Pause | None, scene: Scene) -> None:
    if scene.live is None:
        scene.ledger.set_pause(wanted)
    else:
        scene.live.clerk.pause(wanted)


def rescan(scene: Scene) -> dict[str, Any]:
    """Every folder is scanned now; those that cannot be say why. Raises SyncdError where no daemon runs."""
    if scene.live is None:
        raise SyncdError("syncd is not running", hint="at its start it scans every folder")
    scene.live.clerk.rescan()
    folders = []
    for path, policy in scene.folders.items():
        trouble = scene.trouble(path)
        folders.append(
            {"name": policy.name, "path": shown(path), "reason": trouble[0] if trouble is not None else None}
        )
    return {"folders": folders}
