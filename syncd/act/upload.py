"""planned -> creating -> uploading -> completing: open the upload, send what is missing, close it.

Every step may run twice: Create after a doubt is begun anew (the orphan is queued for abort where we may list
uploads), a part sent again replaces itself, and `verify` looks before a Complete is repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from syncd.act.body import BLOCK, HeldBody, StreamedBody, body_for, sum_of_span
from syncd.act.plan import target_of
from syncd.act.recheck import Stopping, new_version
from syncd.act.world import World
from syncd.decide.compare import Verdict, compare_open
from syncd.decide.plan import part_count, spans
from syncd.decide.resume import reconcile
from syncd.errors import Changed, Stale, SyncdError, UploadGone
from syncd.model import (
    AbortLater,
    Algorithm,
    Amend,
    Change,
    Columns,
    CountSent,
    Move,
    Part,
    PartSpan,
    State,
    SuspectOrphan,
    Target,
    Transfer,
)
from syncd.ports import OpenFile

CLOCK_SLACK_S = 900.0
"""An orphan of ours began no earlier than our own intent, give or take what S3 tolerates in clocks."""


def create(transfer: Transfer, world: World, doubt: Stale | None) -> Sequence[Change]:
    """From creating to uploading. After a crash or a lost answer, first clear up: back to planned."""
    if doubt is not None:
        return _clear_up(transfer, world)
    upload_id = world.store.create(target_of(transfer, world))
    sets = Columns(upload_id=upload_id)
    return [Move(id=transfer.id, was=State.CREATING, to=State.UPLOADING, why="the upload is open", sets=sets)]


def opened_since(found: list[tuple[str, float]], since: float) -> list[str]:
    """Of the uploads of a key, those that may be of an intent at that time."""
    return [upload_id for upload_id, initiated_at in found if initiated_at >= since - CLOCK_SLACK_S]


def _clear_up(transfer: Transfer, world: World) -> Sequence[Change]:
    target = target_of(transfer, world)
    found = world.store.list_uploads(target.bucket, target.key)
    why = "it is not known whether the upload was opened: a new one is begun"
    back = Move(id=transfer.id, was=State.CREATING, to=State.PLANNED, why=why)
    if found is None:
        return [SuspectOrphan(), back]
    ours = opened_since(found, transfer.started_at or 0.0)
    return [*(AbortLater(bucket=target.bucket, key=target.key, upload_id=each) for each in ours), back]


def send(transfer: Transfer, world: World, doubt: Stale | None) -> Sequence[Change]:
    """From uploading to completing: every part acknowledged and recorded, the file still the same at the end.

    Raises Changed, Vanished, UploadGone, and what the store raises; parts that were acknowledged stay recorded.
    """
    with _opened(transfer, world) as file:
        verdict = compare_open(transfer.fingerprint, file.fingerprint())
        if verdict is Verdict.NEW_VERSION:
            raise Changed("it changed while it was being uploaded")
        if verdict is Verdict.READ_AGAIN:
            return _take_over_fingerprint(transfer, world, file)
        missing = _missing(transfer, world, file, listed=doubt is not None)
        _send_all(transfer, world, file, missing)
        _check_same(transfer, file)
    why = f"all {part_count(transfer.fingerprint.size, transfer.part_size)} parts are there"
    return [Move(id=transfer.id, was=State.UPLOADING, to=State.COMPLETING, why=why)]


@contextlib.contextmanager
def _opened(transfer: Transfer, world: World) -> Iterator[OpenFile]:
    file = world.disk.open(transfer.folder, transfer.path)
    try:
        yield file
    finally:
        file.close()


def _take_over_fingerprint(transfer: Transfer, world: World, file: OpenFile) -> Sequence[Change]:
    """Only inode, ctime or device differ: the recorded parts' bytes decide whether it is the same file."""
    now = file.fingerprint()
    plan = {span.number: span for span in spans(transfer.fingerprint.size, transfer.part_size)}
    for part in world.ledger.parts(transfer.id):
        if _local_sum(transfer, plan[part.number], world, file) != (part.checksum or ""):
            world.hints.path(transfer.folder, transfer.path)
            return new_version(
                transfer, now, f"other bytes than those sent (part {part.number}), at the same size and time"
            )
    if file.fingerprint() != now:
        raise Changed("it changed while it was being compared")
    why = "inode, owner or device changed, the bytes did not: it goes on"
    return [Amend(id=transfer.id, was=State.UPLOADING, sets=Columns(fingerprint=now), why=why)]


def _local_sum(transfer: Transfer, span: PartSpan, world: World, file: OpenFile) -> str:
    algorithm = transfer.algorithm or Algorithm.NONE
    return sum_of_span(file, span, memoryview(bytearray(BLOCK)), algorithm, world.sums, world.looked)


