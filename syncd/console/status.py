"""The status document: from facts to the JSON that users, pages and scripts read. Pure.

The state is one word for the whole daemon, the first of these that holds:

- `stopped`: no daemon runs.
- `paused`: a person wanted it so, whatever else there is.
- `blocked`: nothing can be sent before something outside is mended: the ledger cannot be opened or its disk is full, the
  destination locks us out, or files are pending and there are no credentials (refused, or none although they were asked
  for), or every folder is blocked.
- `waiting`: the network to the destination is away, or the first credentials are on their way.
- `working`: files are in hand, or due, or a folder is scanned for the first time, or files are read again.
- `waiting`: files are pending, but none is due: they settle, or their next try is to come; or a folder is blocked or
  not to be seen whole.
- `idle`: nothing is pending; parked files may be there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from syncd.console.facts import Closed, CredentialFacts, FolderFacts, StatusFacts, TransferFacts
from syncd.decide.pause import RESUME, told
from syncd.decide.words import span
from syncd.model import State

STATES = ("idle", "working", "waiting", "blocked", "paused", "stopped")
TRANSFERS_SHOWN = 50
WRONG_CLOCK_S = 60.0
REBUILT_TOLD_S = 7 * 86400.0
"""So long it is told that the ledger was lost and begun anew."""

Reason = dict[str, str | None]


def moment(at: float | None) -> str | None:
    """RFC 3339 in UTC with Z, to the millisecond; None for none."""
    if at is None:
        return None
    try:
        text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return None
    return text.replace("+00:00", "Z")


def status_document(facts: StatusFacts) -> dict[str, Any]:
    """The document of the contract: every key, absent is None."""
    counts, totals = facts.counts, facts.totals
    return {
        "version": facts.version,
        "device": facts.device,
        "state": state_of(facts),
        "reasons": reasons_of(facts),
        "started_at": moment(facts.started_at),
        "last_success_at": moment(totals.last_success_at),
        "oldest_pending_s": _age(counts.oldest_pending_at, facts.now),
        "credentials": _credentials(facts.credentials),
        "clock_offset_s": _rounded(facts.credentials.clock_offset_s),
        "counts": {
            **{state.value: counts.by_state.get(state, 0) for state in State},
            "parked": counts.parked,
            "pending": counts.pending,
        },
        "bytes": {
            "pending": counts.pending_bytes,
            "sent_total": totals.sent_bytes,
            "resent_total": totals.resent_bytes,
        },
        "possible_orphans": totals.possible_orphans,
        "folders": [_folder(folder) for folder in facts.folders],
        "transfers_total": facts.transfers_total,
        "transfers": [_transfer(transfer) for transfer in facts.transfers[:TRANSFERS_SHOWN]],
    }


def _age(since: float | None, now: float) -> int | None:
    return None if since is None else max(round(now - since), 0)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _credentials(facts: CredentialFacts) -> dict[str, Any]:
    return {
        "source": facts.source,
        "expires_at": moment(facts.expires_at),
        "renewed_at": moment(facts.renewed_at),
        "state": facts.state,
    }


def remaining_s(facts: StatusFacts) -> float | None:
    """How long the credentials are still valid by the servers' clock, never less than 0; None without any, or without an end."""
    known = facts.credentials
    if known.expires_at is None:
        return None
    return max(known.expires_at - (facts.now - (known.clock_offset_s or 0.0)), 0.0)


def _folder(facts: FolderFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "path": facts.path,
        "state": facts.state,
        "reason": facts.reason,
        "watch": facts.watch,
        "open_check": facts.open_check,
        "last_scan_at": moment(facts.last_scan_at),
        "files": facts.files,
        "free_bytes": facts.free_bytes,
    }


def _transfer(facts: TransferFacts) -> dict[str, Any]:
    pace = facts.bytes_per_s
    return {
        "path": facts.path,
        "key": facts.key,
        "size": facts.size,
        "sent": facts.sent,
        "parts_done": facts.parts_done,
        "parts_total": facts.parts_total,
        "bytes_per_s": None if pace is None else round(pace),
        "eta_s": None if not pace else round((facts.size - facts.sent) / pace),
    }


# -- the state in one word


def state_of(facts: StatusFacts) -> str:
    """See the head of this page."""
    if not facts.running:
        return "stopped"
    if facts.paused is not None:
        return "paused"
    if _blocked(facts):
        return "blocked"
    if facts.closed is not None:
        return "waiting"
    if _at_work(facts):
        return "working"
    pending = facts.counts.pending > 0 or any(
        folder.state in {"blocked", "waiting"} for folder in facts.folders
    )
    return "waiting" if pending else "idle"


def _blocked(facts: StatusFacts) -> bool:
    locked_out = facts.closed is not None and not _mends_itself(facts.closed, facts.credentials)
    folders_blocked = bool(facts.folders) and all(folder.state == "blocked" for folder in facts.folders)
    return (
        facts.ledger_full is not None
        or locked_out
        or folders_blocked
        or (facts.counts.pending > 0 and _no_credentials(facts.credentials))
    )


def _mends_itself(closed: Closed, credentials: CredentialFacts) -> bool:
    """Nobody has to do anything: the network is away, or the first credentials are being fetched and nothing has failed."""
    first_fetch = credentials.state == "none" and credentials.failure is None
    return closed.code == "network" or (closed.code == "credentials" and first_fetch)


def _no_credentials(facts: CredentialFacts) -> bool:
    return facts.state == "refused" or (facts.state in {"none", "expired"} and facts.failure is not None)


