from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def fast_directory(tmp_path: Path) -> Iterator[Path]:
    """Memory where there is some: a sweep syncs thousands of times."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    place = memory / f"syncd-sweep-{tmp_path.name}-{id(tmp_path)}"
    place.mkdir()
    yield place
    shutil.rmtree(place)
