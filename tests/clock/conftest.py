"""Servers whose clocks are not this machine's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from support.signing import sign_by

from .device import Device, Servers

SignAt = Callable[[Callable[[], float]], None]


@pytest.fixture
def sts_at(monkeypatch: pytest.MonkeyPatch) -> SignAt:
    """The credential API of this process has the store's clock: botocore signs its AssumeRole by this one.

    Nothing else here signs by botocore's own clock: what is tested runs in another process, or is told the time.
    """
    return sign_at(monkeypatch)


def sign_at(monkeypatch: pytest.MonkeyPatch) -> SignAt:
    def set_clock(clock: Callable[[], float]) -> None:
        sign_by(monkeypatch, clock)

    return set_clock


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = Servers(tmp_path_factory.mktemp("servers"))
        sign_at(monkeypatch)(found.true)
        yield found
        found.stop()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as records:
        yield records


@pytest.fixture
def make(tmp_path: Path, servers: Servers) -> Iterator[Callable[..., Device]]:
    made: list[Device] = []

    def device(**options: Any) -> Device:
        made.append(Device(tmp_path, servers, **options))
        return made[-1]

    yield device
    for each in made:
        each.close()
