"""What several of these tests talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.whole import Servers


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.close()
