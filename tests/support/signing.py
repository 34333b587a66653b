"""Lets the credential API of the demo, which runs in the test's process, sign its AssumeRole by the store's clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import botocore.auth
import pytest


def sign_by(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    """botocore's own signers believe this clock. What is tested is told the time, or runs in another process."""

    def moment(*, remove_tzinfo: bool = True) -> datetime:
        now = datetime.fromtimestamp(clock(), UTC)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    monkeypatch.setattr(botocore.auth, "get_current_datetime", moment)
    try:
        from botocore.crt import auth as crt
    except ImportError:  # no awscrt: then botocore's own signer is all there is
        return
    monkeypatch.setattr(crt, "get_current_datetime", moment)
