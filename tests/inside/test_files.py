"""The list of files: each as `explain` would tell of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_store import Kept
from support.house import BUCKET
from support.room import Room, closing

from syncd.inside import files
from syncd.model import Algorithm, Standing


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with closing(Room(tmp_path)) as made:
        yield made


def test_a_file_in_the_list_is_what_explain_says_of_it(room: Room) -> None:
    room.write("sent")
    room.write("parked")
    room.write(b"caf\xe9")
    room.store.objects[BUCKET, "cam/inbox/parked"] = Kept(b"not ours", '"e"', {}, Algorithm.CRC64NVME, "")
    room.house.run()
    room.write("new")
    room.meet()
    page = room.inside.files(None, 0)
    assert page["next"] is None
    assert [Path(file["path"]).name for file in page["files"]] == ["caf\\xe9", "parked", "sent"]
    for file in page["files"]:
        if "\\" not in file["path"]:
            said = room.inside.explain(os.fsencode(file["path"]))
            assert file == {name: said[name] for name in file}
    [parked] = room.inside.files(Standing.PARKED, 0)["files"]
    assert parked["parked_reason"].startswith("another object is already under its key")


def test_a_file_on_its_way_tells_how_much_of_it_is_sent(room: Room) -> None:
    room.write("a", b"x" * 13)
    page = room.during_a_part(lambda: room.inside.files(Standing.UPLOADING, 0))
    [file] = page["files"]
    assert (file["state"], file["size"], file["sent"], file["key"]) == ("uploading", 13, 0, "cam/inbox/a")
    assert room.inside.files(None, 0)["files"][0]["sent"] == 13


def test_a_page_says_where_the_next_one_begins(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PAGE", 2)
    for name in ("a", "b", "c"):
        room.write(name)
    room.meet()
    first = room.inside.files(None, 0)
    assert [file["path"][-1] for file in first["files"]] == ["a", "b"]
    rest = room.inside.files(None, int(first["next"]))
    assert ([file["path"][-1] for file in rest["files"]], rest["next"]) == (["c"], None)
