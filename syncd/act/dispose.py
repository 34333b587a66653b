"""verified -> done: what becomes of the local file. So far: it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.act.world import World
from syncd.errors import Stale, SyncdError
from syncd.model import Change, Columns, Move, State, Transfer


def dispose(transfer: Transfer, world: World, _doubt: Stale | None) -> Sequence[Change]:
    """Keep the file: nothing to do. Harmless to repeat."""
    return [done(transfer, world)]


def done(transfer: Transfer, world: World) -> Move:
    """The end of the story. A file that went away meanwhile is noted, so that another of its name is told apart."""
    now = world.clock.now()
    sets = Columns(finished_at=now) if _is_there(transfer, world) else Columns(finished_at=now, gone_at=now)
    why = "the file is kept" if "gone_at" not in sets else "the file is no longer there"
    return Move(id=transfer.id, was=State.VERIFIED, to=State.DONE, why=why, sets=sets)


def _is_there(transfer: Transfer, world: World) -> bool:
    try:
        return world.disk.look(transfer.folder, transfer.path) is not None
    except SyncdError:  # it cannot be told: not gone
        return True
