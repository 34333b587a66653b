"""A directory becomes a symlink and a directory again, ten thousand times, while files in it are sent and deleted.

Where the symlink leads lie files of the same names that no one may see or lose.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.rig import Rig, noise
from support.tally import count, sized

pytestmark = pytest.mark.torture

FLIPS = sized(2_000, 10_000)
READS = sized(200, 1_000)
CANARY = b"what lies outside is nobody's business "
AT_ONCE = 40

FLIPPER = """
import os, random, sys, time
place, hidden, outside, told = sys.argv[1:]
flips = 0
while True:
    os.rename(place, hidden)
    os.symlink(outside, place)
    time.sleep(random.random() / 2000)
    os.unlink(place)
    os.rename(hidden, place)
    flips += 1
    if flips % 100 == 0:
        with open(told + ".new", "w") as file:
            file.write(str(flips))
        os.rename(told + ".new", told)
    time.sleep(random.random() / 100)
"""


def whole(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """All that could have been done to what lies there."""
    return {
        path.name: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in directory.iterdir()
    }


@pytest.mark.timeout(3600)
def test_a_directory_that_flips_into_a_symlink_shows_and_loses_nothing_outside(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", rescan="1s") as rig:
        text = rig.config.read_text()
        rig.config.write_text(text.replace("complete_when: {", "after_upload: delete\n    complete_when: {"))
        place, outside, told = rig.inbox / "day", tmp_path / "outside", tmp_path / "flips"
        place.mkdir()
        outside.mkdir()
        names = [f"film-{number}.bin" for number in range(5 * READS)]
        for name in names:
            (outside / name).write_bytes(CANARY * 20)
        before = whole(outside)
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)  # the very one, wherever it lies
        arguments = [str(place), str(rig.inbox / ".hidden"), str(outside), str(told)]
        rig.start()
        flipper = subprocess.Popen([sys.executable, "-c", FLIPPER, *arguments])
        try:
            recorded = record_while_it_flips(rig, directory, names, told)
        finally:
            flipper.kill()
            flipper.wait()
        at_the_end = rig.arrived()
        put_right(place, rig.inbox / ".hidden")
        rig.wait(lambda: rig.arrived() == len(recorded), 300, what="the rest")
        rig.wait(lambda: rig.status()["counts"]["pending"] == 0, 300, what="the deletion of the rest")
        assert whole(outside) == before
        assert at_the_end >= READS
        kept = os.listdir(directory)  # noqa: PTH208 - a descriptor
        assert not kept
        assert rig.stop() == 0
        rig.assert_objects_are(recorded)
        count("trials")


def record_while_it_flips(rig: Rig, directory: int, names: list[str], told: Path) -> dict[str, str]:
    """Until it has flipped and been read so often; the SHA-256 of what was recorded, by key."""
    recorded: dict[str, str] = {}
    end = time.monotonic() + 3000
    left = iter(names)
    while rig.arrived() < READS or flips(told) < FLIPS:
        assert time.monotonic() < end, (rig.arrived(), flips(told))
        if len(recorded) < rig.arrived() + AT_ONCE:
            name = next(left)
            data = noise(2000, len(recorded))
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
            os.write(file, data)
            os.close(file)
            recorded[f"cam/inbox/day/{name}"] = hashlib.sha256(data).hexdigest()
        time.sleep(0.005)  # a recorder's pace
    return recorded


def flips(told: Path) -> int:
    return int(told.read_text()) if told.exists() else 0


def put_right(place: Path, hidden: Path) -> None:
    """Wherever the flipper was interrupted."""
    if hidden.exists():
        place.unlink(missing_ok=True)
        hidden.rename(place)
