"""What SQLite raises, in our words: the kind of failure, and what an operator can do about it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from syncd.errors import LedgerAway, LedgerDamaged, LedgerFailure, LedgerFull

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
_DAMAGE_IN_WORDS = ("Could not decode", "unsupported file format")  # these come without a code of their own
_AWAY = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_PROTOCOL")
_AWAY_ERRNO = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.EMFILE}

_PROBE = 64 << 10


@contextlib.contextmanager
def translated(subject: str = "the ledger") -> Iterator[None]:
    """Whatever SQLite raises within becomes LedgerFailure about the subject: full, damaged or away where it says so."""
    try:
        yield
    except UnicodeError as error:  # SQLite's own words quote what it could not read
        raise LedgerDamaged(f"{subject} failed: it cannot be read", hint=_hint("SQLITE_CORRUPT")) from error
    except sqlite3.Error as error:
        name = _name(error)
        raise _kind(error)(f"{subject} failed: {error} ({name})", hint=_hint(name)) from error


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault. A table or column that is missing in our own ledger is damage too."""
    return _kind(error) is LedgerDamaged or _name(error) == "SQLITE_ERROR"


def _kind(error: sqlite3.Error) -> type[LedgerFull | LedgerFailure]:
    name = _name(error)
    if name.startswith("SQLITE_FULL"):
        return LedgerFull
    if name.startswith(_DAMAGE) or any(words in str(error) for words in _DAMAGE_IN_WORDS):
        return LedgerDamaged
    return LedgerAway if name.startswith(_AWAY) else LedgerFailure


def seen_through(failure: BaseException, connection: sqlite3.Connection) -> BaseException:
    """The failure of a write, or what is behind it: SQLite calls a quota that is used up an I/O error."""
    cause = failure.__cause__
    if not isinstance(failure, LedgerAway) or not isinstance(cause, sqlite3.Error):
        return failure
    directory = _directory_of(connection) if _name(cause).startswith("SQLITE_IOERR") else None
    if directory is None or not _refuses_room(directory):
        return failure
    hint = "free space for the user that syncd runs as, or raise its quota"
    full = LedgerFull(f"the ledger failed: disk quota exceeded ({_name(cause)})", hint=hint)
    full.__cause__ = cause
    return full


def _directory_of(connection: sqlite3.Connection) -> Path | None:
    with contextlib.suppress(sqlite3.Error):
        for _, name, file in connection.execute("PRAGMA database_list"):
            if name == "main" and file:
                return Path(file).parent
    return None


def _refuses_room(directory: Path) -> bool:
    """Asked by a file of our own, that has no name or soon none."""
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as probe:
            os.pwrite(probe.fileno(), bytes(_PROBE), 0)
            os.fsync(probe.fileno())  # a file server may say so only then
    except OSError as error:
        return error.errno in {errno.EDQUOT, errno.ENOSPC}
    return False


def unopened(error: OSError, subject: str) -> LedgerFailure:
    """The failure that stands for what the system said when the file or its place was opened.

    A disk that is full, broken or mounted read-only is waited for; a place that cannot hold a ledger is not.
    """
    kind = LedgerAway if error.errno in _AWAY_ERRNO else LedgerFailure
    hint = (
        "free or mend the disk that holds the ledger"
        if kind is LedgerAway
        else "set `state` to a writable place"
    )
    return kind(f"{subject}: cannot keep the ledger there: {error.strerror}", hint=hint)


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "") or type(error).__name__


def _hint(name: str) -> str | None:
    if name.startswith("SQLITE_FULL"):
        return "free space on the disk that holds the ledger"
    if name.startswith(_DAMAGE):
        return "syncd sets it aside when it starts, and finds again what S3 has"
    if name.startswith(_AWAY):
        return "look at the disk, its quota and the permissions of the state directory"
    return None
