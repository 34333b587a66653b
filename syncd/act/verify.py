"""completing -> verified: write the object, or find out whether a write that we are not sure of happened.

After a lost answer or a crash, HEAD is asked first: only our token, the size and the checksum together mean that it
was ours. Then ListParts decides whether the same Complete may be sent again. At most one new upload per doubt.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd.act.body import BLOCK, body_for, sum_of_span
from syncd.act.plan import target_of
from syncd.act.recheck import give_up
from syncd.act.recognize import not_what_was_written
from syncd.act.upload import count_in_vain
from syncd.act.world import World
from syncd.decide.compare import Verdict, compare_open
from syncd.decide.plan import part_count, spans
from syncd.decide.verify import Expected, Finding, examine, proof_by_head, proof_by_put, sum_of
from syncd.errors import (
    Changed,
    Doubtful,
    LockedOut,
    ObjectExists,
    PartsRejected,
    Refused,
    Stale,
    SyncdError,
    UploadGone,
    Vanished,
)
from syncd.model import (
    Algorithm,
    Amend,
    Change,
    Columns,
    Condition,
    CountSent,
    ForgetParts,
    Move,
    Proof,
    RemoteObject,
    State,
    Stored,
    Target,
    Transfer,
)
from syncd.ports import OpenFile

FRUITLESS_VISITS = 2
"""After so many a rejected list of parts means a new upload."""
WHOLE_TIMES = 3
"""A file of which so many uploads ended like that is parked: else it would be sent for ever."""
NOT_TAKEN = "the store does not take the list of parts"


def complete(transfer: Transfer, world: World, doubt: Stale | None) -> Sequence[Change]:
    """Write the object and prove it; with a doubt, look before writing again."""
    if doubt is None:
        return _write(transfer, world)
    if isinstance(doubt, Changed | Vanished):
        raise doubt
    if isinstance(doubt, PartsRejected) and transfer.attempts >= FRUITLESS_VISITS:
        return _compared_in_vain(transfer, world, doubt)
    if isinstance(doubt, PartsRejected):
        why = f"the store did not take the list of parts ({doubt}): they are compared again"
        return [Move(id=transfer.id, was=State.COMPLETING, to=State.UPLOADING, why=why)]
    return _look(transfer, world, doubt)


def _compared_in_vain(transfer: Transfer, world: World, doubt: PartsRejected) -> Sequence[Change]:
    """A new upload, unless that did not help either: its story tells how often it was tried."""
    story = world.ledger.history(transfer.folder, transfer.path, 100)
    since = transfer.discovered_at
    before = sum(line.at >= since and line.why.startswith(NOT_TAKEN) for line in story)
    if before + 1 >= WHOLE_TIMES:
        raise Refused(
            f"the store does not take the list of parts, each time that all were sent ({doubt})",
            hint="look at the store; destination.checksum: md5 may suit it better",
        )
    return begin_again(transfer, f"{NOT_TAKEN} ({doubt})")


def _write(transfer: Transfer, world: World) -> Sequence[Change]:
    return _put(transfer, world) if transfer.part_size is None else _close_upload(transfer, world)


# -- one PutObject


def _put(transfer: Transfer, world: World) -> Sequence[Change]:
    size = transfer.fingerprint.size
    world.board.begin(transfer.id, size=size, sent=0, parts_done=0, parts_total=1)
    try:
        stored, checksum, resent = world.bodies.submit(
            lambda buffer: _put_body(transfer, world, buffer), flow=0, cost=size
        ).result()
        world.board.acknowledged(transfer.id, size)
    finally:
        world.board.end(transfer.id)
    expected = _expected(transfer, checksum)
    counted = CountSent(id=transfer.id, sent=size, resent=resent)
    proof = proof_by_put(stored, expected)
    if proof is None:
        return [counted, *_prove_by_head(transfer, world, expected)]
    return [counted, *arrived(transfer, stored.etag, checksum, proof)]


def _put_body(transfer: Transfer, world: World, buffer: memoryview) -> tuple[Stored, str, int]:
    file = world.disk.open(transfer.folder, transfer.path)
    try:
        target = target_of(transfer, world)
        span = next(spans(transfer.fingerprint.size, None))
        body = body_for(file, span, buffer, target.algorithm, world.sums)
        if compare_open(transfer.fingerprint, file.fingerprint()) is Verdict.NEW_VERSION:
            raise Changed("it changed before it was sent")
        try:
            stored = world.store.put(target, body, transfer.condition)
        except SyncdError:
            count_in_vain(world, transfer.id, body)
            raise
        whole = world.sums.whole(target.algorithm, [(body.checksum, body.size)], multipart=False)
        return stored, whole, body.resent(arrived=True)
    finally:
        file.close()


# -- CompleteMultipartUpload


def _close_upload(transfer: Transfer, world: World) -> Sequence[Change]:
    parts = world.ledger.parts(transfer.id)
    if len(parts) != part_count(transfer.fingerprint.size, transfer.part_size):
        raise PartsRejected("the ledger does not have all parts")
    checksum = _whole_of_parts(transfer, world)
    world.store.complete(
        target_of(transfer, world),
        transfer.upload_id or "",
        parts,
        size=transfer.fingerprint.size,
        checksum=checksum,
        condition=transfer.condition,
    )
    return _prove_by_head(transfer, world, _expected(transfer, checksum))


def _whole_of_parts(transfer: Transfer, world: World) -> str:
    values = [(part.checksum or "", part.size) for part in world.ledger.parts(transfer.id)]
    return world.sums.whole(transfer.algorithm or Algorithm.NONE, values, multipart=True)


def _prove_by_head(transfer: Transfer, world: World, expected: Expected) -> Sequence[Change]:
    """After an answer that says yes: HEAD must show the object. Raises Doubtful, LockedOut."""
    target = target_of(transfer, world)
    found = world.store.head(target.bucket, target.key)
    if found is None:
        raise LockedOut(
            f"s3://{target.bucket}/{target.key} was stored, but we may not look at it",
            code="permission",
            hint="allow s3:GetObject on the device's prefix: HEAD needs it",
        )
    if examine(found, expected) is not Finding.OURS:
        raise Doubtful("the object under the key is not what was stored")
    return arrived(transfer, found.etag, expected.checksum, proof_by_head(found, expected))


# -- doubts


def _look(transfer: Transfer, world: World, doubt: Stale) -> Sequence[Change]:
    target = target_of(transfer, world)
    expected = _expected(transfer, _local_checksum(transfer, world))
    found = world.store.head(target.bucket, target.key)
    match examine(found, expected):
        case Finding.OURS if found is not None and _kept_otherwise(transfer, target, found):
            sets = Columns(condition=Condition(if_match=found.etag))
            return begin_again(transfer, "our object is not encrypted as it was asked for", sets)
        case Finding.OURS if found is not None:
            # Perhaps by an earlier upload of ours than the one that is recorded: that one may still be open.
            proven = arrived(transfer, found.etag, sum_of(found, expected), proof_by_head(found, expected))
            return [*give_up(transfer), *proven]
        case Finding.FOREIGN if found is not None and found.etag != transfer.condition.if_match:
            return not_what_was_written(transfer, found, world)
        case Finding.DAMAGED if transfer.attempts > 0:
            raise Refused(
                "the store shows other bytes or another checksum than those that were sent, each time",
                hint="look at the store; destination.checksum: md5 may suit it better",
            )
        case Finding.DAMAGED if found is not None:
            sets = Columns(condition=Condition(if_match=found.etag))
            return begin_again(transfer, "the object under the key has our token but not our bytes", sets)
        case _:
            return _absent(transfer, world, doubt, nothing=found is None)


def _kept_otherwise(transfer: Transfer, target: Target, found: RemoteObject) -> bool:
    """A Put whose answer was lost was not seen to be encrypted; of an upload its Create was."""
    put = transfer.part_size is None
    return put and target.encryption is not None and found.encryption != target.encryption


def _absent(transfer: Transfer, world: World, doubt: Stale, *, nothing: bool) -> Sequence[Change]:
    """Our write is not there, as far as HEAD may tell: is the upload still open?

    `nothing`: there is no object at all, or none for our eyes; else our own earlier one is still in its place.
    """
    if isinstance(doubt, ObjectExists) and transfer.condition.if_none_match:
        raise LockedOut(
            f"an object is under {transfer.key}, but we may not look whose it is",
            code="permission",
            hint="allow s3:GetObject on the device's prefix: HEAD needs it",
        )
    if nothing and transfer.condition.if_match is not None and isinstance(doubt, ObjectExists | Doubtful):
        # Our own earlier object is gone, and nothing is in the way any more. Were it only hidden, the store would refuse.
        sets = Columns(condition=Condition(if_none_match=True))
        return [Amend(id=transfer.id, was=State.COMPLETING, sets=sets, why="no earlier object is to be seen")]
    if transfer.part_size is None:
        return _put_once_more(transfer, world)
    if isinstance(doubt, UploadGone) or _upload_is_gone(transfer, world):
        return begin_again(transfer, "the upload is gone and its object is not there")
    return _close_upload(transfer, world)


def _put_once_more(transfer: Transfer, world: World) -> Sequence[Change]:
    """It is not there, so it is sent again; without its file, all that is known is that nothing was stored."""
    try:
        return _put(transfer, world)
    except Vanished:
        why = "nothing was stored, and its file is not there"
        return [Move(id=transfer.id, was=State.COMPLETING, to=State.PLANNED, why=why)]


def _upload_is_gone(transfer: Transfer, world: World) -> bool:
    try:
        for _ in world.store.list_parts(target_of(transfer, world), transfer.upload_id or ""):
            break
    except UploadGone:
        return True
    return False


def _local_checksum(transfer: Transfer, world: World) -> str | None:
    """What the object's checksum must be; for a Put the file is read again, None if it is no longer the same."""
    if transfer.part_size is not None:
        return _whole_of_parts(transfer, world)
    algorithm = transfer.algorithm or Algorithm.NONE
    try:
        file = world.disk.open(transfer.folder, transfer.path)
    except SyncdError:
        return None
    try:
        return _sum_if_same(transfer, world, file, algorithm)
    finally:
        file.close()


