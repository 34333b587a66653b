"""The persistent queue: one SQLite file, one connection, one owner."""

from syncd.adapters.ledger.store import SqliteLedger, open_ledger, open_readonly

__all__ = ["SqliteLedger", "open_ledger", "open_readonly"]
