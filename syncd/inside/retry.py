"""Another chance by hand: parked files are no longer parked, waiting ones are due now.

Goes by compare-and-set like every change: where a worker was faster, the row is read again and judged anew. Doing it
twice changes nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncd.act.recheck import new_version
from syncd.decide.states import LIVE
from syncd.errors import RowMoved
from syncd.inside.places import locate, row_of_former_folder
from syncd.inside.scene import Scene, shown
from syncd.model import Amend, Change, Columns, State, SuspectOrphan, Transfer

TRIES = 3
BATCH = 500
SHOWN = 1000
_PLANNED = frozenset({State.PLANNED, State.CREATING, State.UPLOADING})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one path."""

    path: str
    retried: bool
    text: str


def retry_paths(paths: list[bytes], scene: Scene, *, replan: bool = False) -> list[Outcome]:
    """What was done for each path, in order; `replan`: what is planned is planned anew. Raises LedgerFailure."""
    outcomes = [_retry_path(path, scene, replan=replan) for path in paths]
    _wake(scene)
    return outcomes


def retry_all(scene: Scene, *, replan: bool = False) -> list[Outcome]:
    """What was done for everything that is parked or waits. Raises LedgerFailure."""
    counts, now = scene.ledger.counts(), scene.clock.now()
    rows = [
        row
        for row in scene.ledger.live(counts.pending + counts.parked)
        if row.parked_reason is not None or row.not_before > now
    ]
    outcomes: list[Outcome] = []
    for first in range(0, len(rows), BATCH):
        outcomes.extend(_retry_batch(rows[first : first + BATCH], scene, replan=replan))
    _wake(scene)
    return outcomes


def _retry_batch(rows: list[Transfer], scene: Scene, *, replan: bool) -> list[Outcome]:
    """Many rows in one transaction; where one of them has moved, each by itself."""
    left = {row.id: _nothing_to_do(row, scene, replan=replan) for row in rows}
    going = [row for row in rows if left[row.id] is None]
    try:
        scene.ledger.commit([change for row in going for change in _changes(row, replan=replan)])
    except RowMoved:
        return [_retry(_name(row), row, scene, replan=replan) for row in rows]
    for row in going:
        _ask_for_a_look(row, scene, replan=replan)
    return [
        Outcome(_name(row), left[row.id] is None, left[row.id] or _done(row, scene, replan=replan))
        for row in rows
    ]


def _name(row: Transfer) -> str:
    return shown(row.folder + b"/" + row.path)


def retry_document(outcomes: list[Outcome]) -> dict[str, Any]:
    """How many were retried and left, and the first thousand by name."""
    retried = sum(outcome.retried for outcome in outcomes)
    return {
        "retried": retried,
        "left": len(outcomes) - retried,
        "paths": [
            {"path": outcome.path, "retried": outcome.retried, "text": outcome.text}
            for outcome in outcomes[:SHOWN]
        ],
    }


def _wake(scene: Scene) -> None:
    if scene.live is not None:
        scene.live.gate.probe_now()
        scene.live.mailbox.wake()


def _retry_path(path: bytes, scene: Scene, *, replan: bool) -> Outcome:
    place = locate(path, scene)
    row = scene.ledger.at(*place) if place and place[1] else None
    if place is None:
        row = row_of_former_folder(path, scene)
    if row is None:
        return Outcome(shown(path), False, "syncd does not know it; syncd explain says why")
    return _retry(shown(path), row, scene, replan=replan)


def _retry(name: str, row: Transfer, scene: Scene, *, replan: bool) -> Outcome:
    for _ in range(TRIES):
        left = _nothing_to_do(row, scene, replan=replan)
        if left is not None:
            return Outcome(name, False, left)
        try:
            scene.ledger.commit(_changes(row, replan=replan))
        except RowMoved:
            moved = scene.ledger.get(row.id)
            if moved is None:
                return Outcome(name, False, "it is gone from the ledger")
            row = moved
        else:
            _ask_for_a_look(row, scene, replan=replan)
            return Outcome(name, True, _done(row, scene, replan=replan))
    return Outcome(name, False, "it is on the move just now")


def _nothing_to_do(row: Transfer, scene: Scene, *, replan: bool) -> str | None:
    """Why a row is neither parked nor waiting, or cannot be planned anew; None if it is, and can."""
    if row.state not in LIVE:
        return f"there is nothing to retry: it is {row.state}"
    if replan and row.state is State.COMPLETING:
        return "it is not planned anew: first it is to be found out whether its object is there already"
    if _is_replanned(row, replan=replan) and row.folder not in scene.folders:
        return "it is not planned anew: its folder is no longer watched"
    if row.parked_reason is not None:
        return None
    if row.state is State.DISCOVERED:
        return "there is nothing to retry: it is not known to be finished yet"
    if scene.live is not None and row.id in scene.live.clerk.busy():
        return "there is nothing to retry: it is on its way just now"
    return None


def _is_replanned(row: Transfer, *, replan: bool) -> bool:
    return replan and row.state in _PLANNED


def _changes(row: Transfer, *, replan: bool) -> list[Change]:
    """Its plan is fixed, so another plan is for another row: this one makes place, its upload is aborted."""
    if not _is_replanned(row, replan=replan):
        return [_amend(row)]
    orphan: list[Change] = [SuspectOrphan()] if row.state is State.CREATING else []
    return [*orphan, *new_version(row, row.fingerprint, "planned anew by hand")]


def _ask_for_a_look(row: Transfer, scene: Scene, *, replan: bool) -> None:
    """The new row settles like every other."""
    if scene.live is not None and _is_replanned(row, replan=replan):
        scene.live.mailbox.path(row.folder, row.path)


def _amend(row: Transfer) -> Amend:
    sets = Columns(parked_reason=None, hint=None, attempts=0, strikes=0, not_before=0.0)
    return Amend(id=row.id, was=row.state, sets=sets, why="retried by hand")


def _when(scene: Scene) -> str:
    if scene.live is None:
        return "when syncd runs again"
    if scene.pause() is not None:
        return "as soon as syncd is resumed"
    closed = scene.live.gate.closed()
    return "now" if closed is None else f"as soon as the destination takes work again ({closed.text})"


def _done(row: Transfer, scene: Scene, *, replan: bool) -> str:
    when = _when(scene)
    if _is_replanned(row, replan=replan):
        return f"planned anew when it has settled, tried {when} (was to go to {row.key})"
    if row.parked_reason is not None:
        return f"no longer parked, tried {when} (was: {row.parked_reason})"
    return f"tried {when}" if row.not_before > scene.clock.now() else f"was due already, tried {when}"
