"""verified -> done: what becomes of the local file now that its object is proven.

Kept files are done at once. A file that is to be deleted or moved waits for its age and for certainty, is compared once
more, and goes aside before it goes. Every step may run again: what a crash left aside is taken up, or brought back.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from syncd.act.recheck import bytes_decide
from syncd.act.world import FolderPolicy, World
from syncd.decide.compare import Verdict, compare
from syncd.decide.dispose import (
    AWAY_PAUSE_S,
    WRITER_PAUSE_S,
    DisposalPolicy,
    Go,
    Later,
    Situation,
    Stay,
    certain_by_rule,
    judge,
)
from syncd.decide.select import ASIDE
from syncd.errors import Stale, SyncdError
from syncd.model import Amend, Change, Columns, Fate, Fingerprint, Move, State, Transfer, Writer

log = structlog.get_logger()

LONGEST_WAIT_S = 3000.0
"""A `not_before` an hour away would be taken for one of another clock."""

REST_S = 1.0
RESTING = "it lies aside for a moment before it goes"

AWAY_AT_MOST = 30
_NOT_AT_ITS_PLACE = "the directory that it lies in is not at its place"

_KEEP = DisposalPolicy()


def dispose(transfer: Transfer, world: World, _doubt: Stale | None) -> Sequence[Change]:
    """Keep, delete or move the file, or put that off. Raises Transient, Changed."""
    folder = world.folders.get(transfer.folder)
    policy = folder.disposal if folder is not None else _KEEP
    if folder is None or policy.keeps:
        world.disk.bring_back(transfer.folder, transfer.path, aside_name(transfer))
        return [done(transfer, world)]
    if transfer.hint == RESTING:  # whatever is at its path now is another file
        return _put_away(transfer, policy, world, ask=not _certain_by_rule(folder))
    seen = world.disk.look(transfer.folder, transfer.path)
    if seen is not None and compare(transfer, seen) is not Verdict.SAME:
        return _compared(transfer, world)
    match judge(policy, _situation(transfer, seen, folder, world)):
        case Stay(why):
            return [_end(transfer, world, why, gone=seen is None)]
        case Later(after_s, why):
            return [later(transfer, after_s, why, world)]
        case Go(ask_again):
            return _put_away(transfer, policy, world, ask=ask_again)


def done_at_once(transfer: Transfer, world: World) -> bool:
    """Whether a file that was just verified has nothing more to wait for."""
    folder = world.folders.get(transfer.folder)
    return folder is None or folder.disposal.keeps


def aside_name(transfer: Transfer) -> bytes:
    """The name under which a file of this transfer lies while it goes."""
    return ASIDE + (transfer.token or str(transfer.id)).encode()


def _certain_by_rule(folder: FolderPolicy) -> bool:
    return certain_by_rule(folder.disposal, has_marker=folder.settle.marker is not None)


def _situation(transfer: Transfer, seen: Fingerprint | None, folder: FolderPolicy, world: World) -> Situation:
    now = world.true_time()
    known = transfer.fingerprint
    changed_at = max(known.mtime_ns / 1e9, known.ctime_ns / 1e9, transfer.started_at or 0.0)
    old = now - changed_at >= folder.disposal.min_age_s
    return Situation(
        proof=transfer.proof,
        age_s=now - changed_at,
        # One that a crash left aside is asked about where it lies.
        writer=_writer(transfer, world) if seen is not None and old else Writer.NONE,
        has_marker=folder.settle.marker is not None,
    )


def _writer(transfer: Transfer, world: World) -> Writer:
    return world.disk.writer(transfer.folder, transfer.path)


def later(transfer: Transfer, after_s: float, why: str, world: World) -> Amend:
    """Put off; the story tells why once."""
    until = world.clock.now() + min(after_s, LONGEST_WAIT_S)
    told = None if why in {transfer.hint, RESTING} else f"waits: {why}"
    return Amend(id=transfer.id, was=State.VERIFIED, sets=Columns(not_before=until, hint=why), why=told)


def _put_away(transfer: Transfer, policy: DisposalPolicy, world: World, *, ask: bool) -> Sequence[Change]:
    fate = world.disk.put_away(
        transfer.folder,
        transfer.path,
        transfer.fingerprint,
        aside=aside_name(transfer),
        to=policy.move_to,
        ask=ask,
        rested=transfer.hint == RESTING,
        go_on=lambda: not world.halted(),
    )
    match fate:
        case Fate.ASIDE:
            return [later(transfer, REST_S, RESTING, world)]
        case Fate.GONE:
            path = transfer.folder + b"/" + transfer.path
            log.info("file_put_away", path=path, how=policy.word, to=policy.move_to)
            where = (
                "" if policy.move_to is None else f" to {policy.move_to.decode('utf-8', 'backslashreplace')}"
            )
            return [_end(transfer, world, f"the file was {policy.word}{where}", gone=True)]
        case Fate.MISSING:
            return [_end(transfer, world, "the file is no longer there", gone=True)]
        case Fate.AWAY:
            return [_away(transfer, world)]
        case Fate.OPEN:
            return [later(transfer, WRITER_PAUSE_S, "a program has it open for writing", world)]
        case Fate.OCCUPIED:
            why = "another file lies where it is to be moved: it is kept"
            log.warning("move_refused", path=transfer.folder + b"/" + transfer.path, to=policy.move_to)
            return [_end(transfer, world, why, gone=False)]
        case Fate.UNKNOWN:
            why = "the file is kept: at the last moment it could not be told whether a program writes it"
            return [_end(transfer, world, why, gone=False)]
        case Fate.CHANGED:
            return _compared(transfer, world)


def _away(transfer: Transfer, world: World) -> Change:
    """Its directory may come back; one that stays away took the file along, perhaps by the name that only we know."""
    resting = transfer.hint == RESTING
    if transfer.attempts < AWAY_AT_MOST:
        wait = later(transfer, AWAY_PAUSE_S, RESTING if resting else _NOT_AT_ITS_PLACE, world)
        wait.sets["attempts"] = transfer.attempts + 1
        return wait
    why = _NOT_AT_ITS_PLACE
    if resting:
        why = f"{why}; the file lies there as {aside_name(transfer).decode()}"
        log.warning("file_left_aside", path=transfer.folder + b"/" + transfer.path, reason=why)
    return _end(transfer, world, why, gone=True)


def _compared(transfer: Transfer, world: World) -> Sequence[Change]:
    """It is not quite the file that was proven: its bytes decide, and a new version is looked at soon."""
    changes = bytes_decide(transfer, world)
    world.hints.path(transfer.folder, transfer.path)
    return changes


def done(transfer: Transfer, world: World) -> Move:
    """The end of the story of a kept file. One that went away meanwhile is noted, so that another of its name is told apart."""
    there = _is_there(transfer, world)
    return _end(
        transfer, world, "the file is kept" if there else "the file is no longer there", gone=not there
    )


def _end(transfer: Transfer, world: World, why: str, *, gone: bool) -> Move:
    now = world.true_time()
    sets = Columns(finished_at=now, hint=None)
    if gone:
        sets["gone_at"] = now
    return Move(id=transfer.id, was=State.VERIFIED, to=State.DONE, why=why, sets=sets)


def _is_there(transfer: Transfer, world: World) -> bool:
    try:
        return world.disk.look(transfer.folder, transfer.path) is not None
    except SyncdError:  # it cannot be told: not gone
        return True
