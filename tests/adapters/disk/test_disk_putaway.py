"""Only the file that was proven goes: not one that took its name, not one that is written, not one behind a symlink."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.adapters.disk import LocalDisk, ignore_lease_signals, putaway
from syncd.errors import Transient
from syncd.model import Fate, Fingerprint

ASIDE = b".syncd-aside-token"
READS = 150


@pytest.fixture
def disk() -> LocalDisk:
    ignore_lease_signals()
    return LocalDisk()


def known(disk: LocalDisk, root: Path, path: bytes) -> Fingerprint:
    seen = disk.look(os.fsencode(root), path)
    assert seen is not None
    return seen


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def put_away(
    disk: LocalDisk,
    root: Path,
    path: bytes,
    fingerprint: Fingerprint,
    rest: float = 0.0,
    **options: Any,
) -> Fate:
    given = {"aside": ASIDE, "to": None, "ask": True, "go_on": lambda: True} | options
    fate = disk.put_away(os.fsencode(root), path, fingerprint, rested=False, **given)
    if fate is Fate.ASIDE:
        time.sleep(rest)  # as long as a program may take from finding the name to having it open
        fate = disk.put_away(os.fsencode(root), path, fingerprint, rested=True, **given)
    return fate


def test_the_file_goes_and_its_neighbours_stay(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    for name in ("film", "film2"):
        (tmp_path / "day" / name).write_bytes(b"x")
    assert put_away(disk, tmp_path, b"day/film", known(disk, tmp_path, b"day/film")) is Fate.GONE
    assert names(tmp_path / "day") == ["film2"]


def test_a_file_that_is_not_there_is_missing(disk: LocalDisk, tmp_path: Path) -> None:
    some = Fingerprint(dev=1, inode=1, size=1, mtime_ns=1, ctime_ns=1)
    assert put_away(disk, tmp_path, b"film", some) is Fate.MISSING


def test_a_file_whose_directory_is_not_at_its_place_is_away(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "film").write_bytes(b"x")
    fingerprint = known(disk, tmp_path, b"day/film")
    (tmp_path / "day").rename(tmp_path / "moved")
    assert put_away(disk, tmp_path, b"day/film", fingerprint) is Fate.AWAY
    (tmp_path / "day").symlink_to("moved")
    assert put_away(disk, tmp_path, b"day/film", fingerprint) is Fate.AWAY
    assert names(tmp_path / "moved") == ["film"]


def change_content(path: Path) -> None:
    path.write_bytes(b"other")


def replace_it(path: Path) -> None:
    path.with_name("new").write_bytes(b"other")
    path.with_name("new").rename(path)


@pytest.mark.parametrize("meddle", [change_content, replace_it])
def test_another_file_under_the_name_stays_where_it_is(
    disk: LocalDisk, tmp_path: Path, meddle: Callable[[Path], None]
) -> None:
    (tmp_path / "film").write_bytes(b"proven")
    fingerprint = known(disk, tmp_path, b"film")
    meddle(tmp_path / "film")
    assert put_away(disk, tmp_path, b"film", fingerprint) is Fate.CHANGED
    assert names(tmp_path) == ["film"]
    assert (tmp_path / "film").read_bytes() == b"other"


def test_a_file_that_is_open_for_writing_stays(disk: LocalDisk, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"proven")
    fingerprint = known(disk, tmp_path, b"film")
    with (tmp_path / "film").open("ab"):
        assert put_away(disk, tmp_path, b"film", fingerprint) is Fate.OPEN
        assert put_away(disk, tmp_path, b"film", fingerprint, ask=False) is Fate.OPEN
    assert names(tmp_path) == ["film"]


def test_where_writers_cannot_be_told_only_a_rule_lets_it_go(
    disk: LocalDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film").write_bytes(b"proven")
    fingerprint = known(disk, tmp_path, b"film")
    monkeypatch.setattr(putaway, "_hold_lease", lambda _: None)
    assert put_away(disk, tmp_path, b"film", fingerprint) is Fate.UNKNOWN
    assert names(tmp_path) == ["film"]
    assert put_away(disk, tmp_path, b"film", fingerprint, ask=False) is Fate.GONE


def test_a_file_whose_name_was_taken_meanwhile_is_kept_beside_it(
    disk: LocalDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film").write_bytes(b"proven")
    fingerprint = known(disk, tmp_path, b"film")

    def meanwhile(_: int) -> bool:
        (tmp_path / "film").write_bytes(b"a new one")
        return False

    monkeypatch.setattr(putaway, "_hold_lease", meanwhile)
    assert put_away(disk, tmp_path, b"film", fingerprint) is Fate.OPEN
    assert (tmp_path / "film").read_bytes() == b"a new one"
    assert (tmp_path / "film.kept-1").read_bytes() == b"proven"


def test_without_renameat2_nothing_is_replaced_either(
    disk: LocalDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Old:
        @staticmethod
        def renameat2(*_: object) -> int:
            import ctypes

            ctypes.set_errno(22)
            return -1

    monkeypatch.setattr(putaway, "_libc", Old)
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "film").write_bytes(b"was here")
    (tmp_path / "film").write_bytes(b"proven")
    (tmp_path / "other").write_bytes(b"proven too")
    to = os.fsencode(sent)
    assert put_away(disk, tmp_path, b"film", known(disk, tmp_path, b"film"), to=to) is Fate.OCCUPIED
    assert put_away(disk, tmp_path, b"other", known(disk, tmp_path, b"other"), to=to) is Fate.GONE
    assert (sent / "film").read_bytes() == b"was here"
    assert (tmp_path / "film").read_bytes() == b"proven"
    assert (sent / "other").read_bytes() == b"proven too"


def test_a_file_that_the_target_holds_already_byte_for_byte_goes(disk: LocalDisk, tmp_path: Path) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    for place in (tmp_path, sent):
        (place / "film").write_bytes(b"proven")
    fate = put_away(disk, tmp_path, b"film", known(disk, tmp_path, b"film"), to=os.fsencode(sent))
    assert fate is Fate.GONE
    assert names(tmp_path) == ["sent"]


def test_a_target_that_is_not_there_is_waited_for_and_the_file_is_back(
    disk: LocalDisk, tmp_path: Path
) -> None:
    (tmp_path / "film").write_bytes(b"proven")
    fingerprint = known(disk, tmp_path, b"film")
    with pytest.raises(Transient) as trouble:
        put_away(disk, tmp_path, b"film", fingerprint, to=os.fsencode(tmp_path / "unmounted"))
    assert "mount" in (trouble.value.hint or "")
    assert names(tmp_path) == ["film"]


@pytest.mark.parametrize("rounds", [150, pytest.param(1000, marks=pytest.mark.torture)])
def test_whatever_is_written_between_proof_and_deletion_is_never_lost(
    disk: LocalDisk, tmp_path: Path, rounds: int
) -> None:
    """Many rounds against a program that appends at any moment, opening the file by its name."""
    chance = random.Random(4)
    film = tmp_path / "film"
    lost, gone = 0, 0
    for number in range(rounds):
        film.write_bytes(b"proven %d" % number)
        fingerprint = known(disk, tmp_path, b"film")
        begin = threading.Barrier(2)
        wrote: list[bool] = []

        def write(begin: threading.Barrier = begin, wrote: list[bool] = wrote) -> None:
            begin.wait()
            for _ in range(chance.randrange(40)):
                pass
            try:
                descriptor = os.open(film, os.O_WRONLY | os.O_APPEND)
            except FileNotFoundError:
                return
            os.write(descriptor, b" and more")
            os.close(descriptor)
            wrote.append(True)

        writer = threading.Thread(target=write)
        writer.start()
        begin.wait()
        fate = put_away(disk, tmp_path, b"film", fingerprint, rest=0.005)
        writer.join()
        there = [path.read_bytes() for path in tmp_path.iterdir()]
        lost += bool(wrote) and b"proven %d and more" % number not in there
        gone += fate is Fate.GONE
        assert (fate is Fate.GONE) == (not there)
        for path in tmp_path.iterdir():
            path.unlink()
    assert lost == 0
    assert 0 < gone < rounds, "both ways must have been met"


FLIPPER = """
import os, random, sys, time
inside, outside, place = sys.argv[1:]
while True:
    os.rename(place, inside)
    os.symlink(outside, place)
    time.sleep(random.random() / 2000)
    os.unlink(place)
    os.rename(inside, place)
    time.sleep(random.random() / 2000)
