"""A ledger that was lost, or that went back in time: what S3 has is recognized by its bytes, nothing is sent again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, House, build_house, computable

from syncd.act.plan import target_of
from syncd.act.strangers import LOOKS_IN_VAIN
from syncd.adapters.ledger import open_ledger
from syncd.model import Algorithm, State

SMALL = 3 * LOOKS_IN_VAIN


class Life:
    """One inbox and one store, and ledgers that come and go."""

    def __init__(self, place: Path, **options: Any) -> None:
        self.place = place
        self.root = place / "inbox"
        self.root.mkdir()
        self.store = FakeStore()
        self.options = options
        self.number = 0
        self.house = self.begin()

    def begin(self, state: Path | None = None, **options: Any) -> House:
        """A daemon on a ledger of its own, or on the one that is given."""
        self.number += 1
        path = state or self.place / f"state-{self.number}" / "state.db"
        self.house = build_house(self.root, path, self.store, **{**self.options, **options})
        return self.house

    def write(self, name: str, data: bytes) -> None:
        (self.root / name).write_bytes(data)

    def sent(self) -> tuple[int, int]:
        return len(self.store.writes), len(self.store.part_bodies)


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


@pytest.mark.parametrize(
    "checksum", [None, *(kind for kind in Algorithm if kind is not Algorithm.NONE)], ids=str
)
def test_after_the_loss_of_the_ledger_nothing_that_was_verified_is_sent_again(
    tmp_path: Path, checksum: Algorithm | None
) -> None:
    if checksum is not None and not computable(checksum):
        checksum = None
    life = Life(tmp_path, checksum=checksum)
    for number in range(SMALL):
        life.write(f"small-{number}", b"%d" % number)
    life.write("empty", b"")
    life.write("large", b"abcdefghijklm")
    life.house.run()
    before, objects = life.sent(), dict(life.store.objects)
    reborn = life.begin()
    reborn.run()
    assert life.sent() == before
    assert life.store.objects == objects
    assert set(reborn.states().values()) == {State.DONE}
    for name in ("large", "small-7", "empty"):
        row = reborn.row(name)
        assert row.proof is not None
        assert row.proof.kind in {"checksum", "md5"}
        assert "very bytes" in reborn.world.ledger.history(row.folder, row.path)[-2].why
    assert reborn.world.ledger.totals().sent_bytes == 0


def test_what_was_recognized_is_known_from_then_on(life: Life) -> None:
    life.write("large", b"abcdefghijklm")
    life.house.run()
    reborn = life.begin()
    reborn.run()
    life.write("large", b"another version")
    reborn.rescan()
    reborn.run()
    assert life.store.objects[BUCKET, "cam/inbox/large"].data == b"another version"
    assert reborn.row("large").state is State.DONE


def test_what_changed_while_the_ledger_was_lost_replaces_nothing_and_says_so(life: Life) -> None:
    for name in ("small", "large"):
        life.write(name, name.encode() * 3)
    life.house.run()
    for name in ("small", "large"):
        life.write(name, name.upper().encode() * 3)
    before = life.sent()
    reborn = life.begin()
    reborn.run()
    assert life.sent() == before, "a byte went out although the key is taken"
    for name in ("small", "large"):
        row = reborn.row(name)
        assert row.parked_reason is not None
        assert "another object of this device" in row.parked_reason
        assert life.store.objects[BUCKET, f"cam/inbox/{name}"].data == name.encode() * 3


@pytest.mark.parametrize("mark", ["syncd-upload", "syncd-device"])
def test_equal_bytes_that_somebody_else_stored_are_not_taken_for_ours(life: Life, mark: str) -> None:
    life.write("small", b"12345")
    life.house.run()
    kept = life.store.objects[BUCKET, "cam/inbox/small"]
    kept.metadata[mark] = "cam-8"
    if mark == "syncd-upload":
        del kept.metadata[mark]
    reborn = life.begin()
    reborn.run()
    assert reborn.row("small").parked_reason is not None


def test_a_large_file_whose_key_is_taken_is_refused_before_anything_is_sent(life: Life) -> None:
    life.write("large", b"abcdefghijklm")
    life.house.run()
    life.store.objects[BUCKET, "cam/inbox/later"] = life.store.objects.pop((BUCKET, "cam/inbox/large"))
    before = life.sent()
    life.write("later", b"something else")
    life.house.rescan()
    life.house.run()
    assert life.sent() == before
    assert life.house.row("later").parked_reason is not None
    assert not life.store.uploads


def test_an_upload_that_was_open_when_the_ledger_was_lost_is_cleared_away(life: Life) -> None:
    life.write("large", b"abcdefghijklm")
    life.house.run()
    life.store.objects.clear()
    life.store.create(target_of(life.house.row("large"), life.house.world))
    life.begin().run()
    assert not life.store.uploads
    assert life.store.objects[BUCKET, "cam/inbox/large"].data == b"abcdefghijklm"


def test_a_new_device_soon_stops_asking_for_each_small_file(life: Life) -> None:
    asked: list[str] = []
    head = life.store.head
    life.store.head = lambda bucket, key: asked.append(key) or head(bucket, key)  # type: ignore[method-assign,func-returns-value]
    for number in range(SMALL):
        life.write(f"small-{number}", b"%d" % number)
    life.house.run()
    assert len(asked) == LOOKS_IN_VAIN
    assert len(life.store.writes) == SMALL
    life.write("after", b"later")
    life.house.rescan()
    life.house.run()
    assert len(asked) == LOOKS_IN_VAIN


@pytest.mark.parametrize("may_list", [True, False], ids=["may list uploads", "may not list uploads"])
def test_a_ledger_that_went_back_to_any_earlier_commit_sends_nothing_verified_again(
    tmp_path: Path, may_list: bool
) -> None:
    """As when the WAL is lost: SQLite opens the older state and says nothing."""
    life = Life(tmp_path)
    life.store.may_list_uploads = may_list
    moments: list[Path] = []
    state = tmp_path / "state-2" / "state.db"

    def kept(port: Any) -> Any:
        if not hasattr(port, "record_part"):
            return port
        for name in ("commit", "record_part"):
            method = getattr(port, name)

            def call(*args: Any, method: Any = method, **options: Any) -> Any:
                result = method(*args, **options)
                moments.append(tmp_path / f"moment-{len(moments)}")
                shutil.copytree(state.parent, moments[-1], ignore=shutil.ignore_patterns("*.lock"))
                return result

            setattr(port, name, call)
        return port

    life.write("small", b"12345")
    life.write("large", b"abcdefghijklm")
    house = life.begin(wrap=kept)
    house.run()
    life.write("large", b"the second version")
    life.write("small", b"54321")
    house.rescan()
    house.run()
    assert len(moments) > 15
    before, objects = life.sent(), dict(life.store.objects)
    for moment in moments:
        clock = house.clock
        clock.advance(60.0)
        old = life.begin(moment / "state.db", clock=clock, ledger=open_ledger(moment / "state.db", clock))
        old.run()
        assert life.sent() == before, f"sent again from {moment.name}"
        assert life.store.objects == objects
        parked = {row.path: row.parked_reason for row in old.world.ledger.live(10)}
        assert not parked, f"left over at {moment.name}: {parked}"
        if may_list:
            assert not life.store.uploads
        old.world.ledger.close()
