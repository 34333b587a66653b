"""From any older ledger to today's: numbered SQL files, one transaction each; a newer one is refused."""

from __future__ import annotations

import sqlite3
from importlib import resources

from syncd.errors import LedgerDamaged, LedgerForeign

APPLICATION_ID = 0x73796E63  # "sync": `file state.db` and a careless hand both see whose this is


def schema_sql() -> str:
    """The whole of today's schema."""
    return (resources.files(__package__) / "schema.sql").read_text("utf-8")


def migrations() -> list[str]:
    """The numbered steps, in order; the n-th leads to user_version n."""
    folder = resources.files(__package__) / "migrations"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(folder / name).read_text("utf-8") for name in names]


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Look, write nothing. Raises LedgerForeign for a database that is not ours, or that a newer syncd wrote."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID and not _is_fresh(connection):
        if _has_our_tables(connection):
            raise LedgerDamaged("its header is not what was written")
        raise LedgerForeign("the state file is no ledger of syncd", hint="set `state` to a path of its own")
    version, known = _version(connection), len(migrations())
    if version < 1 and not _is_fresh(connection):
        raise LedgerDamaged("its version is not what was written")
    if version > known:
        raise LedgerForeign(
            f"the ledger has version {version}, this syncd knows up to {known}",
            hint="start the newer syncd that wrote it, or move the state file away to begin anew",
        )


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Make a fresh ledger, or take an older one to today's version; one that `refuse_foreign` let pass."""
    steps = migrations()
    if _is_fresh(connection):
        _run(connection, schema_sql(), len(steps))
        return
    for number in range(_version(connection) + 1, len(steps) + 1):
        try:
            _run(connection, steps[number - 1], number)
        except sqlite3.OperationalError as error:
            if "already exists" in str(error) or "duplicate column" in str(error):
                raise LedgerDamaged("its version is older than its tables") from error
            raise


def _has_our_tables(connection: sqlite3.Connection) -> bool:
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {"transfer", "part", "abort_queue"} <= names


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_fresh(connection: sqlite3.Connection) -> bool:
    tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    return not tables and _version(connection) == 0


def _run(connection: sqlite3.Connection, script: str, version: int) -> None:
    # executescript commits whatever is open first, so the transaction is part of the script.
    connection.executescript(
        f"BEGIN IMMEDIATE;\n{script}\nPRAGMA application_id = {APPLICATION_ID};\n"
        f"PRAGMA user_version = {version};\nCOMMIT;"
    )
