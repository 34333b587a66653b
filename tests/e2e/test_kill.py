"""kill -9 of the real process: what was acknowledged is not sent again, and every file ends as one object."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from support.rig import Rig, noise

MIB = 1 << 20


def test_killed_in_the_middle_it_sends_at_most_the_parts_in_flight_again(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pace.seconds = 0.15
        rig.drop("film", noise(60 * MIB))
        rig.start()
        rig.wait(lambda: len(rig.successes("UploadPart")) >= 6, what="half of the parts")
        rig.kill()
        rig.pace.seconds = 0.0
        rig.start()
        rig.wait(lambda: rig.arrived() == 1, what="the object")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
        received = Counter(
            record.part_number
            for record in rig.store.log
            if record.operation == "UploadPart" and record.received
        )
        assert sum(times - 1 for times in received.values()) <= 4
        assert set(received) == set(range(1, 13))
        assert len(rig.successes("CompleteMultipartUpload")) == 1


@pytest.mark.torture
@pytest.mark.parametrize("seed", [20261124])
def test_eight_kills_at_random_moments_cost_no_file_and_no_byte(tmp_path: Path, seed: int) -> None:
    """The kills fall anywhere between the start of the process and its rest; tests/torture has many more of them."""
    chance = random.Random(seed)
    with Rig(tmp_path) as rig:
        rig.pace.seconds = 0.02
        for life in range(8):
            for number in range(3):
                size = chance.choice([0, 1, 1000, 6 * MIB, 11 * MIB])
                rig.drop(f"{life}/film {number}", noise(size, seed + 10 * life + number))
            rig.start()
            pause = chance.random() * 0.8
            threading.Event().wait(pause)  # the moment of the kill is the point: nothing is waited for
            rig.kill()
        rig.pace.seconds = 0.0
        rig.start()
        rig.wait(lambda: rig.arrived() == 24, seconds=90.0, what="all objects")
        rig.wait(
            lambda: len(rig.store.uploads()) <= rig.status()["possible_orphans"],
            seconds=30.0,
            what="clearing up",
        )
        assert rig.stop() == 0
        rig.assert_everything_arrived_once(orphans=8)
