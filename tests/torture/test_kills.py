"""kill -9 of the real process at random moments: while it starts, works, rests and ends; files come and are replaced.

Every second device may list its uploads, and leaves none open. The others own up to those that a kill made unknown to them.
Fifty kills in CI, five hundred by `make torture`. The seed is the run's; every failure names the device it happened to.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from support.rig import Rig, noise, sha256_of
from support.tally import SEED, chance, count, sized

from syncd.demo.store.faults import Record

# ruff: noqa: T201 - what is printed is shown when a test fails

pytestmark = pytest.mark.torture

MIB = 1 << 20
PART = 12 * MIB  # more than the kernel holds of a body on its way, so that a kill can tear one
PARTS = 4  # upload.parts
OK = 200
AFTER_UPLOAD = ("keep", "delete", "keep", "{{move: {{to: {sent}}}}}")
DEVICES = sized(5, 20)
KILLS = sized(10, 25)
LIST = ("s3:ListBucketMultipartUploads",)
FIVE_DEATHS = "times in a row while this file was in hand"
SIZES = (0, 1, 1000, 1000, 200_000, 5 * MIB, PART + 1, 3 * PART)


class Recorder:
    """Brings files into the inbox and, where they are kept, now and then replaces one: never by the same bytes."""

    def __init__(self, rig: Rig, dice: random.Random, *, replaces: bool) -> None:
        self._rig = rig
        self._dice = dice
        self._replaces = replaces
        self.content: dict[Path, str] = {}  # SHA-256 of the last version
        self._files: list[str] = []
        self._versions = 0
        self.versions_of: Counter[str] = Counter()

    def records(self) -> None:
        for _ in range(self._dice.randint(0, 3)):
            name = f"{self._dice.randint(0, 4)}/film {len(self._files)}"
            self._files.append(name)
            self._drop(name, self._dice.choice(SIZES))
        if self._replaces and self._files and self._dice.random() < 0.3:
            self._drop(self._dice.choice(self._files), self._dice.choice(SIZES[2:]))

    def _drop(self, name: str, size: int) -> None:
        self._versions += 1
        self.versions_of[f"cam/inbox/{name}"] += 1
        data = noise(size, self._dice.getrandbits(32))
        data = f"{self._versions:08}".encode()[: len(data)] + data[8:]
        self.content[self._rig.drop(name, data)] = hashlib.sha256(data).hexdigest()

    def keys(self) -> dict[str, str]:
        return {self._rig.key_of(path): content for path, content in self.content.items()}

    def assert_nothing_went_without_its_object(self) -> None:
        """A file that is not at its path is at the store, every byte of it."""
        for path, content in self.content.items():
            if not path.exists():
                assert hashlib.sha256(self._rig.store.read(self._rig.key_of(path))).hexdigest() == content

    @property
    def inbox(self) -> Path:
        return self._rig.inbox

    def __len__(self) -> int:
        return len(self._files)


Body = tuple[str | None, int | None]
Intent = tuple[str, float]


class Bodies:
    """How many bytes the store received of bodies that had been received before, in part or whole."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._seen = 0
        self._furthest: Counter[Body] = Counter()
        self._acknowledged: set[Body] = set()
        self.again = 0
        self.uploads_of: defaultdict[str, set[str | None]] = defaultdict(set)

    def read_on(self) -> None:
        """Take in a life's requests. What was acknowledged in an earlier life is not sent again, not one byte of it."""
        log = self._rig.store.log
        acknowledged = {self._read(record) for record in log[self._seen :]}
        self._acknowledged |= {body for body in acknowledged if body is not None}
        self._seen = len(log)

    def _read(self, record: Record) -> Body | None:
        if record.operation == "PutObject" and record.status != OK:
            self.again += record.received
        if record.operation != "UploadPart" or not record.received:
            return None
        body = (record.upload_id, record.part_number)
        assert body not in self._acknowledged, f"part {body[1]} of {record.key} was sent again"
        self.again += min(record.received, self._furthest[body])
        self._furthest[body] = max(self._furthest[body], record.received)
        self.uploads_of[record.key].add(record.upload_id)
        return body if record.status == OK else None


def one_life(rig: Rig, recorder: Recorder, dice: random.Random) -> str:
    """From the start to a kill; what kind of life it was."""
    rig.launch()
    kind = dice.choice(["starting", "started", "working", "working", "ending"])
    if kind == "starting":
        pause(dice.uniform(0.05, 0.8))
    else:
        rig.wait(lambda: rig.has_told("started"), what="the start")
        recorder.records()
        wait_for_work(rig, dice.randint(1, 25) if kind == "working" else 0)
        pause(dice.uniform(0.0, 1.2) if kind == "started" else dice.uniform(0.0, 0.1))
    if kind == "ending":
        rig.signal(signal.SIGTERM)
        pause(dice.uniform(0.0, 0.3))
    code = rig.kill()
    assert code == -signal.SIGKILL or (kind == "ending" and code == 0), rig.said[-10:]
    return kind


def wait_for_work(rig: Rig, requests: int) -> None:
    """Until the store has seen so many more; with nothing to send there are none."""
    end, seen = time.monotonic() + 3.0, len(rig.store.log)
    while len(rig.store.log) < seen + requests and time.monotonic() < end:
        pause(0.002)


def pause(seconds: float) -> None:
    """The moment of the kill is the point: nothing is waited for."""
    threading.Event().wait(seconds)


