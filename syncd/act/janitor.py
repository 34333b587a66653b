"""Clearing up: uploads that were given up are aborted at the destination, until it says they are gone."""

from __future__ import annotations

import structlog

from syncd.act.world import World
from syncd.decide.retry import FILE_CEILING_S
from syncd.errors import Fatal, SyncdError

log = structlog.get_logger()


def abort_due(world: World, limit: int = 20) -> None:
    """Abort the uploads that are due; one that cannot be aborted now waits. Harmless to repeat."""
    for upload in world.ledger.aborts(world.clock.now(), limit):
        if world.stop.is_set():
            return
        try:
            world.store.abort(upload.bucket, upload.key, upload.upload_id)
        except Fatal:
            raise
        except SyncdError as error:
            world.ledger.abort_failed(upload, world.clock.now() + FILE_CEILING_S)
            log.warning("abort_postponed", key=upload.key, error=str(error))
        else:
            world.ledger.aborted(upload)
            log.info("upload_aborted", key=upload.key)
