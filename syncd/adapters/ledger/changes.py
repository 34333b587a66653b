"""One change at a time into SQL: compare-and-set on the state, and the line of history that goes with it."""

from __future__ import annotations

import sqlite3
from typing import Any

from syncd.adapters.ledger.rows import SEALED, columns_of, fingerprint_columns
from syncd.errors import Refused, RowMoved
from syncd.model import (
    Aborted,
    AbortLater,
    Amend,
    Change,
    CountSent,
    Discover,
    ForgetParts,
    Move,
    State,
    SuspectOrphan,
)


def apply_change(connection: sqlite3.Connection, change: Change, now: float) -> int | None:
    """Carry one change out within the open transaction; the new id for `Discover`."""
    match change:
        case Discover():
            return _discover(connection, change, now)
        case Move():
            _move(connection, change, now)
        case Amend():
            _amend(connection, change, now)
        case AbortLater():
            connection.execute(
                "INSERT OR IGNORE INTO abort_queue (upload_id, bucket, key, since) VALUES (?, ?, ?, ?)",
                (change.upload_id, change.bucket, change.key, change.since),
            )
        case Aborted():
            connection.execute("DELETE FROM abort_queue WHERE upload_id = ?", (change.upload_id,))
        case ForgetParts():
            connection.execute("DELETE FROM part WHERE transfer = ?", (change.id,))
        case SuspectOrphan():
            connection.execute("UPDATE totals SET possible_orphans = possible_orphans + 1")
        case CountSent():
            _count(connection, change)
    return None


def _discover(connection: sqlite3.Connection, change: Discover, now: float) -> int:
    columns: dict[str, Any] = {
        "folder": change.folder,
        "path": change.path,
        **fingerprint_columns(change.fingerprint),
        "state": str(State.DISCOVERED),
        "discovered_at": now,
    }
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    cursor = connection.execute(f"INSERT INTO transfer ({names}) VALUES ({marks})", tuple(columns.values()))
    identity = int(cursor.lastrowid or 0)
    _seal(connection, identity)
    _write_history(connection, identity, State.DISCOVERED, change.why, now)
    return identity


def _move(connection: sqlite3.Connection, change: Move, now: float) -> None:
    sets = columns_of(change.sets) | {"state": str(change.to)}
    _update(connection, change.id, change.was, sets)
    _write_history(connection, change.id, change.to, change.why, now)
    if change.to is State.VERIFIED:
        connection.execute("UPDATE totals SET last_success_at = ?", (now,))
    if change.to in {State.DONE, State.SUPERSEDED, State.VANISHED}:
        connection.execute("DELETE FROM part WHERE transfer = ?", (change.id,))


def _amend(connection: sqlite3.Connection, change: Amend, now: float) -> None:
    _update(connection, change.id, change.was, columns_of(change.sets))
    if change.why is not None:
        _write_history(connection, change.id, change.was, change.why, now)


def _update(connection: sqlite3.Connection, transfer: int, was: State, sets: dict[str, Any]) -> None:
    assignments = ", ".join(f"{name} = ?" for name in sets)
    try:
        cursor = connection.execute(
            f"UPDATE transfer SET {assignments} WHERE id = ? AND state = ?",
            (*sets.values(), transfer, str(was)),
        )
    except sqlite3.IntegrityError as error:
        if "transfer.bucket, transfer.key" not in str(error):
            raise
        raise _key_taken(connection, sets) from error
    if cursor.rowcount != 1:
        raise RowMoved(f"transfer {transfer} is no longer {was}")
    _seal(connection, transfer)


def _seal(connection: sqlite3.Connection, transfer: int) -> None:
    connection.execute(f"UPDATE transfer SET seal = seal({SEALED}) WHERE id = ?", (transfer,))


def _key_taken(connection: sqlite3.Connection, sets: dict[str, Any]) -> Refused:
    row = connection.execute(
        "SELECT folder, path FROM transfer WHERE bucket = ? AND key = ? "
        "AND state IN ('planned', 'creating', 'uploading', 'completing', 'verified')",
        (sets.get("bucket"), sets.get("key")),
    ).fetchone()
    other = (
        (row["folder"] + b"/" + row["path"]).decode("utf-8", "backslashreplace") if row else "another file"
    )
    return Refused(
        f"its key {sets.get('key')} is that of {other}, which is on its way",
        hint="put more of the path into the key template, then `syncd retry` this file",
    )


def _count(connection: sqlite3.Connection, change: CountSent) -> None:
    values = (change.sent, change.resent)
    got_on = ", strikes = 0" if change.sent else ""
    connection.execute(
        f"UPDATE transfer SET sent_bytes = sent_bytes + ?, resent_bytes = resent_bytes + ?{got_on} WHERE id = ?",
        (*values, change.id),
    )
    connection.execute(
        "UPDATE totals SET sent_bytes = sent_bytes + ?, resent_bytes = resent_bytes + ?", values
    )


def _write_history(connection: sqlite3.Connection, transfer: int, state: State, why: str, now: float) -> None:
    connection.execute(
        "INSERT INTO history (transfer, at, state, why) VALUES (?, ?, ?, ?)", (transfer, now, str(state), why)
    )
