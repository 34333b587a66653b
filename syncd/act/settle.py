"""discovered -> settled: take the looks that are due, many files in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.act.looks import Looks
from syncd.act.world import FolderPolicy, World
from syncd.decide.settle import Look, LookAgain, Missing, Settled, judge, marker_path
from syncd.errors import FolderUnavailable, Transient
from syncd.model import Amend, Change, Columns, Move, State, Transfer, Writer

PAUSE_S = 5.0
"""After a look that the disk did not allow."""


def settle_due(world: World, looks: Looks, limit: int) -> int:
    """Look at the files whose time has come; returns how many. What it finds is committed at once."""
    taken = looks.take_due(world.clock.monotonic(), limit)
    changes: list[Change] = []
    for identity in taken:
        transfer = world.ledger.get(identity)
        folder = world.folders.get(transfer.folder) if transfer else None
        if transfer is None or folder is None or transfer.state is not State.DISCOVERED:
            looks.forget(identity)
        else:
            changes.extend(_look(transfer, folder, world, looks))
    if changes:
        try:
            world.ledger.commit(changes)
        except Transient:
            for identity in taken:  # settled ones are still `discovered` in the ledger
                looks.begin(identity, world.clock.monotonic(), PAUSE_S)
            raise
    return len(taken)


def _look(transfer: Transfer, folder: FolderPolicy, world: World, looks: Looks) -> Sequence[Change]:
    now = world.clock.monotonic()
    try:
        look = _facts(transfer, folder, world, looks)
    except (Transient, FolderUnavailable) as trouble:
        looks.again(transfer.id, now + PAUSE_S)
        return [] if transfer.hint == str(trouble) else [_note(transfer, str(trouble))]
    if _is_another_file(look) and folder.selection.takes(transfer.path):
        looks.forget(transfer.id)
        world.hints.path(transfer.folder, transfer.path)  # perhaps one that is known was renamed to its path
        return []
    match judge(folder.settle, look):
        case Settled(why):
            looks.forget(transfer.id)
            sets = Columns(not_before=world.clock.now(), hint=None)  # since when it is due
            return [Move(id=transfer.id, was=State.DISCOVERED, to=State.SETTLED, why=why, sets=sets)]
        case LookAgain(after_s, why, restart) if restart and look.seen is not None:
            looks.begin(transfer.id, now, after_s)
            return [
                Amend(id=transfer.id, was=State.DISCOVERED, sets=Columns(fingerprint=look.seen, hint=why))
            ]
        case LookAgain(after_s, why):
            looks.again(transfer.id, now + after_s)
            return [] if transfer.hint == why else [_note(transfer, why)]
        case Missing():
            looks.forget(transfer.id)
            world.hints.scan(transfer.folder, "a file that was about to settle is not there")
    return []


def _is_another_file(look: Look) -> bool:
    return look.seen is not None and look.seen.inode != look.known.inode


def _note(transfer: Transfer, why: str) -> Amend:
    return Amend(id=transfer.id, was=State.DISCOVERED, sets=Columns(hint=why))


def _facts(transfer: Transfer, folder: FolderPolicy, world: World, looks: Looks) -> Look:
    """The cheap questions first: a file that moved is not asked for writers."""
    seen = world.disk.look(transfer.folder, transfer.path)
    since = world.clock.monotonic() - looks.first(transfer.id)
    unchanged = seen == transfer.fingerprint and since >= folder.settle.quiet_s
    ask = unchanged and folder.settle.check_writer
    marker = marker_path(folder.settle, transfer.path)
    return Look(
        since_first_s=since,
        known=transfer.fingerprint,
        seen=seen,
        writer=world.disk.writer(transfer.folder, transfer.path) if ask else Writer.UNKNOWN,
        marker_there=None if marker is None or not unchanged else world.disk.exists(transfer.folder, marker),
    )
