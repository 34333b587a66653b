"""What SQLite raises, in our words: the kind of failure, and what an operator can do about it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from syncd.errors import LedgerFailure, LedgerFull


@contextlib.contextmanager
def translated(subject: str = "the ledger") -> Iterator[None]:
    """Whatever SQLite raises within becomes LedgerFailure about the subject; a full disk, LedgerFull."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or type(error).__name__
        kind = LedgerFull if name.startswith("SQLITE_FULL") else LedgerFailure
        raise kind(f"{subject} failed: {error} ({name})", hint=_hint(name)) from error


def _hint(name: str) -> str | None:
    if name.startswith("SQLITE_FULL"):
        return "free space on the disk that holds the ledger"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "move the state file away (with its -wal and -shm): syncd finds again what S3 has"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return "look at the disk and the permissions of the state directory"
    return None
