"""`run --once`: what it takes, what it waits for, when it gives up, and what it names then. A whole house, told the time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.fake_store import FakeStore
from support.house import House, build_house

from syncd.act.pulse import HeardStore, Pulse
from syncd.decide.select import Selection
from syncd.errors import Refused, SyncdError, Transient
from syncd.model import AbortLater, Target
from syncd.once import OnceRun, settling_s
from syncd.ports import Body

PATIENCE = 120.0


class MoodyStore(FakeStore):
    """Fails as `mood` says, by operation and key; None: it works."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Callable[[str, str], SyncdError | None] = lambda _operation, _key: None
        self.reach = itertools.repeat(10**9)  # how many bytes of a Put get through, attempt by attempt

    def put(self, target: Target, body: Body, condition: Any) -> Any:
        self._ask("put", target.key)
        reach = next(self.reach)
        for at in range(min(body.size, reach)):
            body.read_at(at, 1)
        if reach < body.size:
            raise Transient("the link fell")
        return super().put(target, body, condition)

    def create(self, target: Target) -> str:
        self._ask("create", target.key)
        return super().create(target)

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        self._ask("abort", key)
        super().abort(bucket, key, upload_id)

    def _ask(self, operation: str, key: str) -> None:
        failure = self.mood(operation, key)
        if failure is not None:
            raise failure


class Night:
    """One device over several runs: inbox, ledger and store stay, each run is a house of its own."""

    def __init__(self, place: Path) -> None:
        self.inbox = place / "inbox"
        self.inbox.mkdir()
        self.state = place / "state" / "state.db"
        self.store = MoodyStore()
        self.house: House | None = None
        self.also: dict[bytes, str] = {}

    def begin(self, *, patience: float = PATIENCE, **options: Any) -> Run:
        self.end()
        clock = FakeClock()
        pulse = Pulse(clock)
        store = HeardStore(self.store, pulse)
        self.house = build_house(self.inbox, self.state, store, clock=clock, also=self.also, **options)
        return Run(self.house, pulse, patience)

    def end(self) -> None:
        if self.house is not None:
            self.house.world.ledger.close()

    def drop(self, name: str, data: bytes = b"abc") -> Path:
        path = self.inbox / name
        path.write_bytes(data)
        return path

    def objects(self) -> dict[str, bytes]:
        return {key: kept.data for (_bucket, key), kept in self.store.objects.items()}


class Run:
    """The clerk and the one who asks, in turns."""

    def __init__(self, house: House, pulse: Pulse, patience: float) -> None:
        self.house = house
        self.rounds = 0
        self.began = house.clock.monotonic()
        self.once = OnceRun(
            clock=house.clock,
            ledger=house.world.ledger,
            clerk=house.clerk,
            gate=house.gate,
            rounds=lambda: self.rounds,
            wake=house.mailbox.wake,
            pulse=pulse.moved_at,
            patience_s=patience,
        )

    def go(
        self,
        *,
        meanwhile: Callable[[int], object] = lambda _round: None,
        seconds: float = 1.0,
        most: int = 600,
    ) -> Run:
        """Until it is finished; `meanwhile` is what the world does in every round."""
        for _ in range(most):
            self.house.clerk.tick()
            self.rounds += 1
            if self.once.finished():
                return self
            meanwhile(self.rounds)
            self.house.clock.advance(seconds)
        raise AssertionError(f"it does not end; left over would be {self.once.left_over()}")

    @property
    def took(self) -> float:
        return self.house.clock.monotonic() - self.began

    def left(self) -> dict[str, str]:
        return {os.path.basename(each.what.decode()): each.why for each in self.once.left_over()}  # noqa: PTH119 - may be an s3:// name


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    night = Night(tmp_path)
    yield night
    night.end()


