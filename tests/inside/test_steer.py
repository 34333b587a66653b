"""A pause and its end, and a scan that a person wants: over a whole house, in the middle of its work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.room import Room, closing

from syncd.errors import LockedOut, SyncdError
from syncd.model import AbortLater, Pause, State


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with closing(Room(tmp_path)) as made:
        yield made


def settle(room: Room, name: str) -> None:
    room.house.run(until=lambda: room.house.states().get(name.encode()) is State.SETTLED)


def test_while_paused_files_are_met_and_settle_but_nothing_is_sent(room: Room) -> None:
    told = room.inside.pause(None)
    assert (told["since"], told["until"]) == ("2027-01-15T08:00:00.000Z", None)
    room.write("a")
    settle(room, "a")
    for _ in range(20):
        assert room.house.tick() > 0.5  # it does not run in circles
    assert room.store.writes == []
    document = room.inside.status()
    assert document["state"] == "paused"
    assert document["reasons"][0] == {
        "code": "paused",
        "text": "paused by hand",
        "hint": "syncd resume ends it",
        "since": told["since"],
    }
    state, sentence = room.standing("a")
    assert (state, sentence) == ("settled", "It is finished and queued; syncd is paused by hand.")
    assert "as soon as syncd is resumed" in room.inside.retry([room.at("a")])["paths"][0]["text"]
    assert room.inside.resume() == {"was_paused": True}
    room.house.run()
    assert room.standing("a")[0] == "done"
    assert room.inside.status()["state"] == "idle"
    assert room.inside.resume() == {"was_paused": False}


def test_an_upload_rests_after_the_part_in_flight_and_goes_on_where_it_was(room: Room) -> None:
    room.write("a", b"x" * 13)

    def pause(number: int) -> None:
        if number == 1:
            room.inside.pause(None)

    room.store.after_part = pause
    room.house.run(until=lambda: bool(room.store.uploads))
    for _ in range(20):
        room.house.tick()
    [upload] = room.store.uploads.values()
    assert list(upload.parts) == [1]
    assert room.house.row("a").state is State.UPLOADING
    assert room.house.world.ledger.aborts(room.house.clock.now(), 9) == []
    assert (room.house.row("a").attempts, room.house.row("a").not_before <= room.house.clock.now()) == (
        0,
        True,
    )
    room.inside.resume()
    room.house.run()
    row = room.house.row("a")
    assert (row.state, row.sent_bytes, row.resent_bytes) == (State.DONE, 13, 0)


def test_a_pause_outlives_a_restart(room: Room, tmp_path: Path) -> None:
    room.inside.pause(None)
    room.write("a")
    settle(room, "a")
    room.house.world.ledger.close()
    with closing(Room(tmp_path, root=room.inbox)) as again:
        settle(again, "a")
        for _ in range(20):
            again.house.tick()
        assert again.inside.status()["state"] == "paused"
        again.inside.resume()
        again.house.run()
        assert again.standing("a")[0] == "done"


def test_a_pause_for_a_while_ends_by_itself(room: Room) -> None:
    begin = room.house.clock.now()
    assert room.inside.pause(600.0)["until"] == "2027-01-15T08:10:00.000Z"
    room.write("a")
    room.house.run()
    assert 600 <= room.house.clock.now() - begin < 640
    assert room.standing("a")[0] == "done"
    assert room.house.world.ledger.pause() is None


def test_a_pause_that_was_asked_for_under_a_later_clock_lasts_no_longer_than_it_was_meant_to(
    room: Room,
) -> None:
    later = room.house.clock.now() + 1e8
    room.house.world.ledger.set_pause(Pause(since=later, until=later + 600))
    begin = room.house.clock.now()
    room.write("a")
    room.house.run()
    assert 600 <= room.house.clock.now() - begin < 640


def test_what_is_to_be_aborted_waits_too(room: Room) -> None:
    room.meet()
    room.inside.pause(None)
    room.house.world.ledger.commit([AbortLater(bucket="captures", key="k", upload_id="u")])
    aborted: list[str] = []
    room.store.abort = lambda bucket, key, upload: aborted.append(upload)  # type: ignore[method-assign]
    for _ in range(20):
        room.house.tick()
    assert aborted == []
    room.inside.resume()
    room.house.run()
    assert aborted == ["u"]


def test_a_pause_comes_first_and_leaves_the_other_reasons_standing(room: Room) -> None:
    def refuse(*_: object) -> None:
        raise LockedOut("no such bucket", code="bucket", hint="make it")

    room.store.put = refuse  # type: ignore[method-assign, assignment]
    room.write("a", b"1")
    room.house.run(until=lambda: room.house.gate.closed() is not None)
    room.inside.pause(None)
    room.house.tick()
    document = room.inside.status()
    assert document["state"] == "paused"
    assert [reason["code"] for reason in document["reasons"]] == ["paused", "bucket"]
    room.store.put = FakeStore.put.__get__(room.store)  # type: ignore[method-assign]
    room.inside.resume()
    room.house.run()


def test_without_a_daemon_the_pause_is_told_beside_that(room: Room) -> None:
    room.unattended.pause(None)
    document = room.unattended.status()
    assert document["state"] == "stopped"
    assert [reason["code"] for reason in document["reasons"]][:2] == ["not_running", "paused"]
    with pytest.raises(SyncdError, match="not running"):
        room.unattended.rescan()


def test_a_rescan_comes_at_once(tmp_path: Path) -> None:
    with closing(Room(tmp_path, rescan_s=1e6, quiet_s=0.0)) as room:
        room.house.run()
        [desk] = room.house.clerk.folders
        done, at = desk.scans_done, room.house.clock.now()
        room.write("a")
        assert room.inside.rescan() == {
            "folders": [{"name": "inbox", "path": str(room.inbox), "reason": None}]
        }
        room.house.tick()
        assert desk.scans_done == done + 1
        assert room.house.clock.now() - at < 1
        room.house.run()
        assert room.standing("a")[0] == "done"


def test_a_rescan_says_which_folder_cannot_be_scanned(room: Room) -> None:
    room.house.run()
    room.inbox.rename(room.inbox.with_name("away"))
    room.inside.rescan()
    room.house.tick()  # the rescan looks at the roots too
    assert "does not exist" in room.inside.rescan()["folders"][0]["reason"]
