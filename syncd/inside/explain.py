"""Gather what is known about one path, and put the answer into the contract's document. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from syncd.act.folders import FolderDesk
from syncd.act.world import FolderPolicy
from syncd.console.status import moment
from syncd.decide import explain as rules
from syncd.decide.explain import ExplainFacts, Explanation, FolderFacts, Kind
from syncd.decide.pause import told
from syncd.decide.retry import FAR_FUTURE_S
from syncd.decide.settle import marker_path
from syncd.decide.states import LIVE
from syncd.errors import SyncdError
from syncd.inside.places import locate, row_of_former_folder
from syncd.inside.scene import Live, Scene, shown
from syncd.model import Fingerprint, HistoryEntry, State, Transfer, Writer

AHEAD_AT_MOST = 1000
_SUMMED = frozenset({State.VERIFIED, State.DONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What lies at the path now."""

    kind: Kind = Kind.NOT_ASKED
    seen: Fingerprint | None = None
    writer: Writer = Writer.UNKNOWN
    marker_there: bool | None = None
    since_first_s: float | None = None


def explain_document(path: bytes, scene: Scene) -> dict[str, Any]:
    """The document of the contract for an absolute path. Raises LedgerFailure."""
    place = locate(path, scene)
    busy = (
        scene.live.clerk.busy() if scene.live else set()
    )  # before the row: who ends meanwhile has its end in the row
    row = scene.ledger.at(*place) if place and place[1] else None
    if place is None:
        row = row_of_former_folder(path, scene)
    history = scene.ledger.history(row.folder, row.path) if row else []
    facts = _facts(place, row, history, scene, in_hand=row is not None and row.id in busy)
    name = path if place is None else b"/".join(filter(None, place))
    return _document(name, facts, rules.explain(facts), history)


def _facts(
    place: tuple[bytes, bytes] | None,
    row: Transfer | None,
    history: list[HistoryEntry],
    scene: Scene,
    *,
    in_hand: bool,
) -> ExplainFacts:
    live, now = scene.live, scene.clock.now()
    folder = _folder(place, scene) if place else None
    look = _look(place, row, scene) if place and folder and folder.trouble is None else _Look()
    if folder and row and row.gone_at is None and look.kind is Kind.MISSING:
        folder, look = _missed(folder, look, live.desk(row.folder) if live else None)
    sent, parts_done = how_far(row, scene) if row else (0, 0)
    closed = live.gate.closed() if live else None
    pause = scene.pause()
    return ExplainFacts(
        now=now,
        running=live is not None,
        watched=tuple(shown(path) for path in scene.folders),
        folder=folder,
        is_root=place is not None and not place[1],
        kind=look.kind,
        seen=look.seen,
        writer=look.writer,
        marker_there=look.marker_there,
        since_first_s=look.since_first_s,
        row=row,
        why=history[-1].why if history else None,
        sent=sent,
        parts_done=parts_done,
        in_hand=in_hand,
        ahead=_ahead(row, scene) if row and live and not in_hand and closed is None else None,
        ahead_at_most=AHEAD_AT_MOST,
        closed=(closed.text, closed.hint) if closed else None,
        paused=told(pause) if pause else None,
    )


def _folder(place: tuple[bytes, bytes], scene: Scene) -> FolderFacts:
    folder, path = place
    policy = scene.folders[folder]
    desk = scene.live.desk(folder) if scene.live else None
    trouble = scene.trouble(folder)
    return FolderFacts(
        name=policy.name,
        settle=policy.settle,
        exclusion=_exclusion(policy, path, scene) if path else None,
        trouble=trouble[0] if trouble else None,
        hint=trouble[1] if trouble else None,
        rescan_s=policy.rescan_s,
        last_scan_at=desk.last_scan_at if desk else None,
    )