def test_it_ends_when_everything_that_was_there_has_arrived(night: Night) -> None:
    for name in ("a", "b", "c"):
        night.drop(name, name.encode() * 12)
    run = night.begin().go()
    assert sorted(night.objects()) == ["cam/inbox/a", "cam/inbox/b", "cam/inbox/c"]
    assert run.left() == {}
    assert (run.once.done, run.once.total) == (3, 3)


def test_an_empty_folder_is_finished_after_one_scan(night: Night) -> None:
    run = night.begin().go(most=5)
    assert run.left() == {}


def test_what_arrived_before_is_not_taken_again(night: Night) -> None:
    night.drop("a")
    night.begin().go()
    night.store.mood = lambda operation, _key: Refused(f"{operation} again")
    run = night.begin().go(most=5)
    assert run.once.total == 0


def test_nobody_waits_for_files_that_come_later(night: Night) -> None:
    night.drop("first")

    def one_more(number: int) -> None:
        night.drop(f"later-{number}")
        night.house.clerk.folders[0].scan_soon("one more")  # type: ignore[union-attr]

    run = night.begin(quiet_s=5.0).go(meanwhile=one_more, most=30)
    assert run.once.total == 1
    assert run.left() == {}


def test_a_file_that_is_quiet_is_waited_for_once(night: Night) -> None:
    night.drop("a")
    run = night.begin(quiet_s=10.0).go()
    assert run.left() == {}
    assert 10.0 <= run.took < 15.0


@pytest.mark.parametrize(("quiet", "expected"), [(1.0, 30.0), (10.0, 30.0), (20.0, 60.0)])
def test_a_file_that_goes_on_changing_is_left_over_after_three_times_quiet_but_at_least_thirty_seconds(
    night: Night, quiet: float, expected: float
) -> None:
    assert settling_s(quiet) == expected
    path = night.drop("growing")
    night.drop("still")

    def grow(number: int) -> None:
        path.write_bytes(b"x" * number)

    run = night.begin(quiet_s=quiet).go(meanwhile=grow, seconds=0.5)
    assert run.left() == {"growing": "it changed since the last look"}
    assert expected <= run.took < expected + 5.0
    assert list(night.objects()) == ["cam/inbox/still"]


def test_a_file_that_stays_open_is_left_over_and_the_writer_is_blamed(night: Night) -> None:
    with night.drop("open").open("ab"):
        run = night.begin(quiet_s=1.0).go()
    assert run.left() == {"open": "a program has it open for writing"}
    assert run.took >= 30.0


def test_settling_is_no_trouble_however_short_patience_is(night: Night) -> None:
    night.drop("a")
    run = night.begin(quiet_s=20.0, patience=3.0).go()
    assert run.left() == {}


def test_a_refused_file_is_left_over_with_its_reason_and_the_others_go(night: Night) -> None:
    night.drop("bad")
    night.drop("good")
    night.store.mood = lambda operation, key: Refused("not this one") if key.endswith("bad") else None
    run = night.begin().go(most=20)
    assert run.left() == {"bad": "not this one"}
    assert list(night.objects()) == ["cam/inbox/good"]


def test_a_file_parked_in_an_earlier_run_is_still_left_over(night: Night) -> None:
    night.drop("bad")
    night.store.mood = lambda operation, _key: Refused("not this one")
    night.begin().go()
    run = night.begin().go(most=5)
    assert run.left() == {"bad": "not this one"}


def test_a_destination_that_does_not_answer_is_tried_until_patience_ends(night: Night) -> None:
    night.drop("a")
    tries: list[str] = []

    def down(operation: str, _key: str) -> SyncdError:
        tries.append(operation)
        return Transient("no route", unreachable=True)

    night.store.mood = down
    run = night.begin().go()
    assert len(tries) > 2
    assert run.left() == {"a": "the destination takes nothing: no route"}
    assert PATIENCE <= run.took < PATIENCE + 5.0


