"""Ask a running daemon through its control socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from syncd.console.address import check_length
from syncd.errors import SyncdError
from syncd.model import Standing

PATIENCE_S = 30.0
RETRY_PATIENCE_S = 300.0  # hundreds of thousands of rows take a while to write
_LARGEST_ANSWER = 64 << 20
_BODY = 1 << 19  # half of what the server takes


class NotRunning(SyncdError):
    """Nobody answers at the control socket."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, patience: float) -> None:
        super().__init__("syncd", timeout=patience)
        self._path = path

    def connect(self) -> None:
        """Called by the base class."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """One daemon, by the path of its socket. Every method raises NotRunning, or SyncdError with a hint."""

    def __init__(self, path: Path, patience: float = PATIENCE_S) -> None:
        self._path = path
        self._patience = patience

    def status(self) -> dict[str, Any]:
        """The status document."""
        return self._ask("GET", "/status")

    def explain(self, path: bytes) -> dict[str, Any]:
        """Where an absolute path stands."""
        return self._ask("GET", f"/explain?path={quote_from_bytes(path)}")

    def files(self, standing: Standing | None, after: int) -> dict[str, Any]:
        """A page of the files that stand so, with ids above `after`."""
        state = "" if standing is None else f"&state={standing}"
        return self._ask("GET", f"/files?after={after}{state}")

    def plan(self, at: str | None) -> dict[str, Any]:
        """A page of what would be done with the files that are there."""
        return self._ask("GET", "/plan" if at is None else f"/plan?at={at}")

    def uploads(self) -> dict[str, Any]:
        """Which uploads the ledger owns."""
        return self._ask("GET", "/uploads")

    def proven(self, path: bytes | None, after: int = 0) -> dict[str, Any]:
        """What was proven of the file at a path; None: a page of all."""
        which = f"after={after}" if path is None else f"path={quote_from_bytes(path)}"
        return self._ask("GET", f"/proven?{which}")

    def pause(self, seconds: float | None) -> dict[str, Any]:
        """Nothing is sent for so long; None: until resumed."""
        return self._ask("POST", "/pause", json.dumps({"seconds": seconds}).encode("ascii"))

    def resume(self) -> dict[str, Any]:
        """It goes on."""
        return self._ask("POST", "/resume", b"")

    def rescan(self) -> dict[str, Any]:
        """Every folder is scanned now."""
        return self._ask("POST", "/rescan", b"")

    def retry(self, paths: Sequence[bytes] | None, *, replan: bool = False) -> dict[str, Any]:
        """Another chance for these absolute paths; None: for all. `replan`: what is planned is planned anew."""
        if paths is None:
            return self._retry({"all": True, "replan": replan})
        answers = [self._retry({"paths": bundle, "replan": replan}) for bundle in _bundles(paths)]
        return {
            "retried": sum(answer["retried"] for answer in answers),
            "left": sum(answer["left"] for answer in answers),
            "paths": [outcome for answer in answers for outcome in answer["paths"]],
        }

    def _retry(self, wish: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", "/retry", json.dumps(wish).encode("ascii"), patience=RETRY_PATIENCE_S)

    def _ask(
        self, method: str, target: str, body: bytes | None = None, patience: float | None = None
    ) -> dict[str, Any]:
        check_length(self._path)
        connection = _Connection(self._path, patience or self._patience)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            raw = answer.read(_LARGEST_ANSWER)
            if answer.length:  # of what was announced, some never came
                raise http.client.IncompleteRead(b"", answer.length)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NotRunning(
                f"syncd is not running: nobody answers at {self._path}",
                hint="start it, or name its configuration with -c",
            ) from error
        except PermissionError as error:
            raise SyncdError(
                f"{self._path}: you may not talk to syncd",
                hint="run this as root, as syncd's user, or as a member of its group",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise SyncdError(
                f"{self._path}: syncd did not answer: {error or type(error).__name__}",
                hint="it may be starting, ending or very busy: ask again",
            ) from error
        finally:
            connection.close()
        return _document(raw, answer.status)


def _bundles(paths: Sequence[bytes]) -> Iterator[list[str]]:
    """The paths as text, in portions that a request's body holds whatever JSON makes of them."""
    bundle: list[str] = []
    room = _BODY
    for path in paths:
        size = 6 * len(path) + 4  # \uXXXX for a byte, quotes and comma
        if bundle and size > room:
            yield bundle
            bundle, room = [], _BODY
        bundle.append(path.decode("utf-8", "surrogateescape"))
        room -= size
    yield bundle


def _document(raw: bytes, status: int) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise SyncdError("what answers at the control socket is not syncd", hint="look at console.socket")
    if status != http.client.OK:
        trouble = document.get("error")
        told = trouble if isinstance(trouble, dict) else {}
        raise SyncdError(str(told.get("message", f"syncd answered {status}")), hint=told.get("hint"))
    return document
