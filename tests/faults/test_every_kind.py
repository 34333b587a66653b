"""Every kind of trouble, on every request that it can meet, once and for a while: everything arrives, written once."""

from __future__ import annotations

import pytest
from support.script import KINDS

from .scene import LARGE, SMALL, Scene


@pytest.mark.parametrize("name", KINDS)
def test_any_trouble_that_happens_once_to_each_request_costs_only_time(scene: Scene, name: str) -> None:
    operations = KINDS[name]().operation
    assert isinstance(operations, tuple)
    scene.trouble(*[KINDS[name](operation=each, times=1) for each in operations])
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives()
    assert scene.script.hits