def _missed(folder: FolderFacts, look: _Look, desk: FolderDesk | None) -> tuple[FolderFacts, _Look]:
    """What is missing from a folder that waits, such as one whose disk was taken away, is not known to be gone."""
    if desk is None or desk.state != "waiting" or desk.blind or not desk.reason:
        return folder, look
    return replace(folder, trouble=desk.reason, hint=desk.hint), _Look()


def _exclusion(policy: FolderPolicy, path: bytes, scene: Scene) -> str | None:
    """Why a path is not meant; a directory that is entered is not excluded by what fits files only."""
    if scene.sight.kind_of(policy.path, path) == Kind.DIRECTORY and policy.selection.descends(path):
        return None
    return policy.selection.exclusion(path)


# -- a look of our own, by the rules of the step that settles


def _look(place: tuple[bytes, bytes], row: Transfer | None, scene: Scene) -> _Look:
    folder, path = place
    kind = Kind(scene.sight.kind_of(folder, path))
    if kind is not Kind.FILE:
        return _Look(kind=kind)
    try:
        seen = scene.disk.look(folder, path)
        if row is None or row.state is not State.DISCOVERED or scene.live is None:
            return _Look(kind=kind, seen=seen)
        return _settling(row, seen, scene.folders[folder], scene, scene.live)
    except SyncdError:
        return _Look(kind=Kind.HIDDEN)


def _settling(
    row: Transfer, seen: Fingerprint | None, policy: FolderPolicy, scene: Scene, live: Live
) -> _Look:
    """Only a file that has been quiet for long enough is asked for writers: asking may be in a writer's way."""
    since = _since_first(row, scene, live)
    quiet = seen == row.fingerprint and since is not None and since >= policy.settle.quiet_s
    ask = quiet and policy.settle.check_writer
    marker = marker_path(policy.settle, row.path)
    return _Look(
        kind=Kind.FILE,
        seen=seen,
        writer=scene.disk.writer(row.folder, row.path) if ask else Writer.UNKNOWN,
        marker_there=scene.disk.exists(row.folder, marker) if quiet and marker is not None else None,
        since_first_s=since,
    )


def _since_first(row: Transfer, scene: Scene, live: Live) -> float | None:
    try:
        return scene.clock.monotonic() - live.clerk.looks.first(row.id)
    except KeyError:  # the clerk owns the looks: not begun, or just ended
        return None


# -- how far, and whose turn


def how_far(row: Transfer, scene: Scene) -> tuple[int, int]:
    """Bytes and parts that the destination has acknowledged."""
    if row.state in _SUMMED:
        return row.fingerprint.size, 0
    for progress in scene.live.board.live() if scene.live else ():
        if progress.transfer == row.id:
            return progress.sent, progress.parts_done
    parts = scene.ledger.parts(row.id)
    return sum(part.size for part in parts), len(parts)


def _ahead(row: Transfer, scene: Scene) -> int | None:
    if row.state not in LIVE or row.state is State.DISCOVERED or row.parked_reason is not None:
        return None
    due = scene.ledger.due(scene.clock.now(), AHEAD_AT_MOST)
    return next((place for place, other in enumerate(due) if other.id == row.id), len(due))


# -- the document


def _document(
    path: bytes, facts: ExplainFacts, said: Explanation, history: list[HistoryEntry]
) -> dict[str, Any]:
    row = facts.row
    waits = row is not None and 0 < row.not_before - facts.now <= FAR_FUTURE_S
    return {
        "path": shown(path),
        "state": said.state,
        "sentence": said.sentence,
        "hint": said.hint,
        "key": row.key if row else None,
        "proof": row.proof.kind.value if row and row.proof else None,
        "size": row.fingerprint.size if row else facts.seen.size if facts.seen else None,
        "sent": facts.sent if row else None,
        "not_before": moment(row.not_before) if row and waits and row.state in LIVE else None,
        "parked_reason": row.parked_reason if row else None,
        "history": [{"at": moment(line.at), "state": line.state.value, "why": line.why} for line in history],
    }
