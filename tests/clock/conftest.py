"""Servers whose clocks are not this machine's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import botocore.auth
import pytest

SignAt = Callable[[Callable[[], float]], None]


@pytest.fixture
def sts_at(monkeypatch: pytest.MonkeyPatch) -> SignAt:
    """The credential API of this process has the store's clock: botocore signs its AssumeRole by this one.

    Nothing else here signs by botocore's own clock: what is tested runs in another process, or is told the time.
    """

    def sign_at(clock: Callable[[], float]) -> None:
        def moment(*, remove_tzinfo: bool = True) -> datetime:
            now = datetime.fromtimestamp(clock(), UTC)
            return now.replace(tzinfo=None) if remove_tzinfo else now

        monkeypatch.setattr(botocore.auth, "get_current_datetime", moment)
        try:
            from botocore.crt import auth as crt
        except ImportError:  # no awscrt: then botocore's own signer is all there is
            return
        monkeypatch.setattr(crt, "get_current_datetime", moment)

    return sign_at
