"""Every key of `destination`, from the YAML file to what the strict store got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.whole import LARGE, Servers, Whole

from syncd.demo import endpoint

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


@BOTH
def test_tags_go_with_every_object(daemon: Daemon, data: bytes) -> None:
    tags = {"project": "Reef: +1/2 = ok@home", "größe": "", "a b": "c d"}
    assert daemon(tags=tags).sends("film", data).description.tags == tags


def test_tags_without_the_right_to_tag_lock_the_destination_and_name_that_right(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_ACTIONS", tuple(set(endpoint._ACTIONS) - {"s3:PutObjectTagging"}))
    device = daemon(tags={"project": "reef"})
    device.drop("film")
    device.run(lambda: device.closed() == "permission")
    assert "s3:PutObjectTagging (for destination.tags)" in device.hint()
    assert device.row("film").attempts == 0
    monkeypatch.undo()
    device.write(destination={})
    assert device.reload()
    device.run(lambda: device.done("film"))
    assert device.object("film").description.tags == {}
