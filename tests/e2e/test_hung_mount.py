"""A folder on a FUSE file system whose program is stopped: as with a file server that is gone, every call into it hangs."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rig import WATCH, Rig, noise

MAY_MOUNT = shutil.which("bindfs") is not None and os.access("/dev/fuse", os.W_OK)
pytestmark = [
    pytest.mark.skipif(not MAY_MOUNT, reason="needs bindfs and /dev/fuse"),
    pytest.mark.torture,  # waits as long as the daemon's patience takes
]


class Share:
    """What lies at `path` is served by a process that can be stopped."""

    def __init__(self, place: Path) -> None:
        self.source, self.path = place / "source", place / "share"
        self.source.mkdir()
        self.path.mkdir()
        self._server = subprocess.Popen(["bindfs", "-f", str(self.source), str(self.path)])
        end = time.monotonic() + 20
        while not self.path.is_mount():
            assert time.monotonic() < end
            time.sleep(0.02)  # polling another process: there is no event to wait for

    def stick(self) -> None:
        self._server.send_signal(signal.SIGSTOP)

    def answer(self) -> None:
        self._server.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.answer()
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        self._server.terminate()
        self._server.wait(20)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    there = Share(tmp_path)
    yield there
    there.close()


@pytest.fixture
def rig(tmp_path: Path, share: Share) -> Iterator[Rig]:
    with Rig(tmp_path / "rig") as rig:
        text = rig.config.read_text()
        second = f"  - {{path: {share.path}, rescan: 2s, watch: {WATCH}, complete_when: {{quiet: 0s}}}}\n"
        rig.config.write_text(text.replace("upload: {", f"{second}upload: {{"))
        yield rig


def test_a_hung_mount_holds_up_no_other_folder_is_told_and_goes_on_when_it_answers(
    rig: Rig, share: Share
) -> None:
    rig.pace.seconds = 0.5
    film = noise(60 << 20)
    (share.source / "film.bin").write_bytes(film)
    rig.start()
    rig.wait(lambda: len(rig.successes("UploadPart")) >= 2, what="a part of the film")
    share.stick()
    for number in range(20):
        rig.drop(f"small-{number}.bin", noise(1000, number))
    rig.wait(lambda: rig.arrived() == 20, 90, what="what is in the other folder")
    folder = rig.status()["folders"][1]
    assert folder["state"] == "blocked"
    assert "does not answer" in folder["reason"]
    explained = rig.run("explain", str(share.path / "film.bin"))
    assert "does not answer" in explained.stdout
    sent = len(rig.successes("UploadPart"))
    share.answer()
    rig.wait(lambda: rig.arrived() == 21, 400, what="the film")
    assert len(rig.successes("UploadPart")) <= 12 + 4  # what was in flight may go twice, nothing else
    assert sent <= 12
    assert rig.stop() == 0
    small = {f"cam/inbox/small-{number}.bin": noise(1000, number) for number in range(20)}
    there = {
        key: hashlib.sha256(data).hexdigest() for key, data in ({"cam/share/film.bin": film} | small).items()
    }
    rig.assert_objects_are(there)


def test_a_hung_mount_keeps_nobody_from_ending_or_starting(rig: Rig, share: Share) -> None:
    (share.source / "film.bin").write_bytes(noise(20 << 20))
    rig.pace.seconds = 0.5
    rig.start()
    rig.wait(lambda: bool(rig.successes("UploadPart")), what="a part of the film")
    share.stick()
    began = time.monotonic()
    assert rig.stop(60.0) == 0
    assert time.monotonic() - began < 40
    rig.start()
    rig.drop("small.bin", noise(1000))
    rig.wait(lambda: rig.arrived() == 1, 60, what="what is in the other folder")
    assert rig.stop(60.0) == 0


def test_the_doctor_names_a_hung_mount_and_waits_for_it_a_bounded_time(rig: Rig, share: Share) -> None:
    share.stick()
    began = time.monotonic()
    told = rig.run("doctor", timeout=60.0)
    assert time.monotonic() - began < 30
    assert told.returncode == 1
    assert f"fail  folder         {share.path} does not answer" in told.stdout
    assert "skip  after_upload   needs folder" in told.stdout
    assert f"ok    folder         {rig.inbox} can be read" in told.stdout
