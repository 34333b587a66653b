"""What the page asks of the daemon."""

from __future__ import annotations

from typing import Protocol

from syncd.console.facts import Readings
from syncd.model import Happenings


class PageView(Protocol):
    """Safe from any thread; may raise SyncdError."""

    def readings(self) -> Readings:
        """All that is shown, of this moment."""
        ...

    def happened(self, limit: int, before: int | None, after: int | None, containing: bytes) -> Happenings:
        """A stretch of history of all files: see `ports.Ledger.happened`."""
        ...
