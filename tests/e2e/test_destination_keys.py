"""Every key of `destination`, from the YAML file to what the strict store got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.whole import LARGE, Servers, Whole

Daemon = Callable[..., Whole]

SMALL = b"12345"
BOTH = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in one piece", "in parts"])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.close()


@pytest.fixture
def daemon(servers: Servers, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon with these sections in its configuration."""
    running: list[Whole] = []

    def start(**destination: Any) -> Whole:
        running.append(Whole(servers, tmp_path / str(len(running)), destination=destination))
        return running[-1]

    yield start
    for one in running:
        one.__exit__()


@BOTH
def test_metadata_goes_with_every_object_beside_our_own(daemon: Daemon, data: bytes) -> None:
    device = daemon(metadata={"lab": "7", "operator": "Ada Lovelace"})
    metadata = device.sends("film", data).description.metadata
    assert metadata["lab"] == "7"
    assert metadata["operator"] == "Ada Lovelace"
    assert metadata["syncd-device"] == device.device
    assert metadata["syncd-upload"] == device.row("film").token
