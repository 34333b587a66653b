"""One store and one client for all of these tests: a prefix of its own for each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.endpoint import Endpoint

from syncd.demo.store import Store

from .scene import PART, TOKEN, KeptScene, Line, Scene, issuer_of


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    place = tmp_path_factory.mktemp("store")
    with (
        Store(place, min_part_size=PART, min_session_seconds=1) as store,
        Endpoint(issuer_of(store), token=TOKEN, session_seconds=900) as endpoint,
    ):
        one = Line(store, endpoint)
        yield one
        one.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Memory where there is some: these tests are not about the disk."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    made = memory / f"syncd-faults-{tmp_path.name}-{id(tmp_path)}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def make_scene(line: Line, place: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(kind: type[Scene] = Scene, **options: Any) -> Scene:
        where = place / str(len(made))
        where.mkdir()
        made.append(kind(line, where, prefix, **options))
        return made[-1]

    with line.prepared() as prefix:
        yield make
        for scene in made:
            scene.close()


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


@pytest.fixture
def impatient(make_scene: Callable[..., Scene]) -> Scene:
    """With time-outs of 0.3 s, for silences."""
    return make_scene(impatient=True)


@pytest.fixture
def kept(make_scene: Callable[..., Any]) -> KeptScene:
    scene: KeptScene = make_scene(KeptScene)
    return scene
