"""What every judge of the suite looks at in the same way: what was written, what was said, what a ledger holds.

`Writes` remembers every write that a store carried out, by version; `Words` every line of the log, before anything is
replaced in it, so that a secret shows even where redaction would have saved us.
"""

from __future__ import annotations

import hashlib
import sqlite3
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from syncd.demo.store import Record, Store

WRITES = ("PutObject", "CompleteMultipartUpload")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Writes:
    """Every Put and Complete that succeeded, and what was under the key then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: list[tuple[str, bytes]] = []
        self._completed: set[str] = set()

    def saw(self, record: Record) -> None:
        """The request has taken effect, and is not answered yet: its client waits, so nothing is summed here."""
        if record.operation in WRITES and record.status == 200 and not self._is_a_repeat(record):
            self._seen.append((record.key, self._store.read(record.key)))

    def _is_a_repeat(self, record: Record) -> bool:
        """A Complete of an upload that was completed is answered once more, where a store does that, and writes nothing."""
        if record.upload_id is None:
            return False
        repeated = record.upload_id in self._completed
        self._completed.add(record.upload_id)
        return repeated

    def done(self) -> list[tuple[str, str]]:
        """As (key, SHA-256)."""
        return [(key, sha256(data)) for key, data in self._seen]

    def assert_once_per_version(self, versions: Mapping[str, Iterable[bytes]]) -> None:
        """`versions`: what each key was to hold, one after the other; equal contents are versions of their own."""
        allowed = Counter((key, sha256(data)) for key, contents in versions.items() for data in contents)
        for version, times in Counter(self.done()).items():
            assert times <= allowed[version], (
                f"{version} was written {times} times for {allowed[version]} version(s)"
            )


class Words:
    """The log as it is given to structlog: every level, nothing replaced, exceptions with their story."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def listen(self) -> None:
        """From now on all that is logged in this process comes here, and goes nowhere else."""
        structlog.configure(processors=[self._hear])

    def _hear(self, _: object, method: str, event: dict[str, Any]) -> dict[str, Any]:
        story = traceback.format_exc() if event.get("exc_info") else ""
        self.said.append(f"{method} {event!r} {story}")
        raise structlog.DropEvent


def session_secrets(store: Store) -> list[str]:
    """The secret keys and tokens of all sessions that the store's STS has given out and not forgotten."""
    sessions = [
        each.session for each in list(store._keyring._principals.values()) if each.session is not None
    ]
    return [secret for each in sessions for secret in (each.secret_key, each.token)]


def assert_no_secret(secrets: Iterable[str], said: Iterable[str], *states: Path) -> None:
    """Neither in what was said nor in any file that lies beside these ledgers."""
    told = "\n".join(said)
    kept = b"".join(each.read_bytes() for state in states for each in sorted(state.parent.iterdir()))
    for secret in secrets:
        assert secret, "an empty secret is found nowhere"
        assert secret not in told, "a secret is in the log"
        assert secret.encode() not in kept, "a secret is in the ledger"


def assert_sound(state: Path) -> None:
    """SQLite finds nothing wrong with the ledger; read only, so it may be in use."""
    look = sqlite3.connect(f"file:{state}?mode=ro", uri=True)
    try:
        assert look.execute("PRAGMA quick_check").fetchone() == ("ok",)
    finally:
        look.close()