def _missing(transfer: Transfer, world: World, file: OpenFile, *, listed: bool) -> list[PartSpan]:
    """The parts still to send; after an interruption the store's own list is asked and compared."""
    plan = list(spans(transfer.fingerprint.size, transfer.part_size))
    recorded = world.ledger.parts(transfer.id)
    if not listed:
        have = {part.number for part in recorded}
        return [span for span in plan if span.number not in have]
    theirs = world.store.list_parts(target_of(transfer, world), _upload_id(transfer))
    known = reconcile(plan, recorded, theirs)
    adopted = {span.number for span, part in known.check if _adopt(transfer, world, file, span, part)}
    again = [span for span, _ in known.check if span.number not in adopted]
    return sorted([*known.send, *again], key=lambda span: span.number)


def _adopt(transfer: Transfer, world: World, file: OpenFile, span: PartSpan, part: Part) -> bool:
    """A part that the store has and the ledger missed: ours if its sum is that of the local bytes."""
    algorithm = transfer.algorithm or Algorithm.NONE
    if part.checksum is not None and algorithm not in {Algorithm.MD5, Algorithm.NONE}:
        same = _local_sum(transfer, span, world, file) == part.checksum
        checksum: str | None = part.checksum
    else:
        local = sum_of_span(file, span, memoryview(bytearray(BLOCK)), Algorithm.MD5, world.sums, world.looked)
        same = world.sums.whole(Algorithm.MD5, [(local, span.size)], multipart=False) == part.etag.strip('"')
        checksum = local if algorithm is Algorithm.MD5 else None
    usable = same and (checksum is not None or algorithm is Algorithm.NONE)
    if usable:
        adopted = Part(number=part.number, size=part.size, etag=part.etag, checksum=checksum)
        world.ledger.record_part(transfer.id, adopted, sent=span.size, resent=0)
    return usable


def _upload_id(transfer: Transfer) -> str:
    if transfer.upload_id is None:
        raise UploadGone("no upload is open")
    return transfer.upload_id


def _check_same(transfer: Transfer, file: OpenFile) -> None:
    if file.fingerprint() != transfer.fingerprint:
        raise Changed("it changed while it was being uploaded")


def _send_all(transfer: Transfer, world: World, file: OpenFile, missing: list[PartSpan]) -> None:
    """Keep the body pool busy with this file's parts, a few ahead; on trouble let those in flight end first."""
    total = part_count(transfer.fingerprint.size, transfer.part_size)
    waiting_bytes = sum(span.size for span in missing)
    world.board.begin(
        transfer.id,
        size=transfer.fingerprint.size,
        sent=transfer.fingerprint.size - waiting_bytes,
        parts_done=total - len(missing),
        parts_total=total,
    )
    target, upload_id = target_of(transfer, world), _upload_id(transfer)
    queue = iter(missing)
    flying: set[Future[None]] = set()
    try:
        for span in queue:
            job = _PartJob(transfer, world, file, target, upload_id, span)
            flying.add(world.bodies.submit(job, flow=transfer.id, cost=span.size))
            if len(flying) >= world.bodies_at_once:
                flying = _land_some(flying)
        while flying:
            flying = _land_some(flying)
    finally:
        wait(flying)  # the descriptor and the upload are theirs until they end
        world.board.end(transfer.id)


def _land_some(flying: set[Future[None]]) -> set[Future[None]]:
    done, rest = wait(flying, return_when=FIRST_COMPLETED)
    failures = [failure for future in done if (failure := future.exception()) is not None]
    if failures:
        wait(rest)
        raise _gravest(failures)
    return rest


def _gravest(failures: list[BaseException]) -> BaseException:
    """What is not one of our kinds, then what says that the file or the upload is not what we think."""
    return min(failures, key=lambda failure: (isinstance(failure, Exception), not isinstance(failure, Stale)))


class _PartJob:
    """Read, sum, send and record one part."""

    def __init__(
        self, transfer: Transfer, world: World, file: OpenFile, target: Target, upload_id: str, span: PartSpan
    ) -> None:
        self._transfer = transfer
        self._world = world
        self._file = file
        self._target = target
        self._upload_id = upload_id
        self._span = span

    def __call__(self, buffer: memoryview) -> None:
        """Runs in the body pool."""
        world, span = self._world, self._span
        if world.halted():
            raise Stopping("the daemon is stopping, or paused")
        body = body_for(self._file, span, buffer, self._target.algorithm, world.sums)
        _check_same(self._transfer, self._file)
        try:
            part = world.store.upload_part(self._target, self._upload_id, span.number, body)
        except SyncdError:
            count_in_vain(world, self._transfer.id, body)
            raise
        kept = Part(number=span.number, size=span.size, etag=part.etag, checksum=body.checksum or None)
        world.ledger.record_part(self._transfer.id, kept, sent=span.size, resent=body.resent(arrived=True))
        world.board.acknowledged(self._transfer.id, span.size)


def count_in_vain(world: World, transfer: int, body: HeldBody | StreamedBody) -> None:
    """What a failed attempt sent will be sent again."""
    wasted = body.resent(arrived=False)
    if wasted:
        world.ledger.commit([CountSent(id=transfer, sent=0, resent=wasted)])
