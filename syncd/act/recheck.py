"""A verified file whose inode, ctime or mtime changed at equal size: its bytes decide whether it is a new version.

Read once, locally, in blocks; nothing is sent. Equal: the row takes over the new fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from syncd.act.body import BLOCK, sum_of_span
from syncd.act.world import World
from syncd.decide.plan import spans
from syncd.decide.states import UPLOAD_BEGUN
from syncd.errors import Changed, Fatal, LedgerFull, Stale, SyncdError
from syncd.model import (
    AbortLater,
    Algorithm,
    Amend,
    Change,
    Columns,
    Discover,
    Fingerprint,
    Move,
    State,
    Transfer,
)
from syncd.ports import OpenFile

log = structlog.get_logger()


def read_again(identity: int, world: World) -> bool:
    """Compare a done file's bytes with the sum that was proven; True if that is settled, False to try later."""
    transfer = world.ledger.get(identity)
    if transfer is None or transfer.state is not State.DONE:
        return True
    try:
        world.ledger.commit(bytes_decide(transfer, world))
    except (Fatal, LedgerFull):
        raise
    except SyncdError as error:
        log.info("read_again_postponed", path=transfer.folder + b"/" + transfer.path, error=str(error))
        return False
    return True


def bytes_decide(transfer: Transfer, world: World) -> Sequence[Change]:
    """For a verified or done file that is not quite the same: it takes over the new fingerprint, or is a new version.

    Raises Changed, Vanished, Transient.
    """
    file = world.disk.open(transfer.folder, transfer.path)
    try:
        before = file.fingerprint()
        same = before.size == transfer.fingerprint.size and _same_bytes(transfer, before, world, file)
        if file.fingerprint() != before:
            raise Changed("it changed while it was being compared")
    finally:
        file.close()
    if same:
        why = "inode, owner, time or device changed, the bytes did not: nothing is sent"
        sets = Columns(fingerprint=before, gone_at=None)
        return [Amend(id=transfer.id, was=transfer.state, sets=sets, why=why)]
    return new_version(transfer, before, "the bytes are not those that were uploaded")


def _same_bytes(transfer: Transfer, now: Fingerprint, world: World, file: OpenFile) -> bool:
    if not transfer.checksum:  # `checksum: none`: nothing was summed, so the times must do
        return now.mtime_ns == transfer.fingerprint.mtime_ns
    algorithm = transfer.algorithm or Algorithm.NONE
    whole = whole_of_file(file, transfer.fingerprint.size, transfer.part_size, algorithm, world)
    return whole == transfer.checksum


class Stopping(Stale):
    """The daemon is stopping, or paused: this is left for the next start, or until it goes on."""


def whole_of_file(
    file: OpenFile, size: int, part_size: int | None, algorithm: Algorithm, world: World
) -> str:
    """The object's sum, as the store shows it, had the file been sent in parts of this size. Raises Changed, Stopping."""
    block = memoryview(bytearray(BLOCK))
    parts: list[tuple[str, int]] = []
    for span in spans(size, part_size):
        if world.halted():
            raise Stopping("the daemon is stopping, or paused")
        parts.append((sum_of_span(file, span, block, algorithm, world.sums, world.looked), span.size))
    return world.sums.whole(algorithm, parts, multipart=part_size is not None)


def new_version(transfer: Transfer, seen: Fingerprint, why: str) -> list[Change]:
    """The row makes place for another version of its file; its upload, if one is open, is given up."""
    return [
        *give_up(transfer),
        Move(id=transfer.id, was=transfer.state, to=State.SUPERSEDED, why=why),
        Discover(folder=transfer.folder, path=transfer.path, fingerprint=seen, why=why),
    ]


def give_up(transfer: Transfer) -> list[Change]:
    """The upload of a transfer, if one is open or may be, is to be aborted."""
    if transfer.state not in UPLOAD_BEGUN or not (transfer.bucket and transfer.key):
        return []
    if transfer.state is State.CREATING and transfer.token is not None:
        # A Create is on its way or was answered by nobody: what came of it is looked up later.
        since = transfer.started_at or 0.0
        return [AbortLater(bucket=transfer.bucket, key=transfer.key, upload_id=transfer.token, since=since)]
    if transfer.upload_id is None:
        return []
    return [AbortLater(bucket=transfer.bucket, key=transfer.key, upload_id=transfer.upload_id)]
