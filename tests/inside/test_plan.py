"""The plan of a whole house: what it says would be done is what is done then, and saying it does nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import Kept
from support.house import BUCKET
from support.room import Room, closing

from syncd.inside import Inside, plan
from syncd.model import Algorithm


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with closing(Room(tmp_path, quiet_s=0.0)) as made:
        yield made


def planned(inside: Inside) -> dict[str, dict[str, Any]]:
    """By name within the inbox."""
    files, at = [], None
    while True:
        page = inside.plan(at)
        files += page["files"]
        at = page["next"]
        if at is None:
            break
    found = {file["path"].partition("/inbox/")[2]: file for file in files}
    assert len(found) == len(files)
    return found


def knowing(room: Room) -> Inside:
    """A view that knows what the credentials say."""
    live = room.scene.live
    assert live is not None
    return Inside(replace(room.scene, plan=room.house.world.plan, live=replace(live, prefix=lambda: "cam/")))


def test_what_is_said_to_be_sent_is_sent_under_that_key_and_in_so_many_parts(room: Room) -> None:
    room.write("small", b"123")
    room.write("sub/large", b"x" * 13)
    room.write(b"caf\xe9", b"1")
    room.write("x.tmp")
    room.write(".hidden/never")
    said = planned(knowing(room))
    assert list(said) == ["caf\\xe9", "small", "sub/large", "x.tmp"]
    assert said["x.tmp"]["action"] == "excluded"
    assert said["x.tmp"]["why"] == "the exclude pattern '*.tmp' matches"
    assert room.house.world.ledger.last_id() == 0
    assert room.store.writes == []
    room.house.run()
    for name in ("small", "sub/large", "caf\\xe9"):
        assert said[name]["action"] == "send"
        assert (BUCKET, said[name]["key"]) in room.store.objects
    assert [said[name]["parts"] for name in ("small", "sub/large")] == [1, 3]
    assert len(room.store.objects) == 3
    again = planned(knowing(room))
    assert {name: file["action"] for name, file in again.items()} == {
        "caf\\xe9": "known",
        "small": "known",
        "sub/large": "known",
        "x.tmp": "excluded",
    }


def test_what_is_known_keeps_its_story_after_renames_changes_and_touches(room: Room) -> None:
    for name in ("kept", "renamed", "changed", "touched", "parked"):
        room.write(name, name.encode())
    room.store.objects[BUCKET, "cam/inbox/parked"] = Kept(b"not ours", '"e"', {}, Algorithm.CRC64NVME, "")
    room.house.run()
    (room.inbox / "renamed").rename(room.inbox / "new name")
    room.write("changed", b"longer than it was")
    os.utime(room.inbox / "touched", (1, 1))
    said = planned(knowing(room))
    assert {name: file["action"] for name, file in said.items()} == {
        "kept": "known",
        "new name": "compare",
        "changed": "send",
        "touched": "compare",
        "parked": "parked",
    }
    assert said["new name"]["key"] == "cam/inbox/renamed"
    assert (said["changed"]["why"], said["changed"]["parts"]) == ("it changed since its upload", 4)


def test_a_key_that_is_another_files_or_impossible_is_foreseen(tmp_path: Path) -> None:
    with closing(Room(tmp_path, quiet_s=0.0, key="{prefix}{name}")) as room:
        room.write("a/film", b"1")
        room.house.run()
        room.write("b/film", b"2")
        said = planned(knowing(room))
        assert said["b/film"]["action"] == "park"
        assert "already holds what was" in said["b/film"]["why"]
        room.house.rescan()
        room.house.run()
        assert "already holds what was" in (room.house.row("b/film").parked_reason or "")


def test_a_file_that_is_open_for_writing_waits_and_asking_settles_nothing(room: Room) -> None:
    path = room.write("a")
    with Path(os.fsdecode(path)).open("ab"):
        assert planned(knowing(room))["a"]["why"] == "a program has it open for writing"
    assert planned(knowing(room))["a"]["action"] == "send"


def test_an_upload_in_its_middle_tells_how_much_of_it_is_there(room: Room) -> None:
    room.write("a", b"x" * 13)
    told: list[dict[str, Any]] = []

    def look(number: int) -> None:
        if number == 2:
            told.append(planned(knowing(room))["a"])

    room.store.after_part = look
    room.house.run()
    [file] = told
    assert (file["action"], file["state"], file["parts"], file["sent"]) == ("send", "uploading", 3, 5)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_of_any_size_make_the_same_plan(room: Room, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for name in ("a!", "a.b/c", "a/b", "a/b.c/d", "a0", "b/x/y/z", "b/x.z", "z"):
        room.write(name)
    whole = planned(knowing(room))
    assert len(whole) == 8
    monkeypatch.setattr(plan, "PAGE", size)
    assert planned(knowing(room)) == whole


def test_a_folder_that_is_away_is_said_to_be(room: Room) -> None:
    room.inbox.rename(room.inbox.with_name("away"))
    [file] = room.unattended.plan(None)["files"]
    assert (file["action"], file["path"]) == ("wait", str(room.inbox))
    assert "does not exist" in file["why"]


def test_a_prefix_that_nobody_knows_stands_in_the_key_as_its_field(room: Room) -> None:
    room.write("a")
    assert planned(room.unattended)["a"]["key"] == "{prefix}inbox/a"
