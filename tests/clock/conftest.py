"""Servers whose clocks are not this machine's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
import structlog

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
        def moment(*, remove_tzinfo: bool = True) -> datetime:
            now = datetime.fromtimestamp(clock(), UTC)
            return now.replace(tzinfo=None) if remove_tzinfo else now

        monkeypatch.setattr(botocore.auth, "get_current_datetime", moment)
        try:
            from botocore.crt import auth as crt
        except ImportError:  # no awscrt: then botocore's own signer is all there is
            return
        monkeypatch.setattr(crt, "get_current_datetime", moment)

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
