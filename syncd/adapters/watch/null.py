"""The watcher that notices nothing: folders are found by scans alone."""

from __future__ import annotations

from syncd.model import RootIdentity


class NullWatcher:
    """`ports.Watcher` that leaves everything to scans."""

    def tend(self, roots: dict[bytes, RootIdentity | None]) -> None:
        """Nothing to tend."""

    def state(self, root: bytes) -> str:  # noqa: ARG002  # the port asks per folder, the answer is one for all
        """Always `poll`."""
        return "poll"

    def watches(self, root: bytes) -> int:  # noqa: ARG002  # the same
        """Always none."""
        return 0

    def close(self) -> None:
        """Nothing to stop."""
