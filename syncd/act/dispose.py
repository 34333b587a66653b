"""verified -> done: what becomes of the local file. So far: it is kept."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.act.world import World
from syncd.errors import Stale
from syncd.model import Change, Columns, Move, State, Transfer


def dispose(transfer: Transfer, world: World, _doubt: Stale | None) -> Sequence[Change]:
    """Keep the file: nothing to do. Harmless to repeat."""
    return [done(transfer.id, world.clock.now())]


def done(identity: int, at: float) -> Move:
    """The end of the story."""
    sets = Columns(finished_at=at)
    return Move(id=identity, was=State.VERIFIED, to=State.DONE, why="the file is kept", sets=sets)
