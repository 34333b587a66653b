"""The heart: from a transfer's state to the act for it, as long as it goes on.

The only place that catches our kinds of failure and the only one that writes what an act decided. What was just
committed is fresh; what is found in the queue (after a crash, a stop, a failure) comes with a doubt, and the act looks
before it acts again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import structlog

from syncd.act import dispose, plan, upload, verify
from syncd.act.recheck import Stopping, give_up
from syncd.act.world import World
from syncd.decide.plan import part_count
from syncd.decide.retry import file_delay
from syncd.decide.states import UPLOAD_BEGUN
from syncd.errors import (
    Changed,
    ChecksumIgnored,
    Conflict,
    EncryptionIgnored,
    FolderUnavailable,
    LedgerFull,
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

ROUNDS = 2
"""How often one visit may meet something stale: once more with the doubt, then the transfer waits its turn again."""

TOLD_ATTEMPTS = 3


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
    begun = world.ledger.get(identity)
    for _ in range(ROUNDS):
        try:
            _go_on(identity, world, doubt)
        except (RowMoved, Stopping):
            return Report(identity, Ending.TROUBLED)
        except (Changed, Vanished) as stale:
            return _ask_for_a_look(identity, world, stale)
        except Conflict as conflict:
            return _postpone(identity, world, Transient(str(conflict)))
        except Stale as stale:
            doubt = stale  # the next round looks before it acts
        except SyncdError as error:
            return _give_way(identity, world, error)
        else:
            local = begun is not None and begun.state is State.VERIFIED
            not_asked = local or world.halted()  # the destination, or perhaps not
            return Report(identity, Ending.TROUBLED if not_asked else Ending.REACHED)
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
        except (LockedOut, Transient) as error:
            if doubt is None:
                _back_to_planned(transfer, world, error)
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
    put_off = transfer.state is State.VERIFIED and transfer.not_before > world.clock.now()
    return going and not put_off and not world.halted()


def _advance(transfer: Transfer, world: World, doubt: Stale | None) -> Transfer | None:
    """One act and its record; the transfer as it is then."""
    changes = list(ACTS[transfer.state](transfer, world, doubt))
    verified = any(isinstance(change, Move) and change.to is State.VERIFIED for change in changes)
    if verified and dispose.done_at_once(transfer, world):
        changes.append(dispose.done(transfer, world))
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
    """Record what a stale answer means for the plan. Raises LockedOut for what was asked for by name and is not done."""
    if isinstance(stale, ChecksumIgnored):
        _fall_back(transfer, world, stale)
    elif isinstance(stale, EncryptionIgnored):
        hint = "turn encryption on at the store, or set destination.server_side_encryption to null"
        _begin_again_locked_out(transfer, world, stale, code="bucket", hint=hint)
    elif isinstance(stale, Conflict):  # S3 wants a new upload, all parts
        world.ledger.commit(
            verify.begin_again(transfer, f"another write under the key came between ({stale})")
        )
    elif isinstance(stale, UploadGone) and transfer.state is State.UPLOADING:
        world.ledger.commit(verify.begin_again(transfer, f"the store no longer has the upload ({stale})"))


def _fall_back(transfer: Transfer, world: World, ignored: ChecksumIgnored) -> None:
    """The destination does not honour our checksum: remember it, begin this transfer again with MD5."""
    if world.destination.checksum is not None:
        hint = "set destination.checksum to auto, or to one that the store honours"
        _begin_again_locked_out(transfer, world, ignored, code="checksum", hint=hint)
    sets = _instead_of(ignored, world)
    sets["algorithm"] = Algorithm.MD5
    name = plan.destination_name(world.destination, transfer.bucket or "")
    if not world.ledger.checksum_ignored(name):
        world.ledger.remember_checksum_ignored(name, world.clock.now())
        log.warning("checksum_ignored", destination=name, algorithm=str(transfer.algorithm), instead="md5")
    world.ledger.commit(verify.begin_again(transfer, f"it begins again with MD5: {ignored}", sets))


def _begin_again_locked_out(
    transfer: Transfer, world: World, ignored: ChecksumIgnored | EncryptionIgnored, *, code: str, hint: str
) -> NoReturn:
    """What was stored otherwise than it was asked for is replaced, once the store or the configuration is mended."""
    sets = _instead_of(ignored, world)
    world.ledger.commit(verify.begin_again(transfer, f"it begins again: {ignored}", sets))
    raise LockedOut(str(ignored), code=code, hint=hint)


def _instead_of(ignored: ChecksumIgnored | EncryptionIgnored, world: World) -> Columns:
    """A new token, and the object that was stored all the same may be replaced."""
    sets = Columns(token=world.token())
    if ignored.etag is not None:
        sets["condition"] = Condition(if_match=ignored.etag)
    return sets


def _ask_for_a_look(identity: int, world: World, stale: Stale) -> Report:
    """The file is not what we think: the clerk looks at its path and decides, if it looks there at all."""
    transfer = world.ledger.get(identity)
    if transfer is not None and transfer.state in ACTS:
        policy = world.folders.get(transfer.folder)
        if policy is None or not policy.selection.takes(transfer.path):
            _end_unwatched(transfer, world, stale)
        else:
            _wait(
                transfer, world, file_delay(transfer.attempts + 1, 0.5), stale, attempts=transfer.attempts + 1
            )
            world.hints.path(transfer.folder, transfer.path)
    return Report(identity, Ending.TROUBLED)


def _end_unwatched(transfer: Transfer, world: World, stale: Stale) -> None:
    """An open upload of a file that is no longer watched, and no longer the same: it ends here."""
    to = State.VANISHED if isinstance(stale, Vanished) else State.SUPERSEDED
    why = f"{stale}; it is no longer watched"
    world.ledger.commit([*give_up(transfer), Move(id=transfer.id, was=transfer.state, to=to, why=why)])


def _give_way(identity: int, world: World, error: SyncdError) -> Report:
    """Wait, park or pass on, by the kind of failure. Raises the error itself if it is Fatal, or the ledger full."""
    match error:
        case LedgerFull():
            raise error
        case LockedOut():
            _to_the_end_of_the_line(identity, world, error)
            return Report(identity, Ending.LOCKED_OUT, error)
        case Transient() if error.unreachable:
            _to_the_end_of_the_line(identity, world, error)
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


def _to_the_end_of_the_line(identity: int, world: World, error: SyncdError) -> None:
    """It loses no attempt, but the next probe is another file: perhaps this one alone is refused."""
    transfer = world.ledger.get(identity)
    if transfer is not None and transfer.state in ACTS:
        sets = Columns(not_before=world.clock.now(), hint=error.hint)
        world.ledger.commit([Amend(id=identity, was=transfer.state, sets=sets)])


def _back_to_planned(transfer: Transfer, world: World, error: LockedOut | Transient) -> None:
    """A Create that was refused or never left us has opened nothing: no doubt remains."""
    opened_perhaps = isinstance(error, Transient) and (error.lost or not error.unreachable)
    if transfer.state is State.CREATING and not opened_perhaps:
        why = f"the upload could not be opened: {error}"
        world.ledger.commit([Move(id=transfer.id, was=State.CREATING, to=State.PLANNED, why=why)])


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
    """Every attempt counts; the story tells the first few, then every tenth."""
    sets = Columns(not_before=world.clock.now() + delay, attempts=attempts, hint=error.hint)
    why = f"waits: {error}" if attempts <= TOLD_ATTEMPTS or attempts % 10 == 0 else None
    world.ledger.commit([Amend(id=transfer.id, was=transfer.state, sets=sets, why=why)])


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
