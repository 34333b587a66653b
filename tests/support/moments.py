"""Facts of a moment, made up: what the status, the page and the metrics are drawn from."""

from __future__ import annotations

from typing import Any

from syncd.console.facts import CredentialFacts, FolderFacts, Readings, StatusFacts
from syncd.model import Counts, Happening, Happenings, State, Totals

NOW = 1_800_000_000.0
CREDENTIALS = CredentialFacts(
    source="api.example.com", state="ok", expires_at=NOW + 600, renewed_at=NOW - 60, clock_offset_s=0.5
)
INBOX = FolderFacts(
    name="inbox",
    path="/srv/inbox",
    state="ok",
    watch="inotify",
    last_scan_at=NOW - 5,
    files=3,
    free_bytes=10**9,
    scan_s=0.25,
    watches=7,
)


def counts(parked: int = 0, **files: int) -> Counts:
    """Files by state; all but the ended ones are pending, 100 bytes each."""
    by_state = {state: files.get(state.value, 0) for state in State}
    pending = sum(number for name, number in files.items() if name not in {"done", "superseded", "vanished"})
    return Counts(
        by_state=by_state,
        parked=parked,
        pending=pending,
        pending_bytes=100 * pending,
        oldest_pending_at=NOW - 30 if pending else None,
    )


def status(**known: Any) -> StatusFacts:
    usual: dict[str, Any] = {
        "now": NOW,
        "version": "1.2.3",
        "device": "cam",
        "running": True,
        "credentials": CREDENTIALS,
        "counts": counts(done=3),
        "totals": Totals(sent_bytes=1000, resent_bytes=10, last_success_at=NOW - 20),
        "folders": (INBOX,),
        "started_at": NOW - 100,
    }
    return StatusFacts(**usual | known)


def readings(**known: Any) -> Readings:
    """What is no field of Readings is one of the status."""
    usual: dict[str, Any] = {
        "last_hour": (0,) * 59 + (6_000_000,),
        "bodies": {"acknowledged": 3},
        "retries": {},
        "ledger_bytes": 4096,
        "work_since": None,
        "moved_s": 5.0,
        "round_s": 1.0,
        "parked": (),
    }
    own = {name: known.pop(name) for name in [*usual, "status"] if name in known}
    return Readings(**{"status": status(**known), **usual, **own})


class MadeUp:
    """Implements `console.page.view.PageView` with what a test wants; `asked` counts."""

    def __init__(self) -> None:
        self.now = readings()
        self.lines: list[Happening] = []
        self.failure: Exception | None = None
        self.asked = self.searched = 0

    def readings(self) -> Readings:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.now

    def happened(self, limit: int, before: int | None, after: int | None, containing: bytes) -> Happenings:
        self.searched += 1
        if after is not None:
            fitting = [line for line in self.lines if line.id > after and containing in line.whole_path]
            lines = fitting[-limit:]
            return Happenings(lines=tuple(lines), looked_at=lines[0].id if len(fitting) > limit else None)
        fitting = [
            line for line in self.lines if line.id < (before or 2**63) and containing in line.whole_path
        ]
        lines = fitting[:limit]
        return Happenings(lines=tuple(lines), looked_at=lines[-1].id if len(fitting) > limit else None)

    def tell(self, *paths: bytes, why: str = "it did") -> None:
        """Lines of history, the last path the newest."""
        for path in paths:
            line = Happening(
                id=len(self.lines) + 1, at=NOW, state=State.DONE, why=why, folder=b"/srv/inbox", path=path
            )
            self.lines.insert(0, line)
