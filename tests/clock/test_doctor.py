"""`syncd doctor` on a machine whose clock is hours off: it says so, and judges all else by the servers' time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.rig import Rig

from .conftest import SignAt

HOUR = 3600.0


@pytest.mark.parametrize(("ahead", "text"), [(-2 * HOUR, "2 h behind"), (5 * HOUR, "5 h ahead of")])
def test_a_clock_that_is_off_is_told_and_nothing_else_is_wrong(
    tmp_path: Path, sts_at: SignAt, ahead: float, text: str
) -> None:
    def there() -> float:
        return time.time() - ahead

    sts_at(there)
    with Rig(tmp_path, clock=there) as rig:
        told = rig.run("doctor", "--json")
        document = json.loads(told.stdout)
        found = {each["check"]: each for each in document["checks"]}
        assert (told.returncode, document["ok"]) == (0, True)
        assert found["clock"]["verdict"] == "warn"
        assert text in found["clock"]["text"]
        assert "timedatectl set-ntp true" in found["clock"]["hint"]
        assert "(15 min)" in found["credentials"]["text"] or "(14 min" in found["credentials"]["text"]
        assert {
            each["verdict"] for name, each in found.items() if name not in {"clock", "stale uploads"}
        } == {"ok"}
