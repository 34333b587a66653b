"""All answers in one place: what the control socket offers, and what the verbs do where no daemon runs."""

from __future__ import annotations

from typing import Any

from syncd.console.facts import Readings
from syncd.console.status import status_document
from syncd.inside import steer
from syncd.inside.explain import explain_document
from syncd.inside.files import files_document
from syncd.inside.page import readings
from syncd.inside.plan import plan_document
from syncd.inside.proven import proven_at, proven_page
from syncd.inside.retry import retry_all, retry_document, retry_paths
from syncd.inside.scene import Scene
from syncd.inside.status import status_facts
from syncd.inside.uploads import uploads_document
from syncd.model import Happenings, Standing


class Inside:
    """Implements `console.server.View`. Safe from any thread; every answer is a JSON document."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def status(self) -> dict[str, Any]:
        """The status document. Raises LedgerFailure."""
        return status_document(status_facts(self._scene))

    def readings(self) -> Readings:
        """What the page and the metrics show. Raises LedgerFailure."""
        return readings(self._scene)

    def happened(self, limit: int, before: int | None, after: int | None, containing: bytes) -> Happenings:
        """A stretch of history of all files. Raises LedgerFailure."""
        return self._scene.ledger.happened(limit, before=before, after=after, containing=containing)

    def explain(self, path: bytes) -> dict[str, Any]:
        """Where an absolute path stands. Raises LedgerFailure."""
        return explain_document(path, self._scene)

    def files(self, standing: Standing | None, after: int) -> dict[str, Any]:
        """A page of the files that stand so. Raises LedgerFailure."""
        return files_document(standing, after, self._scene)

    def plan(self, at: str | None) -> dict[str, Any]:
        """A page of what would be done with the files that are there. Raises LedgerFailure, SyncdError."""
        return plan_document(at, self._scene)

    def uploads(self) -> dict[str, Any]:
        """Which uploads the ledger owns. Raises LedgerFailure."""
        return uploads_document(self._scene)

    def proven(self, path: bytes | None, after: int = 0) -> dict[str, Any]:
        """What was proven of the file at a path; None: a page of all. Raises LedgerFailure."""
        return proven_page(after, self._scene) if path is None else proven_at(path, self._scene)

    def pause(self, seconds: float | None) -> dict[str, Any]:
        """Nothing is sent for so long. Raises LedgerFailure."""
        return steer.pause(seconds, self._scene)

    def resume(self) -> dict[str, Any]:
        """It goes on. Raises LedgerFailure."""
        return steer.resume(self._scene)

    def rescan(self) -> dict[str, Any]:
        """Every folder is scanned now. Raises SyncdError where no daemon runs."""
        return steer.rescan(self._scene)

    def retry(self, paths: list[bytes] | None, *, replan: bool = False) -> dict[str, Any]:
        """Another chance for these paths; None: for all. `replan`: by another plan. Raises LedgerFailure."""
        scene = self._scene
        if paths is None:
            return retry_document(retry_all(scene, replan=replan))
        return retry_document(retry_paths(paths, scene, replan=replan))
