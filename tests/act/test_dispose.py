"""Delete and move after the upload: only the very file that was proven goes, whatever crashes or interferes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, FakeClock, House, build_house

from syncd.act.dispose import RESTING
from syncd.adapters.disk import LocalDisk
from syncd.adapters.ledger import open_ledger
from syncd.decide.dispose import DisposalPolicy
from syncd.model import State, Writer

DELETE = DisposalPolicy(delete=True)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    root = tmp_path / "inbox"
    root.mkdir()
    return root


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def house_with(inbox: Path, tmp_path: Path, store: FakeStore) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(disposal: DisposalPolicy = DELETE, **options: Any) -> House:
        clock = options.pop("clock", None) or FakeClock()
        clock.wall = max(clock.wall, 1.9e9)  # files of today are old enough by this clock, unless a test says
        made.append(
            build_house(
                inbox, tmp_path / "state" / "state.db", store, clock=clock, disposal=disposal, **options
            )
        )
        return made[-1]

    yield build
    for house in made:
        house.world.ledger.close()


@pytest.mark.parametrize("data", [b"", b"12345", b"abcdefghijklm"], ids=["empty", "one body", "three parts"])
def test_a_proven_file_is_deleted_and_its_object_stays(
    house_with: Callable[..., House], inbox: Path, store: FakeStore, data: bytes
) -> None:
    (inbox / "film").write_bytes(data)
    house = house_with()
    house.run()
    assert not list(inbox.iterdir())
    row = house.row("film")
    assert (row.state, row.gone_at is not None) == (State.DONE, True)
    assert store.objects[BUCKET, "cam/inbox/film"].data == data
    assert house.world.ledger.history(row.folder, b"film")[-1].why == "the file was deleted"


def test_a_file_is_moved_with_its_path_and_never_over_another(
    house_with: Callable[..., House], inbox: Path, tmp_path: Path
) -> None:
    sent = tmp_path / "sent"
    (sent / "day").mkdir(parents=True)
    (sent / "day" / "taken").write_bytes(b"was here before")
    (inbox / "day").mkdir()
    (inbox / "day" / "film").write_bytes(b"12345")
    (inbox / "day" / "taken").write_bytes(b"54321")
    (inbox / "new" / "deep").mkdir(parents=True)
    (inbox / "new" / "deep" / "film").write_bytes(b"xyz")
    house = house_with(DisposalPolicy(move_to=os.fsencode(sent)))
    house.run()
    assert (sent / "day" / "film").read_bytes() == b"12345"
    assert (sent / "new" / "deep" / "film").read_bytes() == b"xyz"
    assert (sent / "day" / "taken").read_bytes() == b"was here before"
    assert (inbox / "day" / "taken").read_bytes() == b"54321"
    assert house.row("day/taken").state is State.DONE
    assert "kept" in house.world.ledger.history(bytes(inbox), b"day/taken")[-1].why
    assert not (inbox / "day" / "film").exists()


def test_a_file_is_moved_across_file_systems_with_its_times(
    house_with: Callable[..., House], inbox: Path, tmp_path: Path
) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == inbox.stat().st_dev:
        pytest.skip("there is no second file system here")
    sent = memory / f"syncd-move-{os.getpid()}"
    sent.mkdir()
    try:
        data = os.urandom(3 << 20)
        (inbox / "film").write_bytes(data)
        os.utime(inbox / "film", ns=(10**18, 10**18 + 5))
        (inbox / "film").chmod(0o640)
        house_with(
            DisposalPolicy(move_to=os.fsencode(sent)), part_size=1 << 20, threshold=1 << 20, buffer=1 << 20
        ).run()
        assert (sent / "film").read_bytes() == data
        assert (sent / "film").stat().st_mtime_ns == 10**18 + 5
        assert (sent / "film").stat().st_mode & 0o777 == 0o640
        assert [path.name for path in sent.iterdir()] == ["film"]
        assert not list(inbox.iterdir())
    finally:
        shutil.rmtree(sent)


@pytest.mark.parametrize("instead", ["a symlink", "nothing"])
@pytest.mark.parametrize("when", ["before it goes", "while it lies aside"])
def test_a_file_whose_directory_is_not_at_its_place_for_a_while_goes_later(
    house_with: Callable[..., House], inbox: Path, tmp_path: Path, when: str, instead: str
) -> None:
    (inbox / "day").mkdir()
    (inbox / "day" / "film").write_bytes(b"12345")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "film").write_bytes(b"54321")
    house = house_with()
    state = {"before it goes": lambda: house.row("day/film").state is State.VERIFIED}
    house.run(until=state.get(when, lambda: house.row("day/film").hint == RESTING))
    (inbox / "day").rename(tmp_path / "day")
    if instead == "a symlink":
        (inbox / "day").symlink_to(tmp_path / "elsewhere")
    ticks(house, 30.0)
    assert house.row("day/film").state is State.VERIFIED
    (inbox / "day").unlink(missing_ok=True)
    (tmp_path / "day").rename(inbox / "day")
    house.run()
    assert not list((inbox / "day").iterdir())
    assert (tmp_path / "elsewhere" / "film").read_bytes() == b"54321"


def test_a_file_whose_directory_was_moved_away_while_it_lay_aside_is_told_of(
    house_with: Callable[..., House], inbox: Path, tmp_path: Path
) -> None:
    (inbox / "day").mkdir()
    (inbox / "day" / "film").write_bytes(b"12345")
    house = house_with()
    house.run(until=lambda: house.row("day/film").hint == RESTING)
    (inbox / "day").rename(tmp_path / "day")
    house.run()
    [aside] = (tmp_path / "day").iterdir()
    assert aside.read_bytes() == b"12345"
    assert house.row("day/film").state is State.DONE
    assert aside.name in (house.world.ledger.history(bytes(inbox), b"day/film")[-1].why or "")


def test_a_file_that_cannot_be_opened_to_ask_for_its_writers_is_asked_again_and_goes(
    house_with: Callable[..., House], inbox: Path
) -> None:
    class Busy(LocalDisk):
        answers = iter([Writer.NONE, Writer.UNASKED, Writer.UNASKED])

        def writer(self, root: bytes, path: bytes) -> Writer:
            return next(self.answers, None) or super().writer(root, path)

    (inbox / "film").write_bytes(b"12345")
    house = house_with(disk=Busy())
    house.run(until=lambda: "could not be opened" in (house.row("film").hint or ""))
    house.run()
    assert not list(inbox.iterdir())


def ticks(house: House, seconds: float) -> None:
    """Let time go by."""
    end = house.clock.monotonic() + seconds
    while house.clock.monotonic() < end:
        house.tick()


def test_a_young_file_stays_until_it_is_old_enough(house_with: Callable[..., House], inbox: Path) -> None:
    (inbox / "film").write_bytes(b"12345")
    clock = FakeClock()
    clock.wall = (inbox / "film").stat().st_mtime + 10
    house = build_house_young(house_with, clock)
    house.run(until=lambda: house.row("film").state is State.VERIFIED if house.states() else False)
    for _ in range(20):
        house.tick()
    assert (inbox / "film").exists()
    assert house.row("film").hint == "it is deleted when it is old enough"
    clock.advance(7200)
    house.run()
    assert not (inbox / "film").exists()


def build_house_young(house_with: Callable[..., House], clock: FakeClock) -> House:
    wall = clock.wall
    house = house_with(DisposalPolicy(delete=True, min_age_s=7200.0), clock=clock)
    clock.wall = wall
    return house


def test_a_file_that_is_open_for_writing_waits(house_with: Callable[..., House], inbox: Path) -> None:
    (inbox / "film").write_bytes(b"12345")
    house = house_with()
    with (inbox / "film").open("ab"):
        house.world.disk.writer = LocalDisk().writer  # type: ignore[method-assign]
        house.run(until=lambda: bool(house.states()) and house.row("film").hint is not None, ticks=40)
        assert (inbox / "film").exists()


def test_a_name_that_is_used_again_is_parked_and_the_earlier_object_survives(
    house_with: Callable[..., House], inbox: Path, store: FakeStore
) -> None:
    (inbox / "film").write_bytes(b"first")
    house = house_with()
    house.run()
    (inbox / "film").write_bytes(b"other")
    house.rescan()
    house.run()
    row = house.row("film")
    assert row.parked_reason is not None
    assert "{mtime" in (row.hint or "")
    assert (inbox / "film").read_bytes() == b"other"
    assert store.objects[BUCKET, "cam/inbox/film"].data == b"first"


def test_a_file_touched_before_its_turn_is_compared_and_still_goes(
    house_with: Callable[..., House], inbox: Path
) -> None:
    class Touching(LocalDisk):
        def put_away(self, root: bytes, path: bytes, *args: Any, **options: Any) -> Any:
            if not touched:
                touched.append(path)
                os.utime(inbox / "film", ns=(1, 1))
            return super().put_away(root, path, *args, **options)

    touched: list[bytes] = []
    (inbox / "film").write_bytes(b"12345")
    house = house_with(disk=Touching())
    house.run()
    assert touched
    assert not (inbox / "film").exists()
    assert house.row("film").state is State.DONE


def test_a_file_changed_at_the_last_moment_is_a_new_version_and_not_lost(
    house_with: Callable[..., House], inbox: Path, store: FakeStore
) -> None:
    class Changing(LocalDisk):
        def put_away(self, root: bytes, path: bytes, *args: Any, **options: Any) -> Any:
            if not changed:
                changed.append(path)
                (inbox / "film").write_bytes(b"what came later")
            return super().put_away(root, path, *args, **options)

    changed: list[bytes] = []
    (inbox / "film").write_bytes(b"12345")
    house = house_with(disk=Changing())
    house.run()
    assert changed
    stored = store.objects[BUCKET, "cam/inbox/film"].data
    assert stored == b"what came later", "the new version replaced its own earlier one, and then went"
    assert not (inbox / "film").exists()


def test_a_file_that_takes_the_name_while_the_old_one_rests_is_not_touched(
    house_with: Callable[..., House], inbox: Path, store: FakeStore
) -> None:
    (inbox / "film").write_bytes(b"12345")
    house = house_with()
    house.run(until=lambda: bool(house.states()) and house.row("film").hint == RESTING)
    assert not (inbox / "film").exists()
    (inbox / "film").write_bytes(b"a new one")
    house.run(until=lambda: house.row("film").parked_reason is not None)
    assert [path.name for path in inbox.iterdir()] == ["film"]
    assert (inbox / "film").read_bytes() == b"a new one"
    assert store.objects[BUCKET, "cam/inbox/film"].data == b"12345"


def test_a_directory_we_may_not_write_in_keeps_the_file_and_says_so(
    house_with: Callable[..., House], inbox: Path
) -> None:
    class Refusing(LocalDisk):
        def put_away(self, root: bytes, path: bytes, *args: Any, **options: Any) -> Any:
            from syncd.adapters.disk.trouble import put_away_trouble

            raise put_away_trouble(PermissionError(13, "Permission denied"), root, path, None)

    (inbox / "film").write_bytes(b"12345")
    house = house_with(disk=Refusing())
    house.run(until=lambda: bool(house.states()) and house.row("film").attempts > 1)
    row = house.row("film")
    assert row.state is State.VERIFIED
    assert "write in" in (row.hint or "")


# -- crashes


class Crash(BaseException):
    pass


class Fuse:
    """Burns before or after the k-th step; a dead process takes no further one, not even to clear up."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    @property
    def burnt(self) -> bool:
        return self.steps >= self.at

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self._step()
            result = function(*args, **options)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self.steps += 1
        if self.burnt:
            raise Crash