def _sum_if_same(transfer: Transfer, world: World, file: OpenFile, algorithm: Algorithm) -> str | None:
    span = next(spans(transfer.fingerprint.size, None))
    try:
        value = sum_of_span(file, span, memoryview(bytearray(BLOCK)), algorithm, world.sums, world.looked)
    except Changed:
        return None
    if compare_open(transfer.fingerprint, file.fingerprint()) is Verdict.NEW_VERSION:
        return None
    return world.sums.whole(algorithm, [(value, span.size)], multipart=False)


# -- what comes of it


def _expected(transfer: Transfer, checksum: str | None) -> Expected:
    return Expected(
        token=transfer.token or "",
        size=transfer.fingerprint.size,
        algorithm=transfer.algorithm or Algorithm.NONE,
        checksum=checksum,
    )


def arrived(transfer: Transfer, etag: str, checksum: str | None, proof: Proof) -> Sequence[Change]:
    """The object is there and proven."""
    sets = Columns(etag=etag, checksum=checksum, proof=proof, attempts=0)
    why = f"proven by {proof.kind}: {proof.by}"
    return [Move(id=transfer.id, was=State.COMPLETING, to=State.VERIFIED, why=why, sets=sets)]


def begin_again(transfer: Transfer, why: str, sets: Columns | None = None) -> Sequence[Change]:
    """Give the upload up (it is queued for abort in the same breath) and go back to planned."""
    columns = Columns(upload_id=None)
    columns.update(sets or Columns())
    back = Move(id=transfer.id, was=transfer.state, to=State.PLANNED, why=why, sets=columns)
    # A Create that was refused, or answered otherwise than asked, has left nothing open.
    given_up = [] if transfer.state is State.CREATING else give_up(transfer)
    return [ForgetParts(transfer.id), *given_up, back]
