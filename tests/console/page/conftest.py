"""A page on a port that the system gave, over facts that the test makes up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.clock import FakeClock
from support.moments import MadeUp
from support.visitor import Visitor

from syncd.console.page.server import PageServer


@pytest.fixture
def view() -> MadeUp:
    return MadeUp()


@pytest.fixture
def server(view: MadeUp, clock: FakeClock) -> Iterator[PageServer]:
    server = PageServer("127.0.0.1", 0, view, clock)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def visitor(server: PageServer) -> Visitor:
    port = server.port()
    assert port is not None
    return Visitor(port)