@pytest.mark.parametrize("target", ["delete", "move", "move across"])
def test_a_crash_at_any_step_of_going_loses_nothing_and_leaves_nothing_aside(
    inbox: Path, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncd.adapters.disk import putaway

    sent = tmp_path / "sent"
    names = ("_rename", "_copy", "_hold_lease", "_unlink", "_back")
    real = {name: getattr(putaway, name) for name in names}
    if target == "move across":

        def across(source: int, name: bytes, target_fd: int, new: bytes) -> None:
            if os.fstat(source).st_ino != os.fstat(target_fd).st_ino:
                raise OSError(18, "Invalid cross-device link")
            real["_rename"](source, name, target_fd, new)

        base = {**real, "_rename": across}
    else:
        base = real
    policy = DELETE if target == "delete" else DisposalPolicy(move_to=os.fsencode(sent))
    for step in range(1, 40):
        for path in (inbox, sent):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        (inbox / "film").write_bytes(b"abcdefghijklm")
        store, state = FakeStore(), tmp_path / f"state-{step}" / "state.db"
        fuse = Fuse(step)
        for name, function in base.items():
            monkeypatch.setattr(putaway, name, fuse.wrap(function))
        clock = FakeClock()
        clock.wall = 1.9e9
        ledger = open_ledger(state, clock)
        with contextlib.suppress(Crash):
            build_house(inbox, state, store, clock=clock, ledger=ledger, disposal=policy).run()
        ledger.close()
        assert store.objects[BUCKET, "cam/inbox/film"].data == b"abcdefghijklm"
        for name, function in base.items():
            monkeypatch.setattr(putaway, name, function)
        clock.advance(100)
        ledger = open_ledger(state, clock)
        build_house(inbox, state, store, clock=clock, ledger=ledger, disposal=policy).run()
        ledger.close()
        assert [path.name for path in inbox.iterdir()] == [], f"step {step}"
        assert [path.name for path in sent.iterdir()] == ([] if target == "delete" else ["film"]), (
            f"step {step}"
        )
        assert len(store.writes) == 1
        if not fuse.burnt:
            break
    assert 5 < step < 39


def test_a_file_left_aside_by_a_crash_comes_back_when_it_is_to_be_kept_now(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncd.adapters.disk import putaway

    (inbox / "film").write_bytes(b"12345")
    store, state, clock = FakeStore(), tmp_path / "state" / "state.db", FakeClock()
    clock.wall = 1.9e9

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(putaway, "_checked", crash)
        patch.setattr(putaway, "_back", lambda *_: None)
        ledger = open_ledger(state, clock)
        with pytest.raises(Crash):
            build_house(inbox, state, store, clock=clock, ledger=ledger, disposal=DELETE).run()
        ledger.close()
    assert [path.name.startswith(".syncd-aside-") for path in inbox.iterdir()] == [True]
    ledger = open_ledger(state, clock)
    build_house(inbox, state, store, clock=clock, ledger=ledger).run()
    ledger.close()
    assert (inbox / "film").read_bytes() == b"12345"
    assert [path.name for path in inbox.iterdir()] == ["film"]
