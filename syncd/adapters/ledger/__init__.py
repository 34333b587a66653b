"""The persistent queue: one SQLite file, one connection, one owner."""

import sqlite3

from syncd.adapters.ledger.store import SqliteLedger, open_ledger, open_readonly

SQLITE_VERSION = sqlite3.sqlite_version

__all__ = ["SQLITE_VERSION", "SqliteLedger", "open_ledger", "open_readonly"]