"""


def test_a_directory_that_flips_into_a_symlink_leads_nowhere_outside(disk: LocalDisk, tmp_path: Path) -> None:
    root, outside = tmp_path / "inbox", tmp_path / "outside"
    for directory in (root / "day", outside):
        directory.mkdir(parents=True)
    (outside / "film").write_bytes(b"secret")
    (outside / "film").chmod(0o600)
    arguments = [str(tmp_path / "inbox" / ".hidden"), str(outside), str(root / "day")]
    flipper = subprocess.Popen([sys.executable, "-c", FLIPPER, *arguments])
    reads = 0
    try:
        while reads < READS:
            assert flipper.poll() is None
            try:
                (root / "day" / "film").write_bytes(b"proven")
            except OSError:
                continue
            if (outside / "film").read_bytes() == b"proven":  # our own writer went through the link
                (outside / "film").write_bytes(b"secret")
            seen = disk.look(os.fsencode(root), b"day/film")
            try:
                file = disk.open(os.fsencode(root), b"day/film")
            except Exception:  # noqa: BLE001 - not there now
                continue
            buffer = memoryview(bytearray(16))
            count = file.read_into(0, buffer)
            assert bytes(buffer[:count]) in {b"proven", b""}
            file.close()
            reads += 1
            if seen is not None:
                put_away(disk, root, b"day/film", seen)
            assert (outside / "film").exists(), "a file outside was deleted"
    finally:
        flipper.kill()
        flipper.wait(30)
    assert (outside / "film").exists()
