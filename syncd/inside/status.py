"""Gather what the status document is made of. Reads only; safe from any thread."""

from __future__ import annotations

from syncd.act.board import Progress
from syncd.act.folders import FolderDesk
from syncd.act.plan import destination_name
from syncd.act.world import FolderPolicy
from syncd.console.facts import Closed, CredentialFacts, FolderFacts, StatusFacts, TransferFacts
from syncd.console.status import TRANSFERS_SHOWN
from syncd.inside.scene import Live, Scene, shown


def status_facts(scene: Scene) -> StatusFacts:
    """How things stand now. Raises LedgerFailure."""
    now, live = scene.clock.now(), scene.live
    busy = live.clerk.busy() if live else set()
    next_due = scene.ledger.next_due(now, busy=busy)
    first = scene.ledger.discovered(0, 1)
    flying = live.board.live() if live else []
    return StatusFacts(
        now=now,
        version=scene.version,
        device=scene.device,
        running=live is not None,
        credentials=live.credentials() if live else CredentialFacts(source=scene.source),
        counts=scene.ledger.counts(),
        totals=scene.ledger.totals(),
        folders=tuple(_folder(policy, scene) for policy in scene.folders.values()),
        started_at=live.started_at if live else None,
        closed=_closed(live),
        in_hand=len(busy),
        due=next_due is not None and next_due <= now,
        settling_since=first[0].discovered_at if first else None,
        next_try_at=next_due if next_due is not None and next_due > now else None,
        ledger_full=live.clerk.ledger_full() if live else None,
        page_away=live.page_away() if live else None,
        paused=scene.pause(),
        checksum_ignored=_checksum_ignored(scene),
        reading_again=live.clerk.reading_again() if live else 0,
        transfers_total=len(flying),
        transfers=tuple(_transfer(progress, scene) for progress in flying[:TRANSFERS_SHOWN]),
    )


def _closed(live: Live | None) -> Closed | None:
    closed = live.gate.closed() if live else None
    if live is None or closed is None or _proves_otherwise(closed.code, live):
        return None
    return Closed(code=closed.code, text=closed.text, hint=closed.hint, since=closed.since)


def _proves_otherwise(code: str, live: Live) -> bool:
    """The probe is sending already, with credentials that came since: a slow first part must not look like a lock-out."""
    return code == "credentials" and bool(live.board.live()) and live.credentials().state == "ok"


def _checksum_ignored(scene: Scene) -> bool:
    bucket = scene.destination.bucket or (scene.live.bucket() if scene.live else None)
    if bucket is None or scene.destination.checksum is not None:
        return False
    return scene.ledger.checksum_ignored(destination_name(scene.destination, bucket))


def _folder(policy: FolderPolicy, scene: Scene) -> FolderFacts:
    desk = scene.live.desk(policy.path) if scene.live else None
    state, reason, hint = _state_of(desk) if desk else _state_without_daemon(policy, scene)
    return FolderFacts(
        name=policy.name,
        path=shown(policy.path),
        state=state,
        reason=reason,
        hint=hint,
        since=desk.since if desk else None,
        watch=desk.watch if desk else None,
        to_be_watched=policy.watched,
        open_check=_open_check(policy, scene),
        last_scan_at=desk.last_scan_at if desk else None,
        scan_s=desk.scan_seconds if desk and desk.scans_done else None,
        watches=desk.watches if desk else None,
        files=scene.ledger.files_in(policy.path),
        free_bytes=scene.disk.free_bytes(policy.path),
    )


def _state_of(desk: FolderDesk) -> tuple[str, str | None, str | None]:
    state = "scanning" if desk.scanning() and desk.state == "ok" else desk.state
    return state, desk.reason, desk.hint


def _state_without_daemon(policy: FolderPolicy, scene: Scene) -> tuple[str, str | None, str | None]:
    trouble = scene.trouble(policy.path)
    return ("blocked", *trouble) if trouble else ("waiting", "syncd is not running", None)


def _open_check(policy: FolderPolicy, scene: Scene) -> str:
    if not policy.settle.check_writer:
        return "off"
    return "ok" if scene.sight.may_take_leases(policy.path) else "unavailable"


def _transfer(progress: Progress, scene: Scene) -> TransferFacts:
    row = scene.ledger.get(progress.transfer)
    return TransferFacts(
        path=shown(row.folder + b"/" + row.path) if row else "",
        key=row.key if row else None,
        size=progress.size,
        sent=progress.sent,
        parts_done=progress.parts_done,
        parts_total=progress.parts_total,
        bytes_per_s=progress.bytes_per_second(scene.clock.monotonic()),
    )
