"""`if_exists: overwrite`: a stranger's object makes way and history tells of it; what this device stored never does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fake_store import FakeStore, Kept
from support.house import BUCKET, House, build_house

from syncd.model import Algorithm, State

SMALL, LARGE = b"abc", b"abcdefghijklm"
KEY = (BUCKET, "cam/inbox/film")
BOTH = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["in one piece", "in parts"])

Make = Callable[..., House]


@pytest.fixture
def make(tmp_path: Path, root: Path, store: FakeStore) -> Iterator[Make]:
    made: list[House] = []

    def build(state: str = "state", **options: bool) -> House:
        made.append(build_house(root, tmp_path / state / "state.db", store, **{"overwrite": True, **options}))
        return made[-1]

    yield build
    for house in made:
        house.world.ledger.close()


def plant(store: FakeStore, etag: str = '"theirs"', **metadata: str) -> None:
    kept = {name.replace("_", "-"): text for name, text in metadata.items()}
    store.objects[KEY] = Kept(b"what was there", etag, kept, Algorithm.NONE, "")


def story(house: House, name: str = "film") -> list[str]:
    folder = next(iter(house.world.folders))
    return [line.why for line in house.world.ledger.history(folder, name.encode())]


@BOTH
@pytest.mark.parametrize("device", [None, "cam-8"])
def test_a_strangers_object_is_replaced_and_history_says_whose_it_was(
    make: Make, store: FakeStore, root: Path, data: bytes, device: str | None
) -> None:
    plant(store, **({"syncd_device": device, "syncd_upload": "theirs"} if device else {}))
    (root / "film").write_bytes(data)
    house = make()
    house.run()
    assert store.objects[KEY].data == data
    assert house.row("film").state is State.DONE
    told = [why for why in story(house) if "is replaced" in why]
    whose = "the device cam-8" if device else "somebody else"
    assert told == [
        f'an object of {whose} is under the key (14 bytes, ETag "theirs"): it is replaced, as destination.if_exists says'
    ]
    assert len(store.writes) == 1


@BOTH
def test_only_the_object_that_was_seen_is_replaced_and_the_next_one_is_told_of_too(
    make: Make, store: FakeStore, root: Path, data: bytes
) -> None:
    plant(store)
    write = "put" if data is SMALL else "complete"
    honest = getattr(store, write)
    seen = []

    def meddled(*arguments: object, **options: object) -> object:
        condition = options.get("condition", arguments[-1])
        seen.append(condition)
        if len(seen) == 1:
            plant(store, etag='"next"')
        return honest(*arguments, **options)

    setattr(store, write, meddled)
    (root / "film").write_bytes(data)
    house = make()
    house.run()
    assert store.objects[KEY].data == data
    assert [why.partition("ETag ")[2][:10] for why in story(house) if "is replaced" in why] == [
        '"theirs"):',
        '"next"): i',
    ]
    assert all(condition.if_match or condition.if_none_match for condition in seen), (
        "a write without condition"
    )


@BOTH
def test_what_an_earlier_ledger_of_this_device_stored_is_not_a_strangers(
    make: Make, store: FakeStore, root: Path, data: bytes
) -> None:
    plant(store, syncd_device="cam", syncd_upload="of an earlier ledger")
    (root / "film").write_bytes(data)
    house = make()
    house.run()
    assert store.objects[KEY].data == b"what was there"
    assert "of this device" in (house.row("film").parked_reason or "")


def test_a_name_that_is_used_again_after_its_file_was_gone_is_parked_all_the_same(
    make: Make, store: FakeStore, root: Path
) -> None:
    house = make()
    (root / "film").write_bytes(SMALL)
    house.run()
    (root / "film").unlink()
    house.rescan()
    (root / "film").write_bytes(b"the next recording")
    house.rescan()
    house.run()
    assert store.objects[KEY].data == SMALL
    assert "mtime" in (house.row("film").hint or "")


def test_without_it_the_file_is_parked_and_told_of_the_other_rule(
    make: Make, store: FakeStore, root: Path
) -> None:
    plant(store)
    (root / "film").write_bytes(LARGE)
    house = make(overwrite=False)
    house.run()
    row = house.row("film")
    assert "if_exists" in (row.hint or "")
    assert store.objects[KEY].data == b"what was there"
