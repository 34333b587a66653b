"""The heart: from a transfer's state to the act for it, as long as it goes on.

The only place that catches our kinds of failure and the only one that writes what an act decided. What was just
committed is fresh; what is found in the queue (after a crash, a stop, a failure) comes with a doubt, and the act looks
before it acts again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from syncd.act import dispose, plan, upload, verify
from syncd.act.world import World
from syncd.decide.plan import part_count
from syncd.decide.retry import file_delay
from syncd.decide.states import UPLOAD_BEGUN
from syncd.errors import (
    Changed,
    ChecksumIgnored,
    FolderUnavailable,
    LockedOut,
    Refused,
    RowMoved,
    Stale,
    SyncdError,
    Transient,
    UploadGone,
    Vanished,
)
from syncd.model import Algorithm, Amend, Change, Columns, Condition, Move, State, Transfer

log = structlog.get_logger()

Act = Callable[[Transfer, World, Stale | None], Sequence[Change]]

ACTS: Mapping[State, Act] = {
    State.SETTLED: plan.plan,
    State.PLANNED: plan.begin,
    State.CREATING: upload.create,
    State.UPLOADING: upload.send,
    State.COMPLETING: verify.complete,
    State.VERIFIED: dispose.dispose,
}

ROUNDS = 4
"""How often one visit may meet something stale before the transfer waits its turn again."""


class Ending(enum.Enum):
    """How a visit ended, as far as it tells about the destination."""

    REACHED = "reached"  # it went on, or the destination answered
    TROUBLED = "troubled"  # nothing learnt
    LOCKED_OUT = "locked out"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Report:
    """What the clerk is told after a visit."""

    transfer: int
    ending: Ending
    error: SyncdError | None = None

    @classmethod
    def nothing(cls, transfer: int) -> Report:
        """A job that tells nothing about the destination."""
        return cls(transfer, Ending.TROUBLED)


class Interrupted(Stale):
    """The doubt of every transfer that is found in the middle: a crash or a stop may lie between intent and record."""


def visit(identity: int, world: World) -> Report:
    """Take a transfer as far as it goes now. Raises only Fatal kinds; all else becomes rows and this report."""
    doubt: Stale = Interrupted("found in the queue")
    for _ in range(ROUNDS):
        try:
            _go_on(identity, world, doubt)
        except (RowMoved, upload.Stopping):
            return Report(identity, Ending.TROUBLED)
        except (Changed, Vanished) as stale:
            return _ask_for_a_look(identity, world, stale)
        except Stale as stale:
            doubt = stale  # the next round looks before it acts
        except SyncdError as error:
            return _give_way(identity, world, error)
        else:
            return Report(identity, Ending.REACHED)
    return _postpone(identity, world, Transient(f"it did not come to rest: {doubt}"))


def _go_on(identity: int, world: World, doubt: Stale | None) -> None:
    """Act after act, until there is nothing to do now or something fails."""
    transfer = world.ledger.get(identity)
    while transfer is not None and _wanted(transfer, world):
        try:
            moved = _advance(transfer, world, doubt)
        except Stale as stale:
            _answer_stale(transfer, world, stale)
            raise
        doubt = _doubt_after(transfer, moved, doubt)
        transfer = moved


def _doubt_after(transfer: Transfer, moved: Transfer | None, doubt: Stale | None) -> Stale | None:
    """What was just recorded is sure, except that going back to sending parts does not say which are there."""
    back = {State.UPLOADING, State.COMPLETING}
    if moved is not None and moved.state is State.UPLOADING and transfer.state in back:
        return doubt
    return None


def _wanted(transfer: Transfer, world: World) -> bool:
    going = transfer.state in ACTS and transfer.parked_reason is None
    return going and not world.stop.is_set()


def _advance(transfer: Transfer, world: World, doubt: Stale | None) -> Transfer | None:
    """One act and its record; the transfer as it is then."""
    changes = list(ACTS[transfer.state](transfer, world, doubt))
    if any(isinstance(change, Move) and change.to is State.VERIFIED for change in changes):
        changes.append(dispose.done(transfer.id, world.clock.now()))
    world.ledger.commit(changes)
    after = world.ledger.get(transfer.id)
    if after is not None and after.state is State.DONE:
        _tell(after)
    return after


def _tell(transfer: Transfer) -> None:
    """The one canonical line of a finished transfer."""
    seconds = (transfer.finished_at or 0.0) - (transfer.started_at or 0.0)
    log.info(
        "transfer_done",
        path=transfer.folder + b"/" + transfer.path,
        bucket=transfer.bucket,
        key=transfer.key,
        bytes=transfer.fingerprint.size,
        parts=part_count(transfer.fingerprint.size, transfer.part_size),
        seconds=round(max(seconds, 0.0), 3),
        resent_bytes=transfer.resent_bytes,
        proof=str(transfer.proof.kind) if transfer.proof else None,
    )


# -- what failures make of a transfer


def _answer_stale(transfer: Transfer, world: World, stale: Stale) -> None:
    """Record what a stale answer means for the plan. Raises LockedOut for a checksum that was asked for by name."""
    if isinstance(stale, ChecksumIgnored):
        _fall_back(transfer, world, stale)
    elif isinstance(stale, UploadGone) and transfer.state is State.UPLOADING:
        world.ledger.commit(verify.begin_again(transfer, f"the store no longer has the upload ({stale})"))


def _fall_back(transfer: Transfer, world: World, ignored: ChecksumIgnored) -> None:
    """The destination does not honour our checksum: remember it, begin this transfer again with MD5."""
    sets = Columns(token=world.token())
    if ignored.etag is not None:
        sets["condition"] = Condition(if_match=ignored.etag)
    if world.destination.checksum is not None:
        world.ledger.commit(verify.begin_again(transfer, f"it begins again: {ignored}", sets))
        raise LockedOut(
            str(ignored),
            code="checksum",
            hint="set destination.checksum to auto, or to one that the store honours",
        )
    sets["algorithm"] = Algorithm.MD5
    name = plan.destination_name(world.destination, transfer.bucket or "")
    if not world.ledger.checksum_ignored(name):
        world.ledger.remember_checksum_ignored(name, world.clock.now())
        log.warning("checksum_ignored", destination=name, algorithm=str(transfer.algorithm), instead="md5")
    world.ledger.commit(verify.begin_again(transfer, f"it begins again with MD5: {ignored}", sets))


def _ask_for_a_look(identity: int, world: World, stale: Stale) -> Report:
    """The file is not what we think: the clerk looks at its path and decides."""
    transfer = world.ledger.get(identity)
    if transfer is not None and transfer.state in ACTS:
        _wait(transfer, world, 2.0, stale, attempts=transfer.attempts + 1)
        world.hints.path(transfer.folder, transfer.path)
    return Report(identity, Ending.TROUBLED)


def _give_way(identity: int, world: World, error: SyncdError) -> Report:
    """Wait, park or pass on, by the kind of failure. Raises the error itself if it is Fatal."""
    match error:
        case LockedOut():
            _back_to_planned(identity, world, error)
            return Report(identity, Ending.LOCKED_OUT, error)
        case Transient() if error.unreachable:
            _back_to_planned(identity, world, error)
            return Report(identity, Ending.UNREACHABLE, error)
        case Transient():
            return _postpone(identity, world, error)
        case FolderUnavailable():
            return _postpone(identity, world, Transient(str(error), hint=error.hint))
        case Refused():
            _park(identity, world, error)
            return Report(identity, Ending.REACHED, error)
        case _:
            raise error


def _back_to_planned(identity: int, world: World, error: SyncdError) -> None:
    """A Create that was refused or never left us has opened nothing: no doubt remains."""
    transfer = world.ledger.get(identity)
    if transfer is not None and transfer.state is State.CREATING:
        why = f"the upload could not be opened: {error}"
        world.ledger.commit([Move(id=identity, was=State.CREATING, to=State.PLANNED, why=why)])


def _postpone(identity: int, world: World, error: Transient) -> Report:
    transfer = world.ledger.get(identity)
    if transfer is not None and transfer.state in ACTS:
        attempts = transfer.attempts + 1
        delay = file_delay(attempts, world.chance(), wish=error.retry_after)
        _wait(transfer, world, delay, error, attempts=attempts)
        log.warning(
            "transfer_postponed",
            path=transfer.folder + b"/" + transfer.path,
            error=str(error),
            attempts=attempts,
            wait_s=round(delay, 1),
        )
    return Report(identity, Ending.TROUBLED, error)


def _wait(transfer: Transfer, world: World, delay: float, error: SyncdError, *, attempts: int) -> None:
    sets = Columns(not_before=world.clock.now() + delay, attempts=attempts, hint=error.hint)
    world.ledger.commit([Amend(id=transfer.id, was=transfer.state, sets=sets, why=f"waits: {error}")])


def _park(identity: int, world: World, error: Refused) -> None:
    """A person must look. An open upload is given up, so that nothing is left behind meanwhile."""
    transfer = world.ledger.get(identity)
    if transfer is None or transfer.state not in ACTS:
        return
    sets = Columns(parked_reason=str(error), hint=error.hint)
    if transfer.state in UPLOAD_BEGUN:
        changes = verify.begin_again(transfer, f"parked: {error}", sets)
    else:
        changes = [Amend(id=transfer.id, was=transfer.state, sets=sets, why=f"parked: {error}")]
    world.ledger.commit(changes)
    log.error(
        "transfer_parked", path=transfer.folder + b"/" + transfer.path, reason=str(error), hint=error.hint
    )
