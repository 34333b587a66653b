"""Files before the start, while it runs and while it is stopped: each becomes one object, with and without a watcher."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.rig import WATCH, Rig, noise

EACH = 150
DEEP = 100
STORM = 300


@pytest.mark.parametrize("watch", ["inotify", pytest.param("poll", marks=pytest.mark.torture)])
def test_files_from_before_during_and_between_arrive_each_once(tmp_path: Path, watch: str) -> None:
    with Rig(tmp_path, watch=watch, rescan="1s") as rig:
        for number in range(EACH):
            rig.drop(f"before/{number}", noise(number, number))
        rig.start()
        for number in range(EACH):
            rig.drop(f"while/{number % 7}/{number}", noise(2000 + number, number))
        rig.wait(lambda: rig.arrived() == 2 * EACH, what="the first files")
        assert rig.stop() == 0
        for number in range(EACH):
            rig.drop(f"between/{number}", noise(5000 + number, number))
        rig.start()
        rig.wait(lambda: rig.arrived() == 3 * EACH, what="all files")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()


def test_hints_bring_a_file_up_long_before_the_next_scan(tmp_path: Path) -> None:
    with Rig(tmp_path, rescan="1h", watch="inotify") as rig:
        rig.start()
        rig.wait(lambda: rig.has_told("credentials_renewed"), what="credentials")
        (rig.inbox / "new").mkdir()
        rig.drop("new/film", b"abc")
        rig.wait(lambda: rig.arrived() == 1, seconds=20.0, what="the object")
        assert rig.stop() == 0


@pytest.mark.torture
def test_trees_moved_in_and_directories_in_storms_arrive_long_before_the_next_scan(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", rescan="1h", watch="inotify") as rig:
        rig.start()
        rig.drop("first", b"abc")
        rig.wait(lambda: rig.arrived() == 1, what="the first object")
        tree = tmp_path / "tree"
        for number in range(DEEP):
            below = tree.joinpath(*(f"level-{level}" for level in range(number % 12)), f"{number}")
            below.mkdir(parents=True)
            (below / "film").write_bytes(noise(number, number))
        tree.rename(rig.inbox / "moved in")
        for number in range(STORM):  # made, filled, and half of them renamed before anybody can look
            place = rig.inbox / f"storm-{number}"
            (place / "below").mkdir(parents=True)
            (place / "below" / "film").write_bytes(noise(number + 1, 1000 + number))
            if number % 2:
                place.rename(rig.inbox / f"renamed-{number}")
        rig.wait(lambda: rig.arrived() == 1 + DEEP + STORM, seconds=120.0, what="all of them")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()


def test_sigterm_ends_soon_with_zero_and_leaves_the_upload_open(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.pace.seconds = 0.3
        rig.drop("film", noise(64 << 20))
        rig.start()
        rig.wait(lambda: len(rig.successes("UploadPart")) >= 2, what="the first parts")
        assert rig.stop(patience=22.0) == 0
        acknowledged = len(rig.successes("UploadPart"))
        assert len(rig.store.uploads()) == 1
        rig.pace.seconds = 0.0
        rig.start()
        rig.wait(lambda: rig.arrived() == 1 and not rig.store.uploads(), what="the object")
        rig.assert_everything_arrived_once()
        assert len(rig.successes("UploadPart")) == 13, f"{acknowledged} were acknowledged before"


@pytest.mark.torture
def test_a_second_daemon_on_the_same_ledger_ends_with_three_and_names_the_first(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start()
        assert rig.child is not None
        second = rig.run("run")
        assert second.returncode == 3
        assert str(rig.child.pid) in second.stderr
        assert "Traceback" not in second.stderr


@pytest.mark.torture
def test_chmod_link_and_a_copy_under_the_same_times_send_nothing_again(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        films = [rig.drop(f"film {number}", noise((6 << 20) + number)) for number in range(3)]
        rig.start()
        rig.wait(lambda: rig.arrived() == 3, what="the objects")
        films[0].chmod(0o640)
        os.link(films[1], tmp_path / "elsewhere")
        copy = tmp_path / "copy"
        shutil.copy2(films[2], copy)
        copy.replace(films[2])
        assert rig.stop() == 0
        before = len(rig.store.log)
        rig.start()
        done = rig.drop("another", b"abc")  # when this one is there, the scan has passed the others
        rig.wait(lambda: rig.arrived() == 4, what="the other object")
        rig.wait(lambda: not _reading_again(rig), what="reading again")
        assert rig.stop() == 0
        bodies = [record for record in rig.store.log[before:] if record.received and record.key]
        assert [record.key for record in bodies] == [f"cam/inbox/{done.name}"]


def _reading_again(rig: Rig) -> bool:
    document = rig.run("status", "--json")
    return "reading_again" in document.stdout


def test_other_bytes_under_the_same_size_and_time_are_sent(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        film = rig.drop("film", noise(1000, 1))
        rig.start()
        rig.wait(lambda: rig.arrived() == 1, what="the object")
        status = film.stat()
        film.write_bytes(noise(1000, 2))
        os.utime(film, ns=(status.st_atime_ns, status.st_mtime_ns))
        rig.wait(lambda: rig.store.read("cam/inbox/film") == noise(1000, 2), what="the new version")
        assert rig.stop() == 0


def test_a_folder_that_is_only_polled_says_so_beside_one_that_is_watched(tmp_path: Path) -> None:
    with Rig(tmp_path, watch="poll") as rig:
        (tmp_path / "other").mkdir()
        extra = f"  - {{path: {tmp_path}/other, complete_when: {{quiet: 0s}}}}\nupload:"
        rig.config.write_text(rig.config.read_text().replace("upload:", extra))
        rig.start()
        (tmp_path / "other" / "film").write_bytes(b"abc")
        rig.wait(lambda: rig.arrived() == 1, what="the object")
        folders = json.loads(rig.run("status", "--json").stdout)["folders"]
        assert {folder["name"]: folder["watch"] for folder in folders} == {
            "inbox": "poll",
            "other": "inotify",
        }


def test_a_suite_that_is_to_run_without_a_watcher_does(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        assert f"watch: {WATCH}\n" in rig.config.read_text()