def test_trouble_that_ends_in_time_costs_nothing(night: Night) -> None:
    night.drop("a")
    run = night.begin()
    until = run.house.clock.monotonic() + PATIENCE / 2

    def down(_operation: str, _key: str) -> SyncdError | None:
        return Transient("no route", unreachable=True) if run.house.clock.monotonic() < until else None

    night.store.mood = down
    run.go()
    assert run.left() == {}
    assert list(night.objects()) == ["cam/inbox/a"]


def test_files_that_come_later_and_arrive_do_not_prolong_patience_with_one_that_does_not(
    night: Night,
) -> None:
    night.drop("stuck")
    night.store.mood = lambda _operation, key: Transient("try later") if key.endswith("stuck") else None

    def one_more(number: int) -> None:
        night.drop(f"later-{number}")
        night.house.clerk.folders[0].scan_soon("one more")  # type: ignore[union-attr]

    run = night.begin(patience=40.0).go(meanwhile=one_more)
    assert run.left() == {"stuck": "it is on its way (completing), but not done: try later"}
    assert 40.0 <= run.took < 45.0
    assert len(night.objects()) > 10


def test_every_file_that_arrives_renews_patience(night: Night) -> None:
    for number in range(3):
        night.drop(f"f{number}")
    run = night.begin(patience=20.0)

    def one_in_fifteen_seconds(_operation: str, key: str) -> SyncdError | None:
        turn = int(run.took // 15)
        return None if int(key[-1]) <= turn else Transient("not yet", retry_after=1.0)

    night.store.mood = one_in_fifteen_seconds
    run.go()
    assert run.took > 25.0
    assert run.left() == {}


def test_a_link_that_carries_a_little_more_each_time_is_not_given_up(night: Night) -> None:
    night.drop("a", b"abcde")
    night.store.reach = iter(range(2, 100))  # type: ignore[assignment]
    run = night.begin(patience=6.0).go()
    assert run.took > 7.0
    assert run.left() == {}


def test_a_link_that_never_gets_any_further_is_given_up(night: Night) -> None:
    night.drop("a", b"abcde")
    night.store.reach = itertools.repeat(4)
    run = night.begin(patience=6.0).go()
    assert 6.0 <= run.took < 10.0
    assert run.left() == {"a": "it is on its way (completing), but not done: the link fell"}


def test_a_folder_that_is_not_there_is_waited_for_as_long_as_patience_lasts_and_then_named(
    night: Night,
) -> None:
    night.also = {bytes(night.inbox.parent / "usb"): "usb"}
    night.drop("a")
    run = night.begin().go()
    assert list(run.left()) == ["usb"]
    assert "usb" in run.left()["usb"]
    assert PATIENCE <= run.took < PATIENCE + 5.0
    assert list(night.objects()) == ["cam/inbox/a"]


def test_a_folder_that_comes_in_time_is_taken_too(night: Night) -> None:
    usb = night.inbox.parent / "usb"
    night.also = {bytes(usb): "usb"}

    def plug_in(number: int) -> None:
        if number == 20:
            usb.mkdir()
            (usb / "late").write_bytes(b"late")

    run = night.begin().go(meanwhile=plug_in)
    assert run.left() == {}
    assert night.objects() == {"cam/usb/late": b"late"}


def test_files_of_an_absent_folder_that_wait_from_before_are_named(night: Night) -> None:
    usb = night.inbox.parent / "usb"
    usb.mkdir()
    (usb / "waits").write_bytes(b"waits")
    night.also = {bytes(usb): "usb"}
    night.store.mood = lambda _operation, _key: Transient("no route", unreachable=True)
    night.begin(patience=5.0).go()
    (usb / "waits").rename(night.inbox.parent / "elsewhere")
    usb.rmdir()
    night.store.mood = lambda _operation, _key: None
    run = night.begin(patience=5.0).go()
    assert set(run.left()) == {"usb", "waits"}


def test_the_version_that_takes_the_place_of_a_file_is_waited_for(night: Night) -> None:
    path = night.drop("a", b"old")
    fails = [Transient("once", retry_after=3.0)]
    night.store.mood = lambda operation, _key: fails.pop() if operation == "put" and fails else None

    def change(number: int) -> None:
        if number == 2:
            path.write_bytes(b"quite new")
            night.house.clerk.folders[0].scan_soon("it changed")  # type: ignore[union-attr]

    run = night.begin(quiet_s=1.0).go(meanwhile=change)
    assert run.left() == {}
    assert night.objects() == {"cam/inbox/a": b"quite new"}


def test_a_file_that_goes_away_is_not_left_over(night: Night) -> None:
    path = night.drop("a")
    night.store.mood = lambda _operation, _key: Transient("later", retry_after=5.0)

    def remove(number: int) -> None:
        if number == 2:
            path.unlink()
            night.house.clerk.folders[0].scan_soon("it went")  # type: ignore[union-attr]

    run = night.begin(quiet_s=5.0).go(meanwhile=remove, most=30)
    assert run.left() == {}
    assert night.objects() == {}


def test_a_file_changed_behind_equal_size_and_time_is_compared_and_its_new_version_waited_for(
    night: Night,
) -> None:
    path = night.drop("a", b"old")
    night.begin().go()
    before = path.stat()
    path.write_bytes(b"new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    run = night.begin(quiet_s=5.0).go(most=30)
    assert run.left() == {}
    assert night.objects() == {"cam/inbox/a": b"new"}


def test_an_upload_that_was_given_up_is_aborted_before_the_end(night: Night) -> None:
    run = night.begin()
    upload_id = _leave_an_upload(night)
    run.go(most=20)
    assert upload_id not in night.store.uploads
    assert run.left() == {}


def test_an_upload_that_cannot_be_aborted_is_named_when_patience_ends(night: Night) -> None:
    night.store.mood = lambda operation, _key: Transient("no") if operation == "abort" else None
    run = night.begin()
    _leave_an_upload(night)
    run.go()
    assert run.left() == {"orphan": "an upload of it that was given up could not be aborted yet"}
    assert run.took >= PATIENCE


def _leave_an_upload(night: Night) -> str:
    assert night.house is not None
    target = Target(bucket="captures", key="cam/orphan", algorithm="crc64nvme", token="t")  # type: ignore[arg-type]
    upload_id = night.store.create(target)
    night.house.world.ledger.commit([AbortLater(bucket="captures", key="cam/orphan", upload_id=upload_id)])
    return upload_id


def test_a_file_that_is_excluded_by_now_is_not_waited_for(night: Night) -> None:
    night.drop("a.log", b"more than one part")
    night.store.mood = lambda _operation, _key: Transient("no route", unreachable=True)
    assert list(night.begin(patience=5.0).go().left()) == ["a.log"]
    run = night.begin(selection=Selection(exclude=("*.log",))).go(most=5)
    assert run.left() == {}


def test_a_file_of_a_folder_that_is_no_longer_configured_is_not_waited_for(night: Night) -> None:
    old = night.inbox.parent / "old"
    old.mkdir()
    (old / "a").write_bytes(b"more than one part")
    night.also = {bytes(old): "old"}
    night.store.mood = lambda _operation, _key: Transient("no route", unreachable=True)
    assert list(night.begin(patience=5.0).go().left()) == ["a"]
    night.also = {}
    run = night.begin().go(most=5)
    assert run.left() == {}


def test_who_interrupts_it_is_told_what_was_not_done(night: Night) -> None:
    night.drop("a")
    run = night.begin(quiet_s=10.0)
    with pytest.raises(AssertionError, match="does not end"):
        run.go(most=3)
    assert list(run.left()) == ["a"]


def test_who_interrupts_it_before_the_first_scan_is_told_so(night: Night) -> None:
    night.drop("a")
    run = night.begin()
    assert list(run.left()) == ["inbox"]


def test_a_folder_that_was_just_scanned_is_not_called_unscanned(night: Night) -> None:
    night.drop("a")
    run = night.begin(quiet_s=10.0)
    run.house.clerk.tick()
    assert list(run.left()) == ["a"]
