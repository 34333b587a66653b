"""What a house says of itself while it works: status, explain and retry over real folders, ledger and clerk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import Kept
from support.house import BUCKET
from support.room import Room, closing

from syncd.adapters import machine
from syncd.adapters.watch import NullWatcher
from syncd.clerk import Plant
from syncd.decide.keys import parse
from syncd.errors import LockedOut, RowMoved, Transient
from syncd.inside import Inside
from syncd.model import Algorithm, Amend, Change, Columns, Discover, Fingerprint, Move, State, Stored, Target


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with closing(Room(tmp_path)) as made:
        yield made


def refusing(error: Exception) -> Callable[..., Stored]:
    def put(*_: object) -> Stored:
        raise error

    return put


# -- explain


def test_a_file_tells_its_whole_way(room: Room) -> None:
    room.write("a")
    state, sentence = room.standing("a")
    assert (state, "no scan has met it yet" in sentence) == ("unknown", True)
    room.meet()
    waited = room.house.clock.mono - room.house.clerk.looks.first(room.house.row("a").id)
    room.house.clock.advance(8.0 - waited)
    state, sentence = room.standing("a")
    assert state == "discovered"
    assert "must stay unchanged for 10 s; it has been so for 8 s, and the next look is in 2 s" in sentence
    room.house.run()
    said = room.inside.explain(room.at("a"))
    assert (said["state"], said["proof"], said["size"], said["sent"]) == ("done", "checksum", 13, 13)
    assert said["key"] == "cam/inbox/a"
    assert "proven by checksum: crc64nvme" in said["sentence"]
    assert [line["state"] for line in said["history"]][:2] == ["discovered", "settled"]
    assert said["history"][-1]["state"] == "done"


def test_the_document_has_exactly_the_keys_of_the_contract(room: Room) -> None:
    room.write("a")
    keys = ["path", "state", "sentence", "hint", "key", "proof", "size", "sent"]
    keys += ["not_before", "parked_reason", "history"]
    for path in (room.at("a"), room.at("none"), b"/elsewhere"):
        assert list(room.inside.explain(path)) == keys
    room.house.run()
    said = room.inside.explain(room.at("a"))
    assert list(said) == keys
    assert set(said["history"][0]) == {"at", "state", "why"}
    assert said["history"][0]["at"].endswith("Z")


def test_a_growing_file_is_told_by_its_growth(room: Room) -> None:
    room.write("a", b"123")
    room.meet()
    room.write("a", b"12345")
    assert "it changed since the last look (3 bytes then, 5 now)" in room.standing("a")[1]


def test_a_file_that_is_open_for_writing_says_so(room: Room) -> None:
    path = room.write("a")
    room.meet()
    with Path(os.fsdecode(path)).open("ab"):
        room.house.clock.advance(11.0)
        assert "a program has it open for writing" in room.standing("a")[1]
    assert "the next look, about now, puts it into the queue" in room.standing("a")[1]


def test_a_missing_marker_is_named(tmp_path: Path) -> None:
    with closing(Room(tmp_path, marker="{stem}.done")) as room:
        room.write("a.bin")
        room.meet()
        room.house.clock.advance(11.0)
        assert "its marker a.done is not there" in room.standing("a.bin")[1]


def test_during_the_upload_it_tells_how_far_it_is(room: Room) -> None:
    room.write("a", b"x" * 13)
    said = room.during_a_part(lambda: room.inside.explain(room.at("a")))
    assert said["state"] == "uploading"
    assert said["sentence"].startswith("It is being uploaded as cam/inbox/a: 0 % (0 of 3 parts")


def test_what_waits_in_the_queue_counts_those_before_it(room: Room) -> None:
    for name in ("a", "b", "c"):
        room.write(name, name.encode())
    sentences: list[str] = []

    def refuse(*_: object) -> Stored:
        sentences.append(room.standing("c")[1])
        raise Transient("503", retry_after=60.0)

    room.store.put = refuse  # type: ignore[method-assign, assignment]
    room.house.run(until=lambda: len(sentences) > 1)
    assert sentences[0] == "It is finished and queued; 2 files are before it."
    said = room.inside.explain(room.at("a"))
    assert "the next try is in" in said["sentence"]
    assert said["sentence"].endswith("because 503.")
    assert said["not_before"] is not None


def test_a_closed_destination_is_what_everything_queued_waits_for(room: Room) -> None:
    room.write("a", b"1")
    room.store.put = refusing(LockedOut("no such bucket", code="bucket", hint="make it"))  # type: ignore[method-assign]
    room.house.run(until=lambda: room.house.gate.closed() is not None)
    said = room.inside.explain(room.at("a"))
    assert "the destination takes nothing now: no such bucket" in said["sentence"]
    assert said["hint"] == "make it"
    document = room.inside.status()
    assert document["state"] == "blocked"
    assert (document["reasons"][0]["code"], document["reasons"][0]["hint"]) == ("bucket", "make it")


def test_what_is_not_taken_says_which_rule(room: Room) -> None:
    for name in ("x.tmp", ".hidden/deep/a", "sub/a"):
        room.write(name)
    assert room.standing("x.tmp") == ("excluded", "It is not taken: the exclude pattern '*.tmp' matches.")
    assert room.standing(".hidden/deep/a")[1] == "It is not taken: the exclude pattern '.*' matches."
    assert room.standing(".hidden")[1].startswith("It is a directory that is not entered")
    assert room.standing("sub")[1].startswith("It is a directory; each file")


def test_what_is_no_regular_file_says_what_it_is(room: Room) -> None:
    room.write("real/a")
    (room.inbox / "link").symlink_to("real/a")
    (room.inbox / "door").symlink_to("real")
    os.mkfifo(room.inbox / "pipe")
    assert "It is a symlink" in room.standing("link")[1]
    assert "A directory above it is a symlink" in room.standing("door/a")[1]
    assert "no regular file" in room.standing("pipe")[1]
    assert "no such file" in room.standing("none/a")[1]
    assert "no such file" in room.standing("real/a/b")[1]
    assert "no such file" in room.standing("x" * 300)[1]


def test_outside_nothing_is_looked_at(room: Room, tmp_path: Path) -> None:
    for path in (b"/", b"/etc/passwd", os.fsencode(tmp_path), os.fsencode(f"{room.inbox}-2/a")):
        assert room.standing(path)[0] == "outside"


def test_the_folder_itself_is_no_file(room: Room) -> None:
    room.meet()
    for path in (os.fsencode(room.inbox), os.fsencode(f"{room.inbox}/"), os.fsencode(f"{room.inbox}/.")):
        state, sentence = room.standing(path)
        assert state == "unknown"
        assert sentence.startswith("It is the watched folder inbox, last scanned at 2027-01-15T")


@pytest.mark.parametrize(
    "form", ["{inbox}//a", "{inbox}/./a", "{inbox}/sub/../a", "/{inbox}/a", "{inbox}/a/"]
)
def test_other_spellings_of_a_path_are_the_same_file(room: Room, form: str) -> None:
    room.write("a")
    (room.inbox / "sub").mkdir()
    room.meet()
    said = room.inside.explain(os.fsencode(form.format(inbox=room.inbox)))
    assert (said["state"], said["path"]) == ("discovered", str(room.inbox / "a"))


def test_a_folder_reached_by_a_symlink_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "watched").symlink_to("inbox")
    (tmp_path / "shortcut").symlink_to("inbox")
    with closing(Room(tmp_path, root=tmp_path / "watched")) as room:
        room.write("a")
        room.meet()
        for name in ("inbox", "watched", "shortcut"):
            said = room.inside.explain(os.fsencode(tmp_path / name / "a"))
            assert (said["state"], said["path"]) == ("discovered", str(tmp_path / "watched" / "a"))


def test_names_that_are_no_text_survive(room: Room) -> None:
    path = room.write(b"caf\xe9\x1b[31m\n")
    room.house.run()
    said = room.inside.explain(path)
    assert said["state"] == "done"
    assert said["path"] == f"{room.inbox}/caf\\xe9\x1b[31m\n"
    assert said["key"] == "cam/inbox/caf%E9%1B[31m%0A"


def test_a_folder_that_is_away_is_the_reason_for_all_its_files(room: Room) -> None:
    room.write("a")
    room.meet()
    room.inbox.rename(room.inbox.with_name("away"))
    room.house.clerk.folders[0].check_root()
    for name, state in (("a", "discovered"), ("never", "unknown")):
        assert room.standing(name)[0] == state
        assert "waits: " in room.standing(name)[1]
        assert "does not exist" in room.standing(name)[1]
    document = room.inside.status()
    assert document["state"] == "blocked"
    assert document["folders"][0]["state"] == "blocked"
    assert "does not exist" in document["folders"][0]["reason"]


def test_what_is_missing_from_an_unmounted_folder_is_not_called_gone(room: Room) -> None:
    room.write("sent")
    room.house.run()
    room.write("new")
    room.house.clerk.folders[0].scan_soon("a test")
    room.house.run(until=lambda: room.standing("new")[0] == "discovered")
    room.inbox.rename(room.inbox.with_name("away"))
    room.inbox.mkdir()  # what a mount point is without its disk
    room.house.clerk.folders[0].check_root()
    assert "gone" not in room.standing("sent")[1]
    assert "its folder inbox waits: another directory is at its path" in room.standing("new")[1]


def test_what_changed_after_its_upload_is_not_called_uploaded_as_it_is_now(room: Room) -> None:
    room.write("a", b"one")
    room.house.run()
    room.write("a", b"two!")
    assert "the file has changed since" in room.standing("a")[1]
    (room.inbox / "a").unlink()
    assert "the local file is gone since" in room.standing("a")[1]


def test_a_file_of_a_folder_that_was_taken_out_keeps_its_story(room: Room, tmp_path: Path) -> None:
    seen = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
    gone = Discover(folder=b"/srv/former", path=b"sub/a", fingerprint=seen, why="first seen")
    room.house.world.ledger.commit([gone])
    state, sentence = room.standing(b"/srv/former/sub/a")
    assert state == "discovered"
    assert "its folder is no longer watched" in sentence
    assert room.standing(b"/srv/former/sub/b")[0] == "outside"


def test_without_a_daemon_the_ledger_answers(room: Room) -> None:
    room.write("a")
    room.write("b")
    room.house.run()
    room.write("c")
    room.meet()
    assert "syncd is not running" in room.unattended.explain(room.write("d"))["sentence"]
    assert room.unattended.explain(room.at("a"))["state"] == "done"
    document = room.unattended.status()
    assert (document["state"], document["started_at"]) == ("stopped", None)
    assert document["counts"]["done"] == 2
    assert document["credentials"]["state"] == "none"
    [folder] = document["folders"]
    assert (folder["state"], folder["watch"], folder["files"]) == ("waiting", None, 2)


# -- status


def test_the_status_follows_the_work(room: Room) -> None:
    assert room.inside.status()["state"] == "working"  # the first scan is to come
    room.write("a", b"x" * 13)
    room.meet()
    document = room.inside.status()
    assert (document["state"], document["counts"]["discovered"]) == ("waiting", 1)
    assert [reason["code"] for reason in document["reasons"]] == ["settling"]
    document = room.during_a_part(room.inside.status)
    assert (document["state"], document["counts"]["uploading"], document["transfers_total"]) == (
        "working",
        1,
        1,
    )
    [flying] = document["transfers"]
    assert (flying["path"], flying["key"], flying["size"]) == (str(room.inbox / "a"), "cam/inbox/a", 13)
    assert (flying["parts_done"], flying["parts_total"]) == (0, 3)
    document = room.inside.status()
    assert (document["state"], document["counts"]["done"], document["reasons"]) == ("idle", 1, [])
    assert document["bytes"]["sent_total"] == 13
    assert document["last_success_at"] is not None


def test_folders_tell_what_the_machine_can_tell(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.meet()
    [folder] = room.inside.status()["folders"]
    assert (folder["name"], folder["path"], folder["watch"]) == ("inbox", str(room.inbox), "poll")
    assert (folder["state"], folder["reason"], folder["open_check"]) == ("ok", None, "ok")
    assert folder["free_bytes"] > 0
    monkeypatch.setattr(machine, "has_capability", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert room.inside.status()["folders"][0]["open_check"] == "unavailable"


def test_a_destination_that_ignores_checksums_is_told(room: Room) -> None:
    room.house.world.ledger.remember_checksum_ignored(f"aws {BUCKET}", 1.0)
    room.meet()
    assert [reason["code"] for reason in room.inside.status()["reasons"]] == ["checksum_ignored"]


def test_while_the_probe_is_sending_nobody_is_told_that_there_are_no_credentials(room: Room) -> None:
    room.write("a", b"x" * 13)
    create, calls = room.store.create, iter([LockedOut("no credentials yet", code="credentials")])

    def refuse_once(target: Target) -> str:
        for refusal in calls:
            raise refusal
        return create(target)

    room.store.create = refuse_once  # type: ignore[method-assign]
    room.house.run(until=lambda: room.house.gate.closed() is not None)
    assert room.inside.status()["state"] == "blocked"
    document = room.during_a_part(room.inside.status)
    assert (document["state"], document["reasons"]) == ("working", [])


# -- retry


def strangers_object(room: Room, name: str) -> None:
    room.store.objects[BUCKET, f"cam/inbox/{name}"] = Kept(b"not ours", '"e"', {}, Algorithm.CRC64NVME, "")


def test_a_parked_file_gets_another_chance(room: Room) -> None:
    path = room.write("a", b"1")
    strangers_object(room, "a")
    room.house.run()
    said = room.inside.explain(path)
    assert "parked until a person looks: another object is already under its key" in said["sentence"]
    assert said["parked_reason"].startswith("another object")
    document = room.inside.status()
    assert (document["state"], document["counts"]["parked"], document["counts"]["pending"]) == ("idle", 1, 0)
    assert [reason["code"] for reason in document["reasons"]] == ["parked"]
    room.store.objects.clear()
    done = room.inside.retry([path])
    assert (done["retried"], done["left"]) == (1, 0)
    assert "no longer parked" in done["paths"][0]["text"]
    room.house.run()
    assert room.standing("a")[0] == "done"


def test_a_waiting_file_is_due_at_once(room: Room) -> None:
    path = room.write("a", b"1")
    room.store.put = refusing(Transient("503", retry_after=600.0))  # type: ignore[method-assign]
    room.house.run(until=lambda: room.house.row("a").attempts > 0 if room.house.states() else False)
    assert room.house.row("a").not_before > room.house.clock.now() + 500
    assert room.inside.retry(None)["paths"] == [
        {"path": os.fsdecode(path), "retried": True, "text": "tried now"}
    ]
    row = room.house.row("a")
    assert (row.not_before, row.attempts) == (0.0, 0)
    assert room.house.mailbox.knock.is_set()


def test_a_retry_promises_nothing_that_a_closed_destination_cannot_keep(room: Room) -> None:
    path = room.write("a", b"1")
    room.store.put = refusing(LockedOut("no such bucket", code="bucket"))  # type: ignore[method-assign]
    room.house.run(until=lambda: room.house.gate.closed() is not None)
    [outcome] = room.inside.retry([path])["paths"]
    assert outcome["retried"]
    assert "as soon as the destination takes work again (no such bucket)" in outcome["text"]


def test_what_is_neither_parked_nor_waiting_is_left(room: Room) -> None:
    done, fresh = room.write("a"), room.write("b")
    room.house.run()
    room.write("b", b"changed")
    asked = room.inside.retry([done, room.at("none"), b"/outside", fresh])
    assert (asked["retried"], asked["left"]) == (0, 4)
    assert [outcome["text"] for outcome in asked["paths"][:2]] == [
        "there is nothing to retry: it is done",
        "syncd does not know it; syncd explain says why",
    ]
    assert room.inside.retry(None) == {"retried": 0, "left": 0, "paths": []}


def test_a_file_in_hand_is_left_to_its_worker(room: Room) -> None:
    path = room.write("a", b"x" * 13)
    asked = room.during_a_part(lambda: room.inside.retry([path]))
    assert asked["paths"][0]["text"] == "there is nothing to retry: it is on its way just now"
    assert room.standing("a")[0] == "done"


class Racing:
    """A ledger in which another was faster, some times."""

    def __init__(self, ledger: Any, times: int) -> None:
        self._ledger = ledger
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def commit(self, changes: Sequence[Change]) -> list[int]:
        if self._times:
            self._times -= 1
            raise RowMoved("another was faster")
        return list(self._ledger.commit(changes))


@pytest.mark.parametrize(("times", "retried"), [(1, 1), (2, 1), (3, 0)])
def test_who_is_faster_than_a_retry_is_met_again(room: Room, times: int, retried: int) -> None:
    path = room.write("a", b"1")
    strangers_object(room, "a")
    room.house.run()
    scene = replace(room.scene, ledger=Racing(room.house.world.ledger, times))
    assert Inside(scene).retry([path])["retried"] == retried


def test_one_row_that_moved_does_not_cost_the_others_their_retry(room: Room) -> None:
    for name in ("a", "b", "c"):
        room.write(name, name.encode())
        strangers_object(room, name)
    room.house.run()
    scene = replace(room.scene, ledger=Racing(room.house.world.ledger, 1))
    assert Inside(scene).retry(None)["retried"] == 3
    assert room.house.world.ledger.counts().parked == 0


def test_a_retry_without_a_daemon_holds_at_the_next_start(room: Room) -> None:
    path = room.write("a", b"1")
    strangers_object(room, "a")
    room.house.run()
    done = room.unattended.retry([path])
    assert "tried when syncd runs again" in done["paths"][0]["text"]
    assert room.house.row("a").parked_reason is None


def test_a_thousand_retried_files_are_counted_although_not_all_are_named(room: Room) -> None:
    seen = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
    ledger = room.house.world.ledger
    rows = ledger.commit(
        [Discover(folder=b"/srv/x", path=b"%d" % n, fingerprint=seen, why="") for n in range(1200)]
    )
    ledger.commit([Move(id=row, was=State.DISCOVERED, to=State.SETTLED, why="") for row in rows])
    ledger.commit([Amend(id=row, was=State.SETTLED, sets=Columns(parked_reason="no")) for row in rows])
    done = room.inside.retry(None)
    assert (done["retried"], done["left"], len(done["paths"])) == (1200, 0, 1000)
    assert ledger.counts().parked == 0


# -- retry --replan


def parked_under_a_key(room: Room) -> bytes:
    path = room.write("a", b"1")
    strangers_object(room, "a")
    room.house.run()
    assert room.house.row("a").parked_reason
    return path


def another_template(room: Room) -> None:
    """As a reload does it: visits and desks go on with another world."""
    world = room.house.world
    [(folder, policy)] = world.folders.items()
    other = replace(policy, template=parse("{prefix}anew/{path}"))
    room.house.clerk.change(
        Plant(world=replace(world, folders={folder: other}), files_at_once=2, watcher=NullWatcher())
    )


def test_what_is_planned_keeps_its_key_unless_it_is_planned_anew(room: Room) -> None:
    path = parked_under_a_key(room)
    another_template(room)
    assert room.inside.retry([path])["retried"] == 1
    room.house.run()
    assert "already under its key cam/inbox/a" in (room.house.row("a").parked_reason or "")
    [outcome] = room.inside.retry([path], replan=True)["paths"]
    assert outcome["text"] == "planned anew when it has settled, tried now (was to go to cam/inbox/a)"
    room.house.run()
    row = room.house.row("a")
    assert (row.state, row.key) == (State.DONE, "cam/anew/a")
    assert room.store.objects[BUCKET, "cam/inbox/a"].data == b"not ours"
    assert any("planned anew by hand" in line["why"] for line in room.inside.explain(path)["history"])


def test_an_open_upload_that_is_planned_anew_is_aborted(room: Room) -> None:
    path = room.write("a", b"x" * 13)
    stop: list[int] = []

    def trouble(number: int) -> None:
        stop.append(number)
        if len(stop) == 1:
            raise Transient("503", retry_after=600.0)

    room.store.after_part = trouble
    room.house.run(until=lambda: bool(room.house.states()) and room.house.row("a").attempts > 0)
    [first] = room.store.uploads
    another_template(room)
    assert room.inside.retry(None, replan=True)["retried"] == 1
    room.house.run()
    assert (room.house.row("a").state, room.house.row("a").key) == (State.DONE, "cam/anew/a")
    assert room.store.uploads == {}
    assert [key for key, _ in room.store.writes] == ["cam/anew/a"]
    assert first not in room.store.completed
    assert room.inside.explain(path)["key"] == "cam/anew/a"


def test_what_may_have_arrived_is_not_planned_anew(room: Room) -> None:
    path = room.write("a", b"1")
    room.store.put = refusing(Transient("503", retry_after=600.0))  # type: ignore[method-assign]
    room.house.run(until=lambda: room.house.row("a").attempts > 0 if room.house.states() else False)
    assert room.house.row("a").state is State.COMPLETING
    [outcome] = room.inside.retry([path], replan=True)["paths"]
    assert (outcome["retried"], "whether its object is there" in outcome["text"]) == (False, True)


def test_planned_anew_without_a_daemon_it_goes_by_the_new_plan_at_the_next_start(
    room: Room, tmp_path: Path
) -> None:
    path = parked_under_a_key(room)
    assert "planned anew" in room.unattended.retry([path], replan=True)["paths"][0]["text"]
    room.house.world.ledger.close()
    with closing(Room(tmp_path, key="{prefix}anew/{path}")) as again:
        again.house.run()
        assert again.house.row("a").key == "cam/anew/a"


def test_what_is_no_longer_watched_keeps_its_plan(room: Room) -> None:
    path = parked_under_a_key(room)
    elsewhere = Inside(replace(room.scene, folders={b"/elsewhere": next(iter(room.scene.folders.values()))}))
    [outcome] = elsewhere.retry([path], replan=True)["paths"]
    assert outcome["text"] == "it is not planned anew: its folder is no longer watched"
