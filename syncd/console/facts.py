"""What is known of a syncd, running or not, before it becomes a document. Nouns only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from syncd.model import Counts, Pause, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Why the destination takes nothing now. `code`: of LockedOut, or `network`."""

    code: str
    text: str
    hint: str | None
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFacts:
    """Where the credentials stand: `state` is ok, stale, expired, none or refused; times in seconds since the epoch."""

    source: str
    state: str = "none"
    expires_at: float | None = None
    renewed_at: float | None = None
    failure: str | None = None
    hint: str | None = None
    since: float | None = None
    clock_offset_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """One watched folder. `state`: ok, scanning, waiting or blocked; `watch` None: nobody watches.

    `to_be_watched`: the configuration asks for more than scans. `scan_s`: how long the last scan took; `watches`: directories
    that the kernel watches.
    """

    name: str
    path: str
    state: str
    reason: str | None = None
    hint: str | None = None
    since: float | None = None
    watch: str | None = None
    to_be_watched: bool = False
    open_check: str = "off"
    last_scan_at: float | None = None
    files: int = 0
    free_bytes: int | None = None
    scan_s: float | None = None
    watches: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFacts:
    """One transfer in flight."""

    path: str
    key: str | None
    size: int
    sent: int
    parts_done: int
    parts_total: int
    bytes_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """Everything the status document is made of.

    `in_hand`: files that workers are busy with; `due`: whether more could be taken up now; `settling_since`: of the
    oldest file that is not finished yet; `next_try_at`: of the first file that waits for its next try; `ledger_full`: in
    its own words, while its disk is; `page_away`: why the page cannot be had where the configuration wants it.
    """

    now: float
    version: str
    device: str
    running: bool
    credentials: CredentialFacts
    counts: Counts
    totals: Totals
    folders: tuple[FolderFacts, ...]
    started_at: float | None = None
    closed: Closed | None = None
    in_hand: int = 0
    due: bool = False
    settling_since: float | None = None
    next_try_at: float | None = None
    ledger_full: str | None = None
    page_away: str | None = None
    paused: Pause | None = None
    checksum_ignored: bool = False
    reading_again: int = 0
    transfers_total: int = 0
    transfers: tuple[TransferFacts, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedFacts:
    """A file that waits for a person."""

    path: bytes
    reason: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """All that the page and the metrics show, of one moment: the status, and what no status has room for.

    `last_hour`: bytes acknowledged in each of the last 60 minutes, the newest last. `bodies`: parts, and files that go in one
    piece, by how they ended; `retries`: requests made again, by why; both since the start. `work_since`: when the oldest file
    that could be sent was ready. `moved_s`: so long ago something got on; `round_s`: so long ago the clerk came round.
    `parked`: the first ones.
    """

    status: StatusFacts
    last_hour: tuple[int, ...]
    bodies: Mapping[str, int]
    retries: Mapping[str, int]
    ledger_bytes: int | None
    work_since: float | None
    moved_s: float
    round_s: float
    parked: tuple[ParkedFacts, ...]
