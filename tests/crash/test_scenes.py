"""A stranger, a store that damages, a recorder that goes on writing: a crash at any call costs nothing there either."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import scenes
from support.lives import failing

pytestmark = [pytest.mark.sweep, pytest.mark.torture]


@pytest.mark.parametrize(
    "scene",
    [
        scenes.strangers_object,
        scenes.strangers_object_overwritten,
        scenes.other_size,
        scenes.other_checksum,
        scenes.other_token,
    ],
)
def test_only_token_size_and_checksum_together_prove_an_object_wherever_it_crashes(
    fast_directory: Path, scene: scenes.Scene
) -> None:
    assert failing(scene(fast_directory)) == []


@pytest.mark.parametrize("restore_times", [False, True], ids=["later mtime", "restored mtime"])
def test_a_file_that_changes_before_complete_is_written_once_as_it_is_at_last(
    fast_directory: Path, restore_times: bool
) -> None:
    assert failing(scenes.late_change(fast_directory, restore_times=restore_times)) == []


@pytest.mark.parametrize("scene", [scenes.deleted, scenes.moved])
def test_no_file_goes_without_a_proof_wherever_it_crashes(fast_directory: Path, scene: scenes.Scene) -> None:
    assert failing(scene(fast_directory)) == []
    assert [path.name for path in (fast_directory / "sent").iterdir()] == (
        ["film"] if scene is scenes.moved else []
    )
