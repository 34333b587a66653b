"""kill -9 of the real process at random moments: while it starts, works, rests and ends; files come and are replaced.

Fifty kills in CI, five hundred by `make torture`. The seed is the run's; every failure names the device it happened to.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from support.rig import Rig, noise
from support.tally import SEED, chance, count, sized

# ruff: noqa: T201 - what is printed is shown when a test fails

pytestmark = pytest.mark.torture

MIB = 1 << 20
PART = 5 * MIB
PARTS = 4  # upload.parts
OK = 200
DEVICES = sized(5, 20)
KILLS = sized(10, 25)
SIZES = (0, 1, 1000, 1000, 200_000, PART + 1, 2 * PART, 17 * MIB)


class Recorder:
    """Brings files into the inbox and now and then replaces one; no two versions have the same bytes."""

    def __init__(self, rig: Rig, dice: random.Random) -> None:
        self._rig = rig
        self._dice = dice
        self._files: list[str] = []
        self._versions = 0
        self.versions_of: Counter[str] = Counter()

    def records(self) -> None:
        for _ in range(self._dice.randint(0, 3)):
            name = f"{self._dice.randint(0, 4)}/film {len(self._files)}"
            self._files.append(name)
            self._drop(name, self._dice.choice(SIZES))
        if self._files and self._dice.random() < 0.3:
            self._drop(self._dice.choice(self._files), self._dice.choice(SIZES[1:]))

    def _drop(self, name: str, size: int) -> None:
        self._versions += 1
        self.versions_of[f"cam/inbox/{name}"] += 1
        data = noise(size, self._dice.getrandbits(32))
        self._rig.drop(name, f"{self._versions:08}".encode()[: len(data)] + data[8:])

    def __len__(self) -> int:
        return len(self._files)


class Bodies:
    """How many bytes the store received of bodies that had been received before, in part or whole."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._seen = 0
        self._furthest: defaultdict[tuple[str, int | None], int] = defaultdict(int)
        self.again = 0
        self.uploads_of: defaultdict[str, set[str | None]] = defaultdict(set)

    def read_on(self) -> None:
        """Take in what the store logged since the last time: a life's requests."""
        log = self._rig.store.log
        for record in log[self._seen :]:
            if record.operation == "UploadPart":
                body = (record.upload_id or "", record.part_number)
                self.again += min(record.received, self._furthest[body])
                self._furthest[body] = max(self._furthest[body], record.received)
                self.uploads_of[record.key].add(record.upload_id)
            elif record.operation == "PutObject" and record.status != OK:
                self.again += record.received
        self._seen = len(log)


def one_life(rig: Rig, recorder: Recorder, dice: random.Random) -> str:
    """From the start to a kill; what kind of life it was."""
    end = time.monotonic() + dice.uniform(0.05, 2.0)
    rig.launch()
    while (rest := end - time.monotonic()) > 0:
        threading.Event().wait(
            min(rest, dice.uniform(0.05, 0.7))
        )  # the moment is the point: nothing is waited for
        if dice.random() < 0.4:
            recorder.records()
    asked = dice.random() < 0.25
    if asked:
        rig.signal(signal.SIGTERM)
        threading.Event().wait(dice.uniform(0.0, 0.3))
    code = rig.kill()
    assert code == -signal.SIGKILL or (asked and code in {0, -signal.SIGTERM}), rig.said[-10:]
    return "killed while it ended" if asked else "killed"


@pytest.mark.parametrize("device", range(DEVICES))
def test_killed_at_any_moment_it_loses_nothing_and_sends_nothing_twice(tmp_path: Path, device: int) -> None:
    print(f"seed {SEED}, device {device}")
    dice = chance("kills", device)
    with Rig(tmp_path, rescan="1s") as rig:
        recorder, bodies = Recorder(rig, dice), Bodies(rig)
        for kill in range(1, KILLS + 1):
            rig.pace.seconds = dice.choice([0.0, 0.02, 0.2])
            recorder.records()
            print(f"life {kill}: {one_life(rig, recorder, dice)}, {rig.arrived()} of {len(recorder)} arrived")
            bodies.read_on()
            assert bodies.again <= kill * PARTS * PART, f"{bodies.again} bytes again after {kill} kills"
            count("kills")
        come_to_rest(rig, len(recorder))
        bodies.read_on()
        assert bodies.again <= KILLS * PARTS * PART
        for key, uploads in bodies.uploads_of.items():
            assert len(uploads) <= recorder.versions_of[key], f"{key}: a version's parts went to two uploads"
        orphans = rig.status()["possible_orphans"]
        assert orphans <= KILLS
        assert rig.stop() == 0
        rig.assert_everything_arrived_once(orphans=orphans)
        count("trials")


def come_to_rest(rig: Rig, files: int) -> None:
    """The last life, with nothing in its way, until it has nothing more to do."""
    rig.pace.seconds = 0.0
    rig.start()
    rig.wait(lambda: rig.arrived() == files, seconds=120.0, what=f"all {files} objects")
    rig.wait(lambda: is_idle(rig), seconds=120.0, what="rest")


def is_idle(rig: Rig) -> bool:
    """It has seen everything, sent everything, and left no upload open but those it owns up to."""
    status = rig.status()
    return status["state"] == "idle" and len(rig.store.uploads()) <= status["possible_orphans"]
