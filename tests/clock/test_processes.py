"""The whole daemon as a process on a machine whose clock is hours off, against a store that judges every signature."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.rig import Rig, noise

from syncd.demo.loopback import Answer, Request

from .conftest import SignAt

HOUR = 3600.0


def without_a_date(rig: Rig) -> None:
    """From now on the API does not tell the time."""

    def answer(request: Request) -> Answer:
        given = rig.endpoint.credentials(request)
        return replace(given, headers=given.headers | {"Date": ""})

    rig.endpoint.override = answer


def refused_times(rig: Rig) -> int:
    return sum(record.code == "RequestTimeTooSkewed" for record in rig.store.log)


def assert_the_offset_is_shown(rig: Rig, ahead: float) -> None:
    status = json.loads(rig.run("status", "--json").stdout)
    assert status["clock_offset_s"] == pytest.approx(ahead, abs=2.0)
    told = [event for event in rig.events if event["event"] == "clock_offset_large"]
    assert [event["clock_offset_s"] for event in told] == [pytest.approx(ahead, abs=2.0)]


@pytest.mark.parametrize(
    ("ahead", "api_tells"), [(-5 * HOUR, True), pytest.param(5 * HOUR, False, marks=pytest.mark.torture)]
)
def test_with_a_clock_hours_off_files_arrive_and_people_are_told(
    tmp_path: Path, sts_at: SignAt, ahead: float, api_tells: bool
) -> None:
    """The API tells the time before the first signature. Where it does not, S3's refusal does, at no cost."""

    def there() -> float:
        return time.time() - ahead

    sts_at(there)
    with Rig(tmp_path, clock=there) as rig:
        if not api_tells:
            without_a_date(rig)
        for number in range(3):
            rig.drop(f"small {number}", noise(1000, number))
        rig.drop("film", noise(11 << 20))
        rig.start()
        rig.wait(lambda: rig.arrived() == 4, what="the objects")
        rig.wait(lambda: rig.has_told("clock_offset_large"), what="a word about the clock")
        assert_the_offset_is_shown(rig, ahead)
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
        assert not rig.has_told("transfer_postponed")
        waits = [event["code"] for event in rig.events if event["event"] == "destination_waits"]
        assert set(waits) <= {"credentials"}  # the first ones were on their way
        if api_tells:
            assert refused_times(rig) == 0
        else:
            assert 1 <= refused_times(rig) <= 8  # those that were under way together
