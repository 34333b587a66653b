"""What can be said while the ledger cannot be opened: why nothing is done, and that it goes on by itself.

Knows no file: what the ledger knows is not at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncd.act.meter import MINUTES
from syncd.act.world import FolderPolicy
from syncd.console.facts import Closed, CredentialFacts, FolderFacts, Readings, StatusFacts
from syncd.console.status import status_document
from syncd.errors import SyncdError
from syncd.inside.scene import shown
from syncd.model import Counts, Happenings, Standing, State, Totals
from syncd.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingForLedger:
    """Implements `console.server.View` and `console.page.view.PageView` before there is a ledger."""

    version: str
    device: str
    source: str
    folders: Mapping[bytes, FolderPolicy]
    clock: Clock
    trouble: SyncdError
    since: float

    def status(self) -> dict[str, Any]:
        """The status document: blocked by the ledger, nothing known of files."""
        return status_document(self._facts())

    def readings(self) -> Readings:
        """The same for the page and the metrics; nothing gets on."""
        return Readings(
            status=self._facts(),
            last_hour=(0,) * MINUTES,
            bodies={},
            retries={},
            ledger_bytes=None,
            work_since=None,
            moved_s=max(self.clock.now() - self.since, 0.0),
            round_s=0.0,
            parked=(),
        )

    def happened(self, limit: int, before: int | None, after: int | None, containing: bytes) -> Happenings:  # noqa: ARG002 - the view's signature
        """Nothing that is known now."""
        return Happenings(lines=(), looked_at=None)

    def _facts(self) -> StatusFacts:
        closed = Closed(code="ledger", text=str(self.trouble), hint=self.trouble.hint, since=self.since)
        nothing = Counts(
            by_state=dict.fromkeys(State, 0), parked=0, pending=0, pending_bytes=0, oldest_pending_at=None
        )
        folders = tuple(
            FolderFacts(name=policy.name, path=shown(policy.path), state="waiting")
            for policy in self.folders.values()
        )
        return StatusFacts(
            now=self.clock.now(),
            version=self.version,
            device=self.device,
            running=True,
            credentials=CredentialFacts(source=self.source),
            counts=nothing,
            totals=Totals(),
            folders=folders,
            started_at=self.since,
            closed=closed,
        )

    def explain(self, path: bytes) -> dict[str, Any]:
        """That it is not known now."""
        return {
            "path": shown(path),
            "state": "unknown",
            "sentence": f"It is not known where it stands: syncd waits for its ledger ({self.trouble}).",
            "hint": self.trouble.hint,
            **dict.fromkeys(("key", "proof", "size", "sent", "not_before", "parked_reason")),
            "history": [],
        }

    def files(self, standing: Standing | None, after: int) -> dict[str, Any]:  # noqa: ARG002 - the view's signature
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def plan(self, at: str | None) -> dict[str, Any]:  # noqa: ARG002
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def uploads(self) -> dict[str, Any]:
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def proven(self, path: bytes | None, after: int = 0) -> dict[str, Any]:  # noqa: ARG002
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def pause(self, seconds: float | None) -> dict[str, Any]:  # noqa: ARG002
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def resume(self) -> dict[str, Any]:
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def rescan(self) -> dict[str, Any]:
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def retry(self, paths: list[bytes] | None, *, replan: bool = False) -> dict[str, Any]:  # noqa: ARG002
        """Not now. Raises SyncdError."""
        raise self._not_now()

    def _not_now(self) -> SyncdError:
        return SyncdError(f"syncd waits for its ledger: {self.trouble}", hint=self.trouble.hint)
