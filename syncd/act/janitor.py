"""Clearing up: uploads that were given up are aborted at the destination, until it says they are gone."""

from __future__ import annotations

import structlog

from syncd.act.world import World
from syncd.decide.retry import FILE_CEILING_S
from syncd.errors import Fatal, LedgerFull, SyncdError

log = structlog.get_logger()


def abort_due(world: World, limit: int = 20) -> int:
    """Abort the uploads that are due, and say how many are gone; one that stays waits. Harmless to repeat."""
    gone = 0
    for upload in world.ledger.aborts(world.clock.now(), limit):
        if world.halted():
            break
        try:
            world.store.abort(upload.bucket, upload.key, upload.upload_id)
        except (Fatal, LedgerFull):
            raise
        except SyncdError as error:
            world.ledger.abort_failed(upload, world.clock.now() + FILE_CEILING_S)
            log.warning("abort_postponed", key=upload.key, error=str(error))
        else:
            world.ledger.aborted(upload)
            gone += 1
            log.info("upload_aborted", key=upload.key)
    return gone
