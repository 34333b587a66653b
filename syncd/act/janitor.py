"""Clearing up: uploads that were given up are aborted at the destination, until it says they are gone.

Where it is not known whether a Create was carried out, the destination is asked, once no transfer has that key any more; where
we may not list uploads, the upload that may be left is counted.
"""

from __future__ import annotations

import structlog

from syncd.act.upload import opened_since
from syncd.act.world import World
from syncd.decide.retry import FILE_CEILING_S
from syncd.errors import Fatal, LedgerFull, SyncdError
from syncd.model import Aborted, AbortLater, SuspectOrphan

log = structlog.get_logger()

KEY_IN_USE_S = 30.0


def abort_due(world: World, limit: int = 20) -> int:
    """Abort the uploads that are due, and say how many are gone; one that stays waits. Harmless to repeat."""
    gone = 0
    for upload in world.ledger.aborts(world.clock.now(), limit):
        if world.halted():
            break
        try:
            over = _abort(upload, world)
        except (Fatal, LedgerFull):
            raise
        except SyncdError as error:
            if world.halted():
                break  # broken off by a stop or a pause, which says nothing against it: it stays due
            world.ledger.abort_failed(upload, world.clock.now() + FILE_CEILING_S)
            log.warning("abort_postponed", key=upload.key, error=str(error))
        else:
            gone += over
    return gone


def _abort(upload: AbortLater, world: World) -> bool:
    """Whether there is nothing left of it."""
    if upload.since is not None and world.ledger.key_in_use(upload.bucket, upload.key):
        world.ledger.abort_failed(upload, world.clock.now() + KEY_IN_USE_S)
        return False
    meant = _meant(upload, world)
    for upload_id in meant or ():
        world.store.abort(upload.bucket, upload.key, upload_id)
        log.info("upload_aborted", key=upload.key)
    unseen = [SuspectOrphan()] if meant is None else []
    world.ledger.commit([*unseen, Aborted(upload.upload_id)])  # at once, so that a crash counts nothing twice
    return True


def _meant(upload: AbortLater, world: World) -> list[str] | None:
    """None where it cannot be seen which ones are open."""
    if upload.since is None:
        return [upload.upload_id]
    found = world.store.list_uploads(upload.bucket, upload.key)
    return None if found is None else opened_since(found, upload.since)
