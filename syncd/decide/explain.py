"""Where a path stands and what it waits for, in one true sentence.

Asks the same rules that the steps obey (`settle.judge`, `compare`), over facts of this moment, so that what is said and
what is done cannot part ways. Refuses to guess: what was not looked at is said to be unknown.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace

from syncd.decide import words
from syncd.decide.compare import Verdict, compare
from syncd.decide.pause import RESUME
from syncd.decide.plan import part_count
from syncd.decide.retry import FAR_FUTURE_S
from syncd.decide.settle import Look, LookAgain, Missing, SettlePolicy, judge, marker_path
from syncd.decide.states import LIVE
from syncd.model import Fingerprint, State, Transfer, Writer

_NOT_BEGUN = frozenset({State.DISCOVERED, State.SETTLED, State.PLANNED})
_RETRY = "mend that, then: syncd retry PATH"
_START = "start the daemon: systemctl start syncd, or syncd run"


class Kind(enum.StrEnum):
    """What lies at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    BEHIND_SYMLINK = "behind a symlink"  # a directory above it, beneath the folder's root, is one
    OTHER = "other"
    MISSING = "missing"
    HIDDEN = "hidden"  # we may not look
    NOT_ASKED = "not asked"  # outside the folders, or their folder is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """The watched folder of the path. `exclusion`: why the path is not meant; `trouble`: why no file can be read."""

    name: str
    settle: SettlePolicy = field(default_factory=SettlePolicy)
    exclusion: str | None = None
    trouble: str | None = None
    hint: str | None = None
    rescan_s: float = 300.0
    last_scan_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainFacts:
    """All that is known about a path at this moment.

    `folder` None: outside. `inside` empty: the path is the folder itself. `since_first_s`: how long this process has
    seen the fingerprint; None if it has not looked yet. `ahead`: due files before this one, None if it was not
    counted. `why`: the last line of its history. `closed`: why the destination takes nothing now, and the hint. `paused`:
    how a person paused syncd.
    """

    now: float
    running: bool
    watched: tuple[str, ...]
    folder: FolderFacts | None = None
    is_root: bool = False
    kind: Kind = Kind.NOT_ASKED
    seen: Fingerprint | None = None
    writer: Writer = Writer.UNKNOWN
    marker_there: bool | None = None
    since_first_s: float | None = None
    row: Transfer | None = None
    why: str | None = None
    sent: int = 0
    parts_done: int = 0
    in_hand: bool = False
    ahead: int | None = None
    ahead_at_most: int = 1000
    closed: tuple[str, str | None] | None = None
    paused: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One of the states, or `excluded`, `unknown`, `outside`; the sentence; what a person can do, if anything."""

    state: str
    sentence: str
    hint: str | None = None


def explain(facts: ExplainFacts) -> Explanation:
    """The sentence for a path. Never raises: every path on the machine has one."""
    row, folder = facts.row, facts.folder
    if row is not None and not (folder and folder.exclusion and _untouched(row)):
        sentence, hint = _about(row, facts)
        return Explanation(row.state.value, f"{sentence}.", hint)
    if folder is None:
        hint = "watched are: " + ", ".join(facts.watched)
        return Explanation("outside", "It lies outside every watched folder, so syncd leaves it alone.", hint)
    if facts.is_root:
        return Explanation("unknown", f"{_root(folder, running=facts.running)}.", folder.hint)
    if folder.exclusion is not None:
        what = "It is a directory that is not entered" if facts.kind is Kind.DIRECTORY else "It is not taken"
        return Explanation(
            "excluded", f"{what}: {folder.exclusion}.", "see include and exclude of the folder"
        )
    sentence, hint = _never_met(facts, folder)
    return Explanation("unknown", f"{sentence}.", hint)


def _untouched(row: Transfer) -> bool:
    """Not begun, or long over: then what the configuration says now is what counts."""
    begun = row.state in LIVE - _NOT_BEGUN or row.state is State.DONE
    return not begun and row.parked_reason is None


def _root(folder: FolderFacts, *, running: bool) -> str:
    if folder.trouble is not None:
        return f"It is the watched folder {folder.name}, which waits: {folder.trouble}"
    if not running:
        return f"It is the watched folder {folder.name}; syncd is not running"
    scanned = "not yet scanned" if folder.last_scan_at is None else _last_scan(folder)
    return f"It is the watched folder {folder.name}, {scanned}; ask for a file in it"


def _last_scan(folder: FolderFacts) -> str:
    return f"last scanned at {words.moment(folder.last_scan_at or 0.0)}"


# -- paths without a row


_NO_FILE = {
    Kind.DIRECTORY: "It is a directory; each file in it has a story of its own",
    Kind.SYMLINK: "It is a symlink, and syncd takes regular files only",
    Kind.BEHIND_SYMLINK: "A directory above it is a symlink, and syncd follows none beneath a folder",
    Kind.OTHER: "It is no regular file (a socket, a pipe or a device), and only those are taken",
    Kind.MISSING: "There is no such file, and none was ever seen at this path",
    Kind.HIDDEN: "It cannot be looked at: syncd may not enter a directory above it",
}


def _never_met(facts: ExplainFacts, folder: FolderFacts) -> tuple[str, str | None]:
    if folder.trouble is not None:
        return f"It was never seen, and its folder {folder.name} waits: {folder.trouble}", folder.hint
    if facts.kind is Kind.HIDDEN:
        return _NO_FILE[Kind.HIDDEN], "let syncd's user in: chmod or setfacl the directory"
    if facts.kind in _NO_FILE:
        return _NO_FILE[facts.kind], None
    if not facts.running:
        return "It is there, but no scan has met it yet, and syncd is not running", _START
    when = f"the folder is scanned every {words.span(folder.rescan_s)}"
    since = "" if folder.last_scan_at is None else f", {_last_scan(folder)}"
    return f"It is there, but no scan has met it yet; {when}{since}", None


# -- paths with a row


def _about(row: Transfer, facts: ExplainFacts) -> tuple[str, str | None]:
    if row.parked_reason is not None and row.state in LIVE:
        return f"It is parked until a person looks: {row.parked_reason}", row.hint or _RETRY
    match row.state:
        case State.DISCOVERED:
            return _discovered(row, facts)
        case State.DONE:
            return f"{_arrived(row)}{_since_then(row, facts)}", None
        case State.SUPERSEDED:
            return f"Another version took its place{_because(facts)}{_there_again(facts)}", None
        case State.VANISHED:
            return f"It vanished before it was sent{_because(facts)}{_there_again(facts)}", None
        case _:
            return _under_way(row, facts)


def _because(facts: ExplainFacts) -> str:
    return f" ({facts.why})" if facts.why else ""


def _there_again(facts: ExplainFacts) -> str:
    return "; a file is at its path again, and the next scan takes it up" if facts.seen else ""


def _arrived(row: Transfer) -> str:
    proof = f", proven by {row.proof.kind}: {row.proof.value} ({row.proof.by})" if row.proof else ""
    at = f" at {words.moment(row.finished_at)}" if row.finished_at is not None else ""
    return f"It is uploaded, {words.size(row.fingerprint.size)} as s3://{row.bucket}/{row.key}{at}{proof}"


def _since_then(row: Transfer, facts: ExplainFacts) -> str:
    """What became of the local file after that."""
    if facts.seen is None:
        gone = facts.kind is Kind.MISSING or row.gone_at is not None
        return "; the local file is gone since" if gone else ""
    match compare(row, facts.seen):
        case Verdict.NEW_VERSION:
            return "; the file has changed since, and the next scan takes up the new version"
        case Verdict.READ_AGAIN:
            return (
                "; its times or inode changed since, and its bytes will be compared before anything is sent"
            )
        case _:
            return ""


# -- not finished yet


def _discovered(row: Transfer, facts: ExplainFacts) -> tuple[str, str | None]:
    folder = facts.folder
    met = f"It was met at {words.moment(row.discovered_at)} and is not known to be finished"
    if folder is None:
        return f"{met}; its folder is no longer watched", "put the folder back into the configuration"
    if not facts.running:
        quiet = f"syncd is not running, and then it must stay unchanged for {folder.settle.quiet_s:g} s"
        return f"{met}; {quiet}", _START
    if folder.trouble is not None:
        return f"{met}; its folder {folder.name} waits: {folder.trouble}", folder.hint
    if facts.since_first_s is None and facts.seen is not None:
        return f"{met}; its first look since syncd started is to come", None
    return _looked_at(row, facts, folder.settle)


def _looked_at(row: Transfer, facts: ExplainFacts, settle: SettlePolicy) -> tuple[str, str | None]:
    since = facts.since_first_s or 0.0
    settle = _with_real_marker(settle, row.path)
    look = Look(
        since_first_s=since,
        known=row.fingerprint,
        seen=facts.seen,
        writer=facts.writer,
        marker_there=facts.marker_there,
    )
    match judge(settle, look):
        case Missing() if facts.kind is Kind.HIDDEN:
            return "It cannot be looked at now: syncd may not enter a directory above it", None
        case Missing():
            return "It was met but is not there now; the next scan decides", None
        case LookAgain(restart=True):
            return f"It is still being written: {_growth(row, facts)}", None
        case LookAgain(after_s, _) if since < settle.quiet_s:
            so_far = f"it has been so for {since:.0f} s, and the next look is in {words.span(after_s)}"
            return f"It must stay unchanged for {settle.quiet_s:g} s; {so_far}", None
        case LookAgain(after_s, why):
            again = f"the next look is within {words.span(after_s)}"
            return f"It has not changed for {words.span(since)}, but {why}; {again}", None
        case _:
            return "It is finished, and the next look, about now, puts it into the queue", None


def _with_real_marker(settle: SettlePolicy, path: bytes) -> SettlePolicy:
    """The policy as it reads for this very file: the marker by its name instead of by its template."""
    marker = marker_path(settle, path)
    if marker is None:
        return settle
    return replace(settle, marker=marker.rpartition(b"/")[2].decode("utf-8", "backslashreplace"))


def _growth(row: Transfer, facts: ExplainFacts) -> str:
    was, now = row.fingerprint.size, facts.seen.size if facts.seen else 0
    sizes = f" ({was:,} bytes then, {now:,} now)" if was != now else ""
    return f"it changed since the last look{sizes}, so its quiet time begins anew"


# -- on its way


def _under_way(row: Transfer, facts: ExplainFacts) -> tuple[str, str | None]:
    if facts.in_hand:
        return _active(row, facts), None
    waits_for, hint = _holdup(row, facts)
    return f"{_paused(row, facts)}; {waits_for}{_meanwhile(row, facts)}", hint


def _meanwhile(row: Transfer, facts: ExplainFacts) -> str:
    """What became of the file while its row waits."""
    if facts.kind is Kind.MISSING:
        return "; its file is not there now"
    if facts.seen is None or compare(row, facts.seen) is Verdict.SAME:
        return ""
    return "; it has changed since, so it will be looked at again first"


def _active(row: Transfer, facts: ExplainFacts) -> str:
    match row.state:
        case State.SETTLED | State.PLANNED:
            return "It is finished, and its upload is about to begin"
        case State.CREATING:
            return f"Its multipart upload as {row.key} is being opened"
        case State.UPLOADING:
            return f"It is being uploaded as {row.key}: {_progress(row, facts)} acknowledged"
        case State.COMPLETING if row.part_size is None:
            return f"It is being sent in one piece of {words.size(row.fingerprint.size)} as {row.key}"
        case State.COMPLETING:
            return f"All of its {part_count(row.fingerprint.size, row.part_size)} parts are sent, and the object {row.key} is being put together"
        case _:
            return _arrived(row)


def _paused(row: Transfer, facts: ExplainFacts) -> str:
    match row.state:
        case State.SETTLED:
            return "It is finished and queued"
        case State.PLANNED:
            return f"It is queued to go to {row.key}"
        case State.CREATING:
            return f"Its multipart upload as {row.key} is to be opened"
        case State.UPLOADING:
            return f"Its upload as {row.key} stands at {_progress(row, facts)}"
        case State.COMPLETING if row.part_size is None:
            return f"It is to be sent in one piece as {row.key}, if it is not there already"
        case State.COMPLETING:
            return f"All of its parts are sent, and whether the object {row.key} is there is to be found out"
        case _:
            return _arrived(row)


def _progress(row: Transfer, facts: ExplainFacts) -> str:
    size = row.fingerprint.size
    percent = 100 * facts.sent // size if size else 0
    parts = f"{facts.parts_done} of {part_count(size, row.part_size)} parts"
    return f"{percent} % ({parts}, {words.size(facts.sent)} of {words.size(size)})"


def _holdup(row: Transfer, facts: ExplainFacts) -> tuple[str, str | None]:
    """What keeps a transfer that nobody has in hand: the most general thing first."""
    if not facts.running:
        return "syncd is not running", _START
    if facts.folder is None and row.state in _NOT_BEGUN:
        return "its folder is no longer watched", "put the folder back into the configuration"
    if facts.paused is not None:
        return f"syncd is {facts.paused}", RESUME
    if facts.folder is not None and facts.folder.trouble is not None:
        return f"its folder {facts.folder.name} waits: {facts.folder.trouble}", facts.folder.hint
    if facts.closed is not None:
        text, hint = facts.closed
        return f"the destination takes nothing now: {text}", hint
    if 0 < row.not_before - facts.now <= FAR_FUTURE_S:
        return _next_try(row, facts)
    return _turn(facts), None


def _next_try(row: Transfer, facts: ExplainFacts) -> tuple[str, str | None]:
    wait = words.span(row.not_before - facts.now)
    reason = facts.why.removeprefix("waits: ") if facts.why and facts.why.startswith("waits: ") else row.hint
    because = f", because {reason}" if reason else ""
    return f"the next try is in {wait}, at {words.moment(row.not_before)}{because}", row.hint


def _turn(facts: ExplainFacts) -> str:
    if not facts.ahead:
        return "it is next"
    if facts.ahead >= facts.ahead_at_most:
        return f"at least {words.files(facts.ahead)} are before it"
    return f"{words.files(facts.ahead)} {'is' if facts.ahead == 1 else 'are'} before it"
