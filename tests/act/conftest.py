"""One device in one thread: an inbox, a store in memory, and the house over both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.house import House, build_house


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "inbox"
    place.mkdir()
    return place


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def house(tmp_path: Path, root: Path, store: FakeStore) -> Iterator[House]:
    made = build_house(root, tmp_path / "state" / "state.db", store)
    yield made
    made.world.ledger.close()