@pytest.mark.parametrize("device", range(DEVICES))
def test_killed_at_any_moment_it_loses_nothing_and_sends_nothing_twice(tmp_path: Path, device: int) -> None:
    after_upload = AFTER_UPLOAD[device % len(AFTER_UPLOAD)]
    may_list = LIST if (device + device // len(AFTER_UPLOAD)) % 2 else ()  # half of each way to dispose
    print(f"seed {SEED}, device {device}, after upload: {after_upload}, may list uploads: {bool(may_list)}")
    dice = chance("kills", device)
    unknown: set[Intent] = set()
    with Rig(tmp_path, role_may=may_list, rescan="1s", part_size="12MiB") as rig:
        rig.endpoint.bucket_actions = may_list
        sent = tmp_path / "sent"
        sent.mkdir()
        dispose(rig, after_upload.format(sent=sent))
        recorder, bodies = Recorder(rig, dice, replaces=after_upload == "keep"), Bodies(rig)
        for kill in range(1, KILLS + 1):
            rig.pace.seconds = dice.choice([0.0, 0.02, 0.2])
            rig.pace.rate = dice.choice([None, 25.0 * MIB])
            rig.pace.unknown_s = dice.choice([0.0, 0.3])
            recorder.records()
            print(
                f"life {kill}: {one_life(rig, recorder, dice)}, {rig.arrived()} of {len(recorder)}, {bodies.again} again"
            )
            unknown |= left_unknown(rig, tmp_path / "copy")
            bodies.read_on()
            assert bodies.again <= kill * PARTS * PART, f"{bodies.again} bytes again after {kill} kills"
            recorder.assert_nothing_went_without_its_object()
            count("kills")
        assert len(rig.store.log) > 2 * KILLS, "it was killed before it did anything"
        come_to_rest(rig, len(recorder))
        orphans = rig.status()["possible_orphans"]
        print(f"{len(unknown)} left unknown by kills, {orphans} counted, {len(rig.store.uploads())} open")
        assert orphans <= (0 if may_list else len(unknown))
        assert rig.stop() == 0
        rig.assert_objects_are(recorder.keys(), orphans=orphans)
        assert_files_are_where_they_belong(recorder, after_upload, sent)
        bodies.read_on()
        assert bodies.again <= KILLS * PARTS * PART
        for key, uploads in bodies.uploads_of.items():
            assert len(uploads) <= recorder.versions_of[key], f"{key}: a version's parts went to two uploads"
        count("trials")
    shutil.rmtree(tmp_path)  # hundreds of megabytes; kept only where it failed


def dispose(rig: Rig, after_upload: str) -> None:
    text = rig.config.read_text()
    rig.config.write_text(text.replace("    rescan:", f"    after_upload: {after_upload}\n    rescan:"))


def assert_files_are_where_they_belong(recorder: Recorder, after_upload: str, sent: Path) -> None:
    """Kept with their bytes; or deleted, or moved with their bytes, and nothing left aside."""
    inbox = recorder.inbox
    left = {path: sha256_of(path) for path in inbox.rglob("*") if path.is_file()}
    moved = {inbox / path.relative_to(sent): sha256_of(path) for path in sent.rglob("*") if path.is_file()}
    assert left == (recorder.content if after_upload == "keep" else {})
    assert moved == (recorder.content if "move" in after_upload else {})


def left_unknown(rig: Rig, copy: Path) -> set[Intent]:
    """After a death, the Creates of which the ledger cannot know what came of them. The next life finds it untouched.

    Each by its file's token and when it was meant: one that is found in doubt, and begun anew, counts twice.
    """
    state = rig.place / "state"
    if not (state / "state.db").exists():
        return set()
    shutil.copytree(state, copy)
    with sqlite3.connect(copy / "state.db") as look:
        begun = look.execute("SELECT 1 FROM sqlite_master WHERE name = 'transfer'").fetchone()
        creating = "SELECT token, started_at FROM transfer WHERE state = 'creating'"
        leaving = "SELECT upload_id, since FROM abort_queue WHERE since IS NOT NULL"
        intents = set(look.execute(f"{creating} UNION {leaving}")) if begun else set()
    look.close()
    shutil.rmtree(copy)
    return intents


def come_to_rest(rig: Rig, files: int) -> None:
    """The last life, with nothing in its way, until it has nothing more to do."""
    rig.pace.seconds, rig.pace.rate, rig.pace.unknown_s = 0.0, None, 0.0
    rig.start()
    rig.wait(lambda: has_sent(rig, files), seconds=120.0, what=f"all {files} objects")
    rig.wait(lambda: is_idle(rig), seconds=400.0, what="rest")  # an abort that failed waits for five minutes


def has_sent(rig: Rig, files: int) -> bool:
    """All of them; what five deaths parked gets another chance, and nothing else does."""
    if rig.status()["counts"]["parked"]:
        parked = json.loads(rig.run("files", "--state", "parked", "--json").stdout)["files"]
        assert not [file for file in parked if FIVE_DEATHS not in file["parked_reason"]], parked
        assert rig.run("retry", *(file["path"] for file in parked)).returncode == 0
    return rig.arrived() == files


def is_idle(rig: Rig) -> bool:
    """It has seen everything, sent everything, and left no upload open but those it owns up to."""
    status = rig.status()
    return status["state"] == "idle" and len(rig.store.uploads()) <= status["possible_orphans"]
