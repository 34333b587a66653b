"""A ledger in a directory of its own, and short ways to bring rows into it and look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.scribe import Scribe

from syncd.adapters.ledger import SqliteLedger, open_ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def ledger(path: Path, clock: FakeClock) -> Iterator[SqliteLedger]:
    ledger = open_ledger(path, clock)
    yield ledger
    ledger.close()


@pytest.fixture
def scribe(ledger: SqliteLedger) -> Scribe:
    return Scribe(ledger)


@pytest.fixture
def raw(ledger: SqliteLedger) -> Callable[..., list[Any]]:
    """Plain SQL on the ledger's own connection."""

    def run(sql: str, *values: Any) -> list[Any]:
        return [tuple(row) for row in ledger._connection.execute(sql, values).fetchall()]

    return run
