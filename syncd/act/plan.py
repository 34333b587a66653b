"""settled -> planned: fix bucket, key, part size, checksum, token and condition, once and for all.

Writes nothing outside, so running it twice costs nothing. The intent that follows is committed with it, unless the store
may have the file already: then that is looked up first.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd.act import recognize
from syncd.act.content_type import content_type_of
from syncd.act.world import DestinationPolicy, World
from syncd.decide.keys import KeyFacts, ascii_name, key_for, was_encoded
from syncd.decide.plan import part_size_for
from syncd.errors import Changed, LockedOut, Refused, Stale, Vanished
from syncd.model import Algorithm, Change, Columns, Condition, Move, State, Target, Transfer
from syncd.ports import Ledger

UPLOAD_TOKEN = "syncd-upload"  # noqa: S105 - the name of a metadata field, not a secret


def plan(transfer: Transfer, world: World, _doubt: Stale | None) -> Sequence[Change]:
    """Plan the transfer and commit to sending it. Raises Changed, Vanished, Refused, LockedOut."""
    _check_still_there(transfer, world)
    bucket, key = _place(transfer, world)
    sets = Columns(
        bucket=bucket,
        key=key,
        part_size=part_size_for(transfer.fingerprint.size, world.plan),
        algorithm=algorithm_for(world, bucket),
        token=world.token(),
        condition=condition_for((transfer.folder, transfer.path), bucket, key, world.ledger),
        upload_id=None,
        attempts=0,
    )
    why = f"goes to s3://{bucket}/{key}"
    planned = Move(id=transfer.id, was=State.SETTLED, to=State.PLANNED, why=why, sets=sets)
    if recognize.may_be_there(transfer, sets["part_size"], world):
        return [planned]
    return [planned, intend(transfer.id, sets["part_size"], world)]


def begin(transfer: Transfer, world: World, _doubt: Stale | None) -> Sequence[Change]:
    """Commit to sending what was planned before, unless it is found at the store. Raises Changed, Vanished, Refused."""
    if world.disk.look(transfer.folder, transfer.path) is None:
        raise Vanished("there is no regular file at its path")  # while it is `planned`, a scan may end it
    if recognize.may_be_there(transfer, transfer.part_size, world):
        known = recognize.look(transfer, world)
        if known:
            return known
    return [intend(transfer.id, transfer.part_size, world)]


def intend(identity: int, part_size: int | None, world: World) -> Move:
    """The intent that must be on disk before anything is sent."""
    to, why = (
        (State.COMPLETING, "one PutObject")
        if part_size is None
        else (State.CREATING, "a multipart upload is begun")
    )
    sets = Columns(started_at=world.true_time())
    return Move(id=identity, was=State.PLANNED, to=to, why=why, sets=sets)


def _check_still_there(transfer: Transfer, world: World) -> None:
    seen = world.disk.look(transfer.folder, transfer.path)
    if seen is None:
        raise Vanished("there is no regular file at its path")
    if seen != transfer.fingerprint:
        raise Changed("it changed after it had settled")


def _place(transfer: Transfer, world: World) -> tuple[str, str]:
    folder = world.folders[transfer.folder]
    credentials = world.credentials.current()
    bucket = world.destination.bucket_for(credentials)
    if bucket is None:
        raise LockedOut(
            "neither the configuration nor the credential API names a bucket",
            code="bucket",
            hint="set destination.bucket",
        )
    facts = KeyFacts(
        prefix=world.destination.prefix_for(credentials, world.device),
        device=world.device,
        folder=folder.name,
        path=transfer.path,
        mtime_ns=transfer.fingerprint.mtime_ns,
    )
    return bucket, key_for(folder.template, facts)


def destination_name(destination: DestinationPolicy, bucket: str) -> str:
    """How the ledger calls a destination when it remembers what it cannot do."""
    return f"{destination.endpoint} {bucket}"


def algorithm_for(world: World, bucket: str) -> Algorithm:
    """The configured checksum; automatic: the best one here, or MD5 where the destination ignores it."""
    if world.destination.checksum is not None:
        return world.destination.checksum
    ignored = world.ledger.checksum_ignored(destination_name(world.destination, bucket))
    return Algorithm.MD5 if ignored else world.sums.automatic()


def condition_for(place: tuple[bytes, bytes], bucket: str, key: str, ledger: Ledger) -> Condition:
    """First of its key: nothing may be there. Our own object is replaced while its file stayed at its (folder, path).

    Raises Refused where the key holds what was another file's.
    """
    holder = ledger.key_holder(bucket, key)
    if holder is None:
        return Condition(if_none_match=True)
    theirs = (holder.folder, holder.path)
    if theirs != place or holder.gone_at is not None:
        other = b"/".join(theirs).decode("utf-8", "backslashreplace")
        raise Refused(f"its key {key} already holds what was {other}", hint=_key_hint(same=theirs == place))
    return Condition(if_match=holder.etag)


def _key_hint(*, same: bool) -> str:
    if same:
        return "put {mtime:%Y-%m-%dT%H%M%S} into the key template so that a reused name makes a new key"
    return "put {folder}/{path} into the key template so that no two files share a key"


def target_of(transfer: Transfer, world: World) -> Target:
    """The planned object. Only for a transfer that is planned."""
    if (
        transfer.bucket is None
        or transfer.key is None
        or transfer.algorithm is None
        or transfer.token is None
    ):
        raise ValueError(f"transfer {transfer.id} is not planned")
    mtime = transfer.fingerprint.mtime_ns
    metadata = {
        **world.destination.metadata,
        UPLOAD_TOKEN: transfer.token,
        "syncd-device": world.device,
        "syncd-mtime": f"{mtime // 10**9}.{mtime % 10**9:09d}",
    }
    if was_encoded(transfer.path):
        metadata["syncd-name"] = ascii_name(transfer.path)
    return Target(
        bucket=transfer.bucket,
        key=transfer.key,
        algorithm=transfer.algorithm,
        token=transfer.token,
        metadata=metadata,
        content_type=world.destination.content_type or content_type_of(transfer.path),
        tags=dict(world.destination.tags),
        storage_class=world.destination.storage_class,
        encryption=world.destination.encryption,
        kms_key_id=world.destination.kms_key_id,
    )
