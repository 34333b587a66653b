"""A file whose handling ends the process is parked after five times; those beside it arrive; power cuts are not counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.fake_store import FakeStore
from support.house import BUCKET, House, build_house

from syncd.adapters import hands as hands_module
from syncd.adapters.disk import LocalDisk
from syncd.adapters.hands import HandsFile
from syncd.adapters.ledger import open_ledger
from syncd.inside.retry import _amend
from syncd.model import State


class Death(BaseException):
    """The process is gone, there and then."""


class Deadly(LocalDisk):
    """Whoever opens the poison dies."""

    def open(self, root: bytes, path: bytes) -> Any:
        if path == b"poison":
            raise Death
        return super().open(root, path)


class Device:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = place / "inbox"
        self.root.mkdir()
        self.store = FakeStore()
        self.clock = FakeClock()
        self.deaths = 0

    def live(self, disk: LocalDisk | None = None, *, retried: bool = False) -> House | None:
        """One life of the process; None if it died. `retried`: after `syncd retry` of the poison."""
        self.clock.advance(60.0)
        state = self.place / "state" / "state.db"
        ledger = open_ledger(state, self.clock)
        hands = HandsFile(Path(f"{state}.inhand"), self.clock)
        house = build_house(
            self.root,
            state,
            self.store,
            clock=self.clock,
            ledger=ledger,
            hands=hands,
            disk=disk or Deadly(),
        )
        if retried:
            ledger.commit([_amend(self.poison)])
        try:
            house.run()
            self.rows = house.states()
            self.poison = house.row("poison")
        except Death:
            self.deaths += 1
            return None
        else:
            return house
        finally:
            ledger.close()
            hands.close()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    made = Device(tmp_path)
    (made.root / "poison").write_bytes(b"abcdefghijklm")
    for number in range(6):
        (made.root / f"good-{number}").write_bytes(b"abcdefgh%d" % number)
    return made


def test_a_file_that_ends_the_process_five_times_is_parked_and_all_others_arrive(device: Device) -> None:
    for _ in range(8):
        if device.live() is not None:
            break
    assert device.deaths == 5
    assert device.poison.parked_reason == "syncd ended 5 times in a row while this file was in hand"
    assert device.poison.hint
    assert device.rows.pop(b"poison") is not State.DONE
    assert set(device.rows.values()) == {State.DONE}
    assert len(device.store.writes) == 6


def test_what_was_sent_before_it_was_parked_is_not_sent_again_after_a_retry(device: Device) -> None:
    """So its upload stays open: five ends of the process say nothing against the parts that the store has."""

    def dies_with_the_second(number: int) -> None:
        if number == 2:
            raise Death

    for good in device.root.glob("good-*"):
        good.unlink()
    device.store.after_part = dies_with_the_second
    assert device.live(disk=LocalDisk()) is None
    device.store.after_part = lambda number: None
    while device.live() is None:
        pass
    assert device.poison.parked_reason is not None
    assert list(device.store.uploads) == [device.poison.upload_id]
    house = device.live(disk=LocalDisk(), retried=True)
    assert house is not None
    assert device.poison.state is State.DONE
    sent = Counter((upload, number) for upload, number, _ in device.store.part_bodies)
    assert sorted(number for _, number in sent) == [1, 2, 3], "one upload, its first part once"
    assert [times for (_, number), times in sent.items() if number == 1] == [1]


def test_after_two_deaths_the_others_go_first(device: Device) -> None:
    for _ in range(3):
        assert device.live() is None
    assert len(device.store.writes) == 6, "only the poison is left"


def test_getting_on_takes_the_strikes_back(device: Device) -> None:
    for _ in range(4):
        assert device.live() is None
    house = device.live(disk=LocalDisk())
    assert house is not None
    assert device.poison.state is State.DONE
    assert device.poison.strikes == 0


def test_retry_by_hand_gives_all_chances_again(device: Device) -> None:
    while device.live() is None:
        pass
    assert _amend(device.poison).sets["strikes"] == 0


def test_a_power_cut_is_no_files_fault(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    for boot in range(9):
        monkeypatch.setattr(hands_module, "_boot", lambda boot=boot: b"boot-%d" % boot)
        assert device.live() is None
    house = device.live(disk=LocalDisk())
    assert house is not None
    assert device.poison.parked_reason is None
    assert device.store.objects[BUCKET, "cam/inbox/poison"].data == b"abcdefghijklm"


def test_the_hands_forget_what_was_let_go_and_what_ended_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "state.db.inhand"
    first = HandsFile(path, FakeClock())
    for transfer in (1, 2, 3):
        first.take(transfer)
    first.let_go(2)
    second = HandsFile(path, FakeClock())
    assert sorted(second.left()) == [1, 3]
    second.take(9)
    second.let_all_go()
    second.close()
    assert HandsFile(path, FakeClock()).left() == []


def test_where_the_boot_has_no_name_its_age_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_module, "_boot", lambda: b"")
    path, clock = tmp_path / "state.db.inhand", FakeClock()
    clock.boot = 5000.0
    HandsFile(path, clock).take(7)
    clock.boot = 5010.0
    again = HandsFile(path, clock)
    assert again.left() == [7], "the process died, the machine did not"
    again.take(7)
    clock.boot = 20.0
    assert HandsFile(path, clock).left() == [], "the machine has begun anew"


@pytest.mark.parametrize("junk", [b"", b"x", b"\xff" * 500], ids=["empty", "short", "long"])
def test_junk_in_the_file_blames_nobody(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "state.db.inhand"
    path.write_bytes(junk)
    assert HandsFile(path, FakeClock()).left() == []


def test_a_place_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    hands = HandsFile(tmp_path / "missing" / "state.db.inhand", FakeClock())
    hands.take(1)
    hands.let_go(1)
    assert hands.left() == []
