"""Files whose handling ends the process: counted, handled alone, and parked before they keep all others from going.

A strike is for being in hand when the process ended other than by itself; every part or object that is acknowledged takes
the strikes back. From the second strike on a file is handled alone, so that those beside it are not blamed for long.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from syncd.act.world import World
from syncd.decide.retry import STRIKES_AT_MOST
from syncd.decide.states import LIVE
from syncd.errors import RowMoved
from syncd.model import Amend, Columns, State, Transfer

log = structlog.get_logger()


def strike(transfers: Iterable[int], world: World) -> None:
    """Each of them was in hand when the last process ended: once more, or once too often."""
    for identity in transfers:
        row = world.ledger.get(identity)
        if row is None or not (row.state in LIVE or row.state is State.DONE):
            continue
        try:
            world.ledger.commit([_struck(row, world)])
        except RowMoved:  # nobody moves rows before the first round
            continue


def _struck(row: Transfer, world: World) -> Amend:
    strikes = row.strikes + 1
    path = row.folder + b"/" + row.path
    log.warning("process_ended_over_file", path=path, times=strikes)
    sets = Columns(strikes=strikes, not_before=world.clock.now())
    why = f"syncd ended while it was in hand, {strikes} time{'s' if strikes > 1 else ''} in a row"
    if strikes >= STRIKES_AT_MOST and row.parked_reason is None and row.state in LIVE:
        sets["parked_reason"] = f"syncd ended {strikes} times in a row while this file was in hand"
        sets["hint"] = "look at the log before each of those ends; `syncd retry` tries the file again"
        log.error("transfer_parked", path=path, reason=sets["parked_reason"], hint=sets["hint"])
    return Amend(id=row.id, was=row.state, sets=sets, why=why)
