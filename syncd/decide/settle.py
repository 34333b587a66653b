"""When a file counts as finished: two looks `quiet` apart that saw the same, nobody writing, the marker there.

Looks are timed by a clock that never jumps and begin when this process first sees a fingerprint; a date in a file's
metadata is never taken for evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncd.decide.keys import split_name
from syncd.model import Fingerprint, Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePolicy:
    """`complete_when` of a folder. `marker`: a file name with {name}, {stem}, {suffix}, beside the file."""

    quiet_s: float = 10.0
    check_writer: bool = True
    require_answer: bool = False  # and not to know counts as being open
    marker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look saw, and what the last one had seen. `marker_there`: None if none is configured."""

    since_first_s: float
    known: Fingerprint
    seen: Fingerprint | None
    writer: Writer
    marker_there: bool | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The file is finished."""

    why: str


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Not yet. `restart`: the fingerprint changed, the quiet time begins anew."""

    after_s: float
    why: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no regular file at the path now."""


def judge(policy: SettlePolicy, look: Look) -> Settled | LookAgain | Missing:
    """What to make of a look. Never settles a file that was not the same for the whole quiet time."""
    pause = max(policy.quiet_s, 1.0)
    if look.seen is None:
        return Missing()
    if look.seen != look.known:
        # Without a quiet time, a file that grows would be looked at without a pause.
        return LookAgain(policy.quiet_s or pause, "it changed since the last look", restart=True)
    if look.since_first_s < policy.quiet_s:
        return LookAgain(
            policy.quiet_s - look.since_first_s, f"it must stay unchanged for {policy.quiet_s:g} s"
        )
    if policy.check_writer and look.writer is Writer.OPEN:
        return LookAgain(pause, "a program has it open for writing")
    if policy.require_answer and look.writer in {Writer.UNKNOWN, Writer.UNASKED}:
        return LookAgain(pause, "whether a program has it open for writing cannot be told here")
    if look.marker_there is False:
        return LookAgain(pause, f"its marker {policy.marker} is not there")
    return Settled(_reason(policy, look))


def _reason(policy: SettlePolicy, look: Look) -> str:
    known = {
        Writer.NONE: "nobody has it open for writing",
        Writer.UNKNOWN: "whether somebody has it open cannot be told here",
        Writer.UNASKED: "whether somebody has it open could not be asked",
        Writer.OPEN: "writers are not asked for",
    }[look.writer if policy.check_writer else Writer.OPEN]
    marker = ", its marker is there" if look.marker_there else ""
    return f"unchanged for {look.since_first_s:.0f} s, {known}{marker}"


def marker_path(policy: SettlePolicy, path: bytes) -> bytes | None:
    """Where the marker of a file must lie; None if none is configured."""
    if policy.marker is None:
        return None
    parent, slash, name = path.rpartition(b"/")
    stem, suffix = split_name(name)
    marker = policy.marker.encode("utf-8", "surrogateescape")
    for field, value in ((b"{name}", name), (b"{stem}", stem), (b"{suffix}", suffix)):
        marker = marker.replace(field, value)
    return parent + slash + marker
