"""What would become of a file that lies there now, were it looked at by the rules that the steps obey.

A forecast: whether a file still changes shows only in time, so one that looks finished is said to go when it has stayed as it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from syncd.decide import words
from syncd.decide.compare import Verdict, compare, compare_open
from syncd.decide.settle import SettlePolicy
from syncd.decide.states import UPLOAD_BEGUN
from syncd.model import Fingerprint, State, Transfer, Writer

_SECOND_NS = 10**9


class Action(enum.StrEnum):
    """What would be done."""

    SEND = "send"
    WAIT = "wait"  # not finished yet, or not to be read
    COMPARE = "compare"  # its bytes are read again, locally: nothing is sent if they are the same
    PARK = "park"  # it cannot go as things stand
    PARKED = "parked"  # a person must look
    KNOWN = "known"  # uploaded as it is
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """A file that is there, and what is known of it.

    `row`: what stands for it, none for one never met. `refusal`: why its key or its size cannot be.
    """

    now: float
    seen: Fingerprint
    row: Transfer | None = None
    exclusion: str | None = None
    settle: SettlePolicy = field(default_factory=SettlePolicy)
    writer: Writer = Writer.UNKNOWN
    marker_there: bool | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would be done, and why."""

    action: Action
    why: str


def foresee(facts: FileFacts) -> Forecast:
    """The forecast for one file."""
    row = facts.row
    begun = row is not None and row.state in UPLOAD_BEGUN
    if facts.exclusion is not None and not begun:
        return Forecast(Action.EXCLUDED, facts.exclusion)
    if row is None:
        return _new(facts, "it was never met")
    match row.state:
        case State.DISCOVERED | State.SETTLED if facts.seen != row.fingerprint:
            return Forecast(Action.WAIT, "it changed since the last look")
        case _ if row.parked_reason is not None:
            return Forecast(Action.PARKED, row.parked_reason)
        case State.DONE | State.VERIFIED:
            return _uploaded(row, facts)
        case State.DISCOVERED:
            return _new(facts, "it was met")
        case State.SETTLED:
            return _unless_refused(facts, Forecast(Action.SEND, _when(row, facts, "it is finished")))
        case _:
            return _under_way(row, facts)


def _uploaded(row: Transfer, facts: FileFacts) -> Forecast:
    match compare(row, facts.seen):
        case Verdict.SAME:
            return Forecast(Action.KNOWN, "it is uploaded" + _since(row))
        case Verdict.READ_AGAIN:
            return Forecast(Action.COMPARE, "its times or inode changed since its upload")
        case _:
            return _new(facts, "it changed since its upload")


def _since(row: Transfer) -> str:
    return "" if row.finished_at is None else f" since {words.moment(row.finished_at)}"


def _new(facts: FileFacts, met: str) -> Forecast:
    """Not known to be finished: what can be told at once."""
    settle, age = facts.settle, facts.now - facts.seen.mtime_ns / _SECOND_NS
    if facts.writer is Writer.OPEN:
        return Forecast(Action.WAIT, "a program has it open for writing")
    if settle.check_writer and settle.require_answer and facts.writer in {Writer.UNKNOWN, Writer.UNASKED}:
        return Forecast(Action.WAIT, "whether a program has it open for writing cannot be told here")
    if facts.marker_there is False:
        return Forecast(Action.WAIT, f"its marker {settle.marker} is not there")
    if 0 <= age < settle.quiet_s:
        return Forecast(
            Action.WAIT, f"it changed {words.span(age)} ago and must stay unchanged for {settle.quiet_s:g} s"
        )
    quiet = f", when it has stayed unchanged for {settle.quiet_s:g} s" if settle.quiet_s else ""
    return _unless_refused(facts, Forecast(Action.SEND, met + quiet))


def _unless_refused(facts: FileFacts, forecast: Forecast) -> Forecast:
    return forecast if facts.refusal is None else Forecast(Action.PARK, facts.refusal)


def _under_way(row: Transfer, facts: FileFacts) -> Forecast:
    if compare_open(row.fingerprint, facts.seen) is Verdict.NEW_VERSION:
        return Forecast(Action.WAIT, "it changed since its upload was begun, which is given up")
    how = "its upload is begun and goes on" if row.state in UPLOAD_BEGUN else "it is queued"
    return Forecast(Action.SEND, _when(row, facts, how))


def _when(row: Transfer, facts: FileFacts, how: str) -> str:
    return how if row.not_before <= facts.now else f"{how}, tried again at {words.moment(row.not_before)}"