def _at_work(facts: StatusFacts) -> bool:
    first_scan = any(folder.last_scan_at is None and folder.state != "blocked" for folder in facts.folders)
    return facts.in_hand > 0 or facts.due or first_scan or facts.reading_again > 0


# -- why


def reasons_of(facts: StatusFacts) -> list[Reason]:
    """What a person should know, the weightiest first."""
    found: list[Reason | None] = [
        _not_running(facts),
        _paused(facts),
        _ledger_full(facts),
        _closed(facts),
        _credential_trouble(facts),
        *(_folder_waits(folder) for folder in facts.folders if facts.running or folder.state == "blocked"),
        _parked(facts),
        _settling(facts),
        _next_try(facts),
        _checksum_ignored(facts),
        _reading_again(facts),
        _begun_anew(facts),
        _clock_off(facts),
        _page_away(facts),
        *(_degraded(folder) for folder in facts.folders),
    ]
    return [reason for reason in found if reason is not None]


def _reason(code: str, text: str, hint: str | None = None, since: float | None = None) -> Reason:
    return {"code": code, "text": text, "hint": hint, "since": moment(since)}


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _not_running(facts: StatusFacts) -> Reason | None:
    hint = "start it: systemctl start syncd, or syncd run"
    return None if facts.running else _reason("not_running", "syncd is not running", hint)


def _paused(facts: StatusFacts) -> Reason | None:
    pause = facts.paused
    return None if pause is None else _reason("paused", told(pause), RESUME, pause.since)


def _ledger_full(facts: StatusFacts) -> Reason | None:
    hint = "free space on the disk that holds the ledger; it goes on by itself"
    return None if facts.ledger_full is None else _reason("ledger_full", facts.ledger_full, hint)


def _page_away(facts: StatusFacts) -> Reason | None:
    hint = "end what listens there, or set console.listen to another port; it is tried again by itself"
    return None if facts.page_away is None else _reason("page", facts.page_away, hint)


def _begun_anew(facts: StatusFacts) -> Reason | None:
    at = facts.totals.begun_at
    if at is None or facts.now - at > REBUILT_TOLD_S:
        return None
    text = f"the ledger was begun anew: {facts.totals.begun_because}; what S3 has already is recognized, not sent again"
    hint = "history is lost, uploads that were open may be left behind: look at the disk, and keep a lifecycle rule that aborts them"
    return _reason("ledger_begun_anew", text, hint, at)


def _clock_off(facts: StatusFacts) -> Reason | None:
    offset = facts.credentials.clock_offset_s
    told = facts.closed is not None and facts.closed.code == "clock"
    if offset is None or abs(offset) <= WRONG_CLOCK_S or told:
        return None
    text = f"this machine's clock is {span(abs(offset))} {'ahead' if offset > 0 else 'behind'}; requests are signed by the servers' time"
    return _reason("clock", text, "set the clock: timedatectl set-ntp true")


def _closed(facts: StatusFacts) -> Reason | None:
    closed = facts.closed
    return None if closed is None else _reason(closed.code, closed.text, closed.hint, closed.since)


def _credential_trouble(facts: StatusFacts) -> Reason | None:
    trouble = facts.credentials
    told = facts.closed is not None and facts.closed.code == "credentials"
    if trouble.failure is None or told:
        return None
    kept = f"; those in use are valid until {moment(trouble.expires_at)}" if trouble.state == "stale" else ""
    return _reason("credentials", f"no new credentials: {trouble.failure}{kept}", trouble.hint, trouble.since)


def _folder_waits(folder: FolderFacts) -> Reason | None:
    if folder.reason is None:
        return None
    return _reason("folder", f"folder {folder.name} waits: {folder.reason}", folder.hint, folder.since)


def _parked(facts: StatusFacts) -> Reason | None:
    parked = facts.counts.parked
    hint = "syncd explain PATH says why; when that is mended: syncd retry --all"
    return _reason("parked", f"{_files(parked)} parked until a person looks", hint) if parked else None


def _settling(facts: StatusFacts) -> Reason | None:
    settling = facts.counts.by_state.get(State.DISCOVERED, 0)
    text = f"{_files(settling)} not known to be finished yet"
    return _reason("settling", text, None, facts.settling_since) if settling else None


def _next_try(facts: StatusFacts) -> Reason | None:
    at = facts.next_try_at
    if at is None or facts.closed is not None:
        return None
    hint = "syncd explain PATH says why; syncd retry --all does not wait"
    return _reason("next_try", f"files wait for their next try, the first until {moment(at)}", hint)


def _checksum_ignored(facts: StatusFacts) -> Reason | None:
    text = "the destination does not honour the checksums that were asked for: MD5 is used instead"
    return _reason("checksum_ignored", text) if facts.checksum_ignored else None


def _reading_again(facts: StatusFacts) -> Reason | None:
    text = (
        f"{_files(facts.reading_again)} touched since the upload: their bytes are compared, nothing is sent"
    )
    return _reason("reading_again", text) if facts.reading_again else None


def _degraded(folder: FolderFacts) -> Reason | None:
    if folder.watch == "degraded":
        text = f"folder {folder.name}: not all of it is watched, so changes there are found by scans"
        hint = "raise fs.inotify.max_user_watches, or shorten the folder's rescan"
        return _reason("watch_degraded", text, hint)
    seen = folder.last_scan_at is not None and folder.state != "blocked"
    if folder.watch == "poll" and folder.to_be_watched and seen:
        text = f"folder {folder.name}: it is not watched, so changes are found by scans"
        hint = "raise fs.inotify.max_user_instances and max_user_watches, or shorten the folder's rescan"
        return _reason("watch_degraded", text, hint)
    return None
