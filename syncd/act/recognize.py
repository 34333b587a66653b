"""Is it at the store already? What an earlier ledger knew is found again here, so that nothing verified is sent again.

One HEAD before a multipart upload: it saves sending a film only to be refused at its Complete. One before a small file
that the first scan of a new ledger met, as long as that turns anything up. An object counts as this file only if
it names this device and shows the sum of the very bytes on the disk; existence, size and date prove nothing. Writes and
deletes nothing; uploads that such a file may have open are queued for abort.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd.act.recheck import give_up, whole_of_file
from syncd.act.world import World
from syncd.decide.compare import Verdict, compare_open
from syncd.decide.verify import Expected, Finding, examine, proof_by_head
from syncd.errors import Changed, Refused, SyncdError, Vanished
from syncd.model import (
    AbortLater,
    Algorithm,
    Amend,
    Change,
    Columns,
    Condition,
    Fingerprint,
    Move,
    ProofKind,
    RemoteObject,
    State,
    SuspectOrphan,
    Transfer,
)


def may_be_there(transfer: Transfer, part_size: int | None, world: World) -> bool:
    """Whether the store is asked before anything of the file is sent."""
    if part_size is not None:
        return True
    if not _of_a_first_scan(transfer, world):
        return False
    return world.strangers.worth_a_look() or world.ledger.totals().begun_at is not None


def _of_a_first_scan(transfer: Transfer, world: World) -> bool:
    upto = world.ledger.first_scan_upto(transfer.folder)
    return upto is None or transfer.id <= upto


def look(transfer: Transfer, world: World) -> Sequence[Change]:
    """What to do instead of sending a planned file; empty: send it. Raises Refused for another's object, Changed."""
    bucket, key = transfer.bucket or "", transfer.key or ""
    found = world.store.head(bucket, key)
    world.strangers.met(known=found is not None and found.device == world.device)
    if found is None or found.etag == transfer.condition.if_match:
        _clear_up(transfer, bucket, key, world)
        return []
    return not_what_was_written(transfer, found, world)


def _clear_up(transfer: Transfer, bucket: str, key: str, world: World) -> None:
    """An upload of this key that is open was opened under an earlier ledger: nobody will go on with it."""
    if transfer.part_size is None or not _of_a_first_scan(transfer, world):
        return
    found = world.store.list_uploads(bucket, key)
    unseen = found is None and world.ledger.totals().begun_at is not None
    later = [AbortLater(bucket=bucket, key=key, upload_id=upload_id) for upload_id, _ in found or ()]
    world.ledger.commit([SuspectOrphan(), *later] if unseen else later)


def not_what_was_written(transfer: Transfer, found: RemoteObject, world: World) -> Sequence[Change]:
    """An object that no write of this transfer made has its key: the same file, an earlier version, or a stranger's.

    Raises Refused for a stranger's, Changed when the local file is no longer the one that was planned.
    """
    same = _same_file(transfer, found, world)
    if same is not None:
        return [*give_up(transfer), same]
    owner = world.ledger.by_token(found.token) if found.token else None
    if owner is not None and _is_earlier_version(owner, transfer):
        return _replace(
            transfer, found, "the object under the key is an earlier version of this file: it is replaced"
        )
    hint = "move that object away or change the key template, then `syncd retry` this file"
    if owner is not None or found.device == world.device:
        raise Refused(f"another object of this device is already under its key {transfer.key}", hint=hint)
    if not world.destination.overwrite:
        hint = f"{hint}; destination.if_exists: overwrite replaces what others have stored"
        raise Refused(f"another object is already under its key {transfer.key}", hint=hint)
    whose = f"of the device {found.device}" if found.device else "of somebody else"
    why = f"an object {whose} is under the key ({found.size} bytes, ETag {found.etag}): it is replaced, as destination.if_exists says"
    return _replace(transfer, found, why)


def _replace(transfer: Transfer, found: RemoteObject, why: str) -> Sequence[Change]:
    """This very object, and no other that may take its place meanwhile."""
    sets = Columns(condition=Condition(if_match=found.etag))
    return [Amend(id=transfer.id, was=transfer.state, sets=sets, why=why)]


def _is_earlier_version(owner: Transfer, transfer: Transfer) -> bool:
    """Whether the object's transfer was of a file that stayed at this path until it changed."""
    same_place = (owner.folder, owner.path) == (transfer.folder, transfer.path)
    return same_place and owner.gone_at is None and owner.state is not State.VANISHED


# -- the same bytes


def _same_file(transfer: Transfer, found: RemoteObject, world: World) -> Move | None:
    if found.token is None or found.device != world.device or found.size != transfer.fingerprint.size:
        return None
    algorithm = _comparable(found, transfer, world)
    if algorithm is None:
        return None
    one_body = algorithm is Algorithm.MD5 and "-" not in found.etag
    part_size = None if one_body else transfer.part_size
    try:
        checksum, seen = _local_sum(transfer, algorithm, part_size, world)
    except Vanished:
        return None
    expected = Expected(token=found.token, size=found.size, algorithm=algorithm, checksum=checksum)
    proof = proof_by_head(found, expected)
    if examine(found, expected) is not Finding.OURS or proof.kind not in {ProofKind.CHECKSUM, ProofKind.MD5}:
        return None
    sets = Columns(
        fingerprint=seen,
        token=found.token,
        algorithm=algorithm,
        part_size=part_size,
        upload_id=None,
        etag=found.etag,
        checksum=checksum,
        proof=proof,
        attempts=0,
    )
    why = f"this device has uploaded these very bytes before: nothing is sent; {proof.by}"
    return Move(id=transfer.id, was=transfer.state, to=State.VERIFIED, why=why, sets=sets)


def _comparable(found: RemoteObject, transfer: Transfer, world: World) -> Algorithm | None:
    """By which sum the object can be compared with the file; the planned one if it is shown."""
    shown = sorted(found.checksums, key=lambda each: each is not transfer.algorithm)
    for algorithm in shown:
        try:
            world.sums.new(algorithm)
        except SyncdError:  # this machine cannot sum so
            continue
        return algorithm
    return Algorithm.MD5 if found.etag_is_md5 else None


def _local_sum(
    transfer: Transfer, algorithm: Algorithm, part_size: int | None, world: World
) -> tuple[str, Fingerprint]:
    """The sum of the bytes that are on the disk, and whose they are. Raises Changed, Vanished."""
    file = world.disk.open(transfer.folder, transfer.path)
    try:
        before = file.fingerprint()
        if compare_open(transfer.fingerprint, before) is Verdict.NEW_VERSION:
            raise Changed("it changed before it was sent")
        whole = whole_of_file(file, before.size, part_size, algorithm, world)
        if file.fingerprint() != before:
            raise Changed("it changed while it was being compared")
    finally:
        file.close()
    return whole, before
