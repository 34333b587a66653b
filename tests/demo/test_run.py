"""`syncd demo`: what it promises on the screen is so, and nothing of it stays behind unasked."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import FakeClock

from syncd.cli import main
from syncd.demo.pace import Pace
from syncd.demo.place import find_place
from syncd.demo.recording import Recording
from syncd.demo.store import Store
from syncd.demo.store.faults import Record
from syncd.errors import Fatal

SMALL = ("--size", "12MB", "--pace", "0B")


def demo(*options: str) -> list[str]:
    return [sys.executable, "-m", "syncd", "demo", *options, *SMALL]


class Show:
    """A demo that stays, and what it has said so far."""

    def __init__(self, directory: Path) -> None:
        self.lines: list[str] = []
        self._child = subprocess.Popen(
            demo("--dir", str(directory)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in iter(self._child.stdout.readline, ""))

    def wait(self, said: Callable[[str], object]) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = [line for line in list(self.lines) if said(line)]
            if found:
                return found[0]
            time.sleep(0.05)  # polling another process: there is no event to wait for
        raise AssertionError(f"it was not said: {self.lines}")

    def end(self) -> int:
        self._child.send_signal(signal.SIGINT)
        code = self._child.wait(30)
        self._reader.join(10)
        if self._child.stdout is not None:
            self._child.stdout.close()
        return code


def test_once_shows_a_recording_that_arrived_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    told = subprocess.run(demo("--once"), capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    assert "The recording has arrived." in told.stdout
    facts = dict(re.findall(r"^  (\w+)  +(.*)$", told.stdout, re.MULTILINE))
    assert facts["object"].startswith("s3://captures/demo-camera/inbox/recording-")
    assert facts["proof"].startswith("checksum: crc")
    assert facts["parts"] == "3, each sent once"
    assert facts["renewals"] == "0 (calls to the credential API: 1)"
    assert re.match(
        r"read back by another client, sha256 [0-9a-f]{64}, as that of the file", facts["verified"]
    )
    assert facts["inbox"].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.torture
def test_it_stays_answers_and_takes_files_of_yours_until_ctrl_c_and_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    place = tmp_path / "a demo"
    show = Show(place)
    try:
        asking = [show.wait(lambda line, verb=verb: f" {verb} -c " in line) for verb in ("status", "explain")]  # type: ignore[misc]
        show.wait(lambda line: "Ctrl-C" in line)
        answers = [
            subprocess.run(line, shell=True, capture_output=True, text=True, check=True) for line in asking
        ]
        (place / "inbox" / "mine.txt").write_text("mine")
        show.wait(lambda line: line.startswith("mine.txt is s3://captures/demo-camera/inbox/mine.txt"))
    finally:
        code = show.end()
    assert code == 0
    assert "demo-camera" in answers[0].stdout
    assert "recording-" in answers[1].stdout
    assert any(line.endswith(f"demo --dir '{place}'") for line in show.lines)

    again = subprocess.run(demo("--once", "--dir", str(place)), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"goes on in {place}, where 2 files arrived before" in again.stdout
    with Store(place / "store") as store:
        kept = store.objects()
    for file in (place / "inbox").iterdir():
        assert kept[f"demo-camera/inbox/{file.name}"].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (place / "token").stat().st_mode & 0o777 == 0o600


def test_a_second_demo_in_the_same_directory_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(tmp_path / "store"):
        told = subprocess.run(demo("--dir", str(tmp_path)), capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.splitlines()[0] == f"syncd: another demo is running in {tmp_path}"


def test_a_directory_that_cannot_be_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    told = subprocess.run(demo("--dir", f"{tmp_path}/file/demo"), capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.splitlines()[0].startswith(f"syncd: {tmp_path}/file/demo cannot be used: ")


def test_what_the_demo_configures_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = find_place(tmp_path / "grüße #1: 'x'", 1)
    place.write_token("abc")
    place.write_configuration(api="http://127.0.0.1:1/v1/credentials", store="http://127.0.0.1:2")
    assert main(["check", "-c", str(place.configuration)]) == 0
    assert capsys.readouterr().err == ""


def test_a_socket_whose_path_would_be_too_long_lies_elsewhere(tmp_path: Path) -> None:
    place = find_place(tmp_path / ("long" * 30), 1)
    place.write_configuration(api="http://127.0.0.1:1/v1/credentials", store="http://127.0.0.1:2")
    found = re.search(r'socket: "(.*)"', place.configuration.read_text())
    assert found
    assert len(found[1]) <= 107
    Path(found[1]).parent.rmdir()


def test_without_room_for_it_there_is_no_demo(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="MB free, the demo needs"):
        find_place(tmp_path, 10**18)


def test_recordings_have_the_size_that_was_asked_for_and_always_the_same_bytes(tmp_path: Path) -> None:
    sums = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        recording = Recording(tmp_path / name, 3_000_001, 0.0)
        recording.start()
        recording._thread.join()
        data = recording.path.read_bytes()
        assert len(data) == recording.written == 3_000_001
        assert data[4:8] == b"ftyp"
        assert recording.sha256 == hashlib.sha256(data).hexdigest()
        sums.append(recording.sha256)
    assert sums[0] == sums[1]


def test_a_camera_that_is_stopped_leaves_off(tmp_path: Path) -> None:
    recording = Recording(tmp_path, 50_000_000, 60.0)
    recording.start()
    recording.stop()
    assert recording.sha256 is None
    assert recording.written < 50_000_000


def test_the_pace_is_that_of_one_link_for_all_bodies_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("syncd.demo.pace.time.monotonic", clock.monotonic)
    pace = Pace(1000.0)
    delays = [_delay(pace, "UploadPart", 500) for _ in range(3)]
    assert delays == [0.5, 1.0, 1.5]
    clock.advance(10)
    assert _delay(pace, "PutObject", 2000) == 2.0
    assert pace.before(_record("CreateMultipartUpload", 0)) is None
    assert pace.before(_record("AssumeRole", 300)) is None


def _record(operation: str, length: int) -> Record:
    return Record(at=0.0, request_id="r", method="PUT", operation=operation, length=length)


def _delay(pace: Pace, operation: str, length: int) -> float:
    fault = pace.before(_record(operation, length))
    assert fault is not None
    return fault.delay
