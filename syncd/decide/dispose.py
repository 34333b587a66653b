"""Whether the local file may go, now that its object is proven: only with a real proof and with certainty.

Certainty that nobody is still writing comes from the kernel (a read lease was granted), from a marker that is configured,
or from an hour without a change. Where there is none the file stays, and why is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncd.model import Proof, ProofKind, Writer

CERTAIN_AGE_S = 3600.0
"""A `min_age` of an hour or more counts as certainty that the file is finished."""

WRITER_PAUSE_S = 60.0
AWAY_PAUSE_S = 10.0

_TOO_YOUNG = "it is {} when it is old enough"


def waits_for_age(hint: str | None) -> bool:
    """Whether a file that waits in `verified` has nothing to wait for but its age."""
    return hint in {_TOO_YOUNG.format(word) for word in ("deleted", "moved")}


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalPolicy:
    """`after_upload` of a folder: keep the file, delete it, or move it below `move_to`. Ages in seconds."""

    delete: bool = False
    move_to: bytes | None = None
    min_age_s: float = 0.0

    @property
    def keeps(self) -> bool:
        """Whether there is nothing to do."""
        return not self.delete and self.move_to is None

    @property
    def word(self) -> str:
        """What is done to the file."""
        return "moved" if self.move_to is not None else "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known when the file's turn comes. `age_s`: since its last change, or since we began to send it."""

    proof: Proof | None
    age_s: float
    writer: Writer
    has_marker: bool


@dataclass(frozen=True, slots=True)
class Stay:
    """The file is kept for good."""

    why: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet."""

    after_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Go:
    """The file may go. `ask_again`: only if the kernel says once more, at the last moment, that nobody writes."""

    ask_again: bool


def certain_by_rule(policy: DisposalPolicy, *, has_marker: bool) -> bool:
    """Whether the configuration itself says that a file is finished, where the kernel cannot."""
    return has_marker or policy.min_age_s >= CERTAIN_AGE_S


def judge(policy: DisposalPolicy, situation: Situation) -> Stay | Later | Go:
    """What becomes of the local file. Never lets go of one on inference."""
    if policy.keeps:
        return Stay("the file is kept")
    if situation.proof is None or situation.proof.kind is ProofKind.SIZE:
        return Stay(f"the file is kept, not {policy.word}: only the size of its object is proven")
    if situation.age_s < policy.min_age_s:
        return Later(policy.min_age_s - situation.age_s, _TOO_YOUNG.format(policy.word))
    if situation.writer is Writer.OPEN:
        return Later(WRITER_PAUSE_S, "a program has it open for writing")
    by_rule = certain_by_rule(policy, has_marker=situation.has_marker)
    if situation.writer is Writer.NONE or by_rule:
        return Go(ask_again=not by_rule)
    if situation.writer is Writer.UNASKED:
        return Later(AWAY_PAUSE_S, "it could not be opened to ask whether a program writes it")
    return Stay(
        f"the file is kept, not {policy.word}: whether a program still writes it cannot be told here; "
        "set complete_when.marker, or a min_age of 1h or more"
    )
