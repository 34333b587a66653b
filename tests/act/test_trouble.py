"""What each kind of trouble does to a transfer: it waits, looks again, begins again or parks, and never drops."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import FakeStore, Kept
from support.house import BUCKET, FixedCredentials, House, build_house, computable

from syncd.act.janitor import abort_due
from syncd.adapters.disk import LocalDisk
from syncd.adapters.s3.outages import LostAnswer
from syncd.adapters.s3.sums import AwsSums, crc_functions
from syncd.errors import (
    ChecksumIgnored,
    Conflict,
    Doubtful,
    Fatal,
    LockedOut,
    NoCredentials,
    ObjectExists,
    PartsRejected,
    Refused,
    SyncdError,
    Transient,
    UploadGone,
)
from syncd.model import AbortLater, Algorithm, Condition, CredentialSet, ProofKind, State, Stored, Target


class Scripted(FakeStore):
    """A store that fails when told: a list of failures per operation; "lost" means the effect takes place first."""

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[str, list[SyncdError | None]] = {}
        self.lost: dict[str, list[SyncdError]] = {}
        self.always: Callable[[str], SyncdError | None] = lambda operation: None

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in {
            "put",
            "create",
            "upload_part",
            "list_parts",
            "complete",
            "abort",
            "head",
            "list_uploads",
        }:
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            general = self.always(name)
            if general is not None:
                raise general
            planned = self.script.get(name) or [None]
            failure = planned.pop(0)
            if failure is not None:
                raise failure
            result = method(*args, **kwargs)
            if self.lost.get(name):
                raise self.lost[name].pop(0)
            return result

        return call


@pytest.fixture
def store() -> Scripted:
    return Scripted()


SMALL, LARGE = b"abc", b"abcdefghijklm"


def assert_arrived_once(store: FakeStore, data: bytes, name: str = "film") -> None:
    assert store.objects[BUCKET, f"cam/inbox/{name}"].data == data
    assert len(store.writes) == 1
    assert not store.uploads


@pytest.mark.parametrize(
    ("operation", "failure"),
    [
        ("create", Transient("503")),
        ("create", Transient("no answer")),
        ("create", LockedOut("403", code="permission")),
        ("upload_part", Transient("reset")),
        ("upload_part", LockedOut("expired", code="credentials")),
        ("upload_part", UploadGone("NoSuchUpload")),
        ("complete", Transient("500")),
        ("complete", Doubtful("empty 200")),
        ("complete", Conflict("409")),
        ("complete", UploadGone("NoSuchUpload")),
        ("complete", PartsRejected("InvalidPart")),
        ("head", Transient("503")),
    ],
)
def test_a_passing_failure_of_any_request_only_costs_time(
    house: House, store: Scripted, root: Path, operation: str, failure: SyncdError
) -> None:
    (root / "film").write_bytes(LARGE)
    store.script[operation] = [failure]
    house.run()
    assert_arrived_once(store, LARGE)
    assert house.row("film").state is State.DONE


@pytest.mark.parametrize(
    "failure", [Doubtful("answer lost"), Transient("timeout"), UploadGone("NoSuchUpload")]
)
def test_a_complete_whose_answer_was_lost_is_not_sent_again(
    house: House, store: Scripted, root: Path, failure: SyncdError
) -> None:
    (root / "film").write_bytes(LARGE)
    store.lost["complete"] = [failure]
    house.run()
    assert_arrived_once(store, LARGE)
    assert len(store.part_bodies) == 3


@pytest.mark.parametrize("failure", [Doubtful("answer lost"), Transient("timeout"), ObjectExists("412")])
def test_a_put_whose_answer_was_lost_is_not_sent_again(
    house: House, store: Scripted, root: Path, failure: SyncdError
) -> None:
    (root / "film").write_bytes(SMALL)
    store.lost["put"] = [failure]
    house.run()
    assert_arrived_once(store, SMALL)


def test_an_upload_aborted_behind_our_back_is_begun_again(house: House, store: Scripted, root: Path) -> None:
    (root / "film").write_bytes(LARGE)
    store.script["upload_part"] = [None, None, Transient("reset")]
    house.run(until=lambda: len(store.part_bodies) >= 2)
    store.uploads.clear()
    house.run()
    assert_arrived_once(store, LARGE)


def test_a_create_whose_answer_was_lost_leaves_no_upload_behind(
    house: House, store: Scripted, root: Path
) -> None:
    (root / "film").write_bytes(LARGE)
    store.lost["create"] = [Transient("timeout")]
    house.run()
    assert_arrived_once(store, LARGE)
    assert house.world.ledger.totals().possible_orphans == 0


def test_without_the_right_to_list_uploads_a_lost_create_is_counted(
    house: House, store: Scripted, root: Path
) -> None:
    store.may_list_uploads = False
    (root / "film").write_bytes(LARGE)
    store.lost["create"] = [Transient("timeout")]
    house.run()
    assert house.world.ledger.totals().possible_orphans == 1
    assert len(store.uploads) == 1


def test_ten_minutes_without_network_park_nothing_and_cost_no_attempt(
    house: House, store: Scripted, root: Path
) -> None:
    for number in range(20):
        (root / f"film {number}").write_bytes(LARGE if number % 2 else SMALL)
    gone = Transient("no route to host", unreachable=True)
    back_at = house.clock.monotonic() + 600.0
    tries: list[str] = []

    def outage(operation: str) -> SyncdError | None:
        tries.append(operation)
        return gone if house.clock.monotonic() < back_at else None

    store.always = outage
    house.run(ticks=3000, until=lambda: house.clock.monotonic() >= back_at)
    assert house.gate.closed() is not None
    assert house.gate.closed().code == "network"
    assert len(tries) < 60, "it does not hammer a dead network"
    rows = [house.row(f"film {number}") for number in range(20)]
    assert all(row.parked_reason is None and row.attempts == 0 for row in rows)
    house.run(ticks=3000)
    assert len(store.writes) == 20
    assert house.gate.closed() is None
    assert house.clock.monotonic() - back_at < 90.0, "it goes on soon after the network is back"


def test_a_locked_out_destination_waits_probes_and_goes_on(house: House, store: Scripted, root: Path) -> None:
    for number in range(5):
        (root / f"film {number}").write_bytes(SMALL)
    denied = LockedOut("AccessDenied", code="permission", hint="allow s3:PutObject")
    store.always = lambda operation: denied
    for _ in range(100):
        house.tick()
    closed = house.gate.closed()
    assert closed is not None
    assert (closed.code, closed.hint) == ("permission", "allow s3:PutObject")
    store.always = lambda operation: None
    house.run()
    assert len(store.writes) == 5
    assert all(house.row(f"film {number}").attempts == 0 for number in range(5))


def test_a_refused_file_is_parked_and_the_others_go_on(house: House, store: Scripted, root: Path) -> None:
    (root / "bad").write_bytes(SMALL)
    (root / "good").write_bytes(SMALL)
    store.script["put"] = [Refused("KeyTooLong", hint="shorten it")]
    house.run()
    parked = [row for row in (house.row("bad"), house.row("good")) if row.parked_reason]
    assert len(parked) == 1
    assert (parked[0].parked_reason, parked[0].hint) == ("KeyTooLong", "shorten it")
    assert len(store.writes) == 1


def stranger(store: FakeStore, data: bytes = b"a stranger's") -> None:
    target = Target(bucket=BUCKET, key="cam/inbox/film", algorithm=Algorithm.NONE, token="other")

    class Raw:
        size = len(data)
        checksum = ""

        def read_at(self, offset: int, size: int) -> memoryview:
            return memoryview(data)[offset : offset + size]

        def sent(self, count: int) -> None:
            pass

    FakeStore.put(store, target, Raw(), Condition())
    store.writes.clear()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["put", "multipart"])
def test_a_strangers_object_is_never_overwritten(
    house: House, store: Scripted, root: Path, data: bytes
) -> None:
    stranger(store)
    (root / "film").write_bytes(data)
    house.run()
    assert store.objects[BUCKET, "cam/inbox/film"].data == b"a stranger's"
    row = house.row("film")
    assert row.parked_reason is not None
    assert "another object is already under its key" in row.parked_reason
    assert "retry" in (row.hint or "")
    assert not store.uploads


def test_a_strangers_object_of_the_same_size_is_no_proof(house: House, store: Scripted, root: Path) -> None:
    stranger(store, SMALL)
    store.lost["put"] = [Doubtful("answer lost")]
    (root / "film").write_bytes(SMALL)
    house.run()
    assert house.row("film").parked_reason is not None


def test_an_unseen_object_in_the_way_locks_out_with_the_permission_that_is_missing(
    house: House, store: Scripted, root: Path
) -> None:
    stranger(store)
    store.head = lambda bucket, key: None  # type: ignore[method-assign] - 403: we may not look
    (root / "film").write_bytes(SMALL)
    for _ in range(20):
        house.tick()
    closed = house.gate.closed()
    assert closed is not None
    assert closed.code == "permission"
    assert "s3:GetObject" in (closed.hint or "")
    assert house.row("film").parked_reason is None


def test_a_changed_file_replaces_its_own_object(house: House, store: Scripted, root: Path) -> None:
    (root / "film").write_bytes(SMALL)
    house.run()
    (root / "film").write_bytes(LARGE)
    house.rescan()
    house.run()
    assert store.objects[BUCKET, "cam/inbox/film"].data == LARGE
    assert len(store.writes) == 2


def test_a_new_version_whose_put_was_lost_on_the_way_there_is_sent_once_more_only(
    house: House, store: Scripted, root: Path
) -> None:
    (root / "film").write_bytes(SMALL)
    house.run()
    (root / "film").write_bytes(b"next")
    store.script["put"] = [Doubtful("answer lost")]
    house.rescan()
    house.run()
    assert store.objects[BUCKET, "cam/inbox/film"].data == b"next"
    assert not [line for line in story(house, "film") if "gone" in line]


def story(house: House, name: str) -> list[str]:
    folder = next(iter(house.world.folders))
    return [line.why for line in house.world.ledger.history(folder, name.encode())]


def test_a_reused_name_after_deletion_is_parked_with_the_hint(
    house: House, store: Scripted, root: Path
) -> None:
    (root / "film").write_bytes(SMALL)
    house.run()
    (root / "film").unlink()
    house.rescan()
    (root / "film").write_bytes(LARGE)
    house.rescan()
    house.run()
    assert store.objects[BUCKET, "cam/inbox/film"].data == SMALL
    assert "{mtime" in (house.row("film").hint or "")


def test_two_files_for_one_key_park_the_second(tmp_path: Path, root: Path, store: Scripted) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, key="{prefix}{name}")
    for folder in ("a", "b"):
        (root / folder).mkdir()
        (root / folder / "film").write_bytes(folder.encode())
    house.run()
    rows = [house.row("a/film"), house.row("b/film")]
    assert [row.parked_reason is not None for row in rows] == [False, True]
    assert store.objects[BUCKET, "cam/film"].data == b"a"
    house.world.ledger.close()


class IgnoresChecksums(Scripted):
    """A store that stores, but answers nothing about the checksum we asked for (Ceph RGW does so)."""

    def put(self, target: Target, body: Any, condition: Condition) -> Stored:
        stored = super().put(target, body, condition)
        if target.algorithm not in {Algorithm.MD5, Algorithm.NONE}:
            raise ChecksumIgnored("no checksum in the answer", etag=stored.etag)
        return stored

    def create(self, target: Target) -> str:
        if target.algorithm not in {Algorithm.MD5, Algorithm.NONE}:
            raise ChecksumIgnored("Create did not answer with our algorithm")
        return super().create(target)


def test_a_store_that_ignores_checksums_gets_md5_and_is_remembered(tmp_path: Path, root: Path) -> None:
    store = IgnoresChecksums()
    house = build_house(root, tmp_path / "state" / "state.db", store)
    (root / "film").write_bytes(SMALL)
    (root / "long film").write_bytes(LARGE)
    house.run()
    for name, data in (("film", SMALL), ("long film", LARGE)):
        assert store.objects[BUCKET, f"cam/inbox/{name}"].data == data
        proof = house.row(name).proof
        assert proof is not None
        assert proof.kind is ProofKind.MD5
    assert not store.uploads
    assert house.world.ledger.checksum_ignored("aws captures")
    house.world.ledger.close()


def test_an_explicit_checksum_that_is_ignored_locks_out_and_never_falls_back(
    tmp_path: Path, root: Path
) -> None:
    store = IgnoresChecksums()
    house = build_house(root, tmp_path / "state" / "state.db", store, checksum=Algorithm.SHA256)
    (root / "film").write_bytes(LARGE)
    for _ in range(30):
        house.tick()
    closed = house.gate.closed()
    assert closed is not None
    assert closed.code == "checksum"
    assert not store.writes
    house.world.ledger.close()


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if computable(each)])
@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "put", "multipart"])
def test_every_checksum_setting_ends_with_its_own_proof(
    tmp_path: Path, root: Path, store: Scripted, algorithm: Algorithm, data: bytes
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, checksum=algorithm)
    (root / "film").write_bytes(data)
    house.run()
    assert_arrived_once(store, data)
    expected = {Algorithm.MD5: ProofKind.MD5, Algorithm.NONE: ProofKind.SIZE}.get(
        algorithm, ProofKind.CHECKSUM
    )
    proof = house.row("film").proof
    assert proof is not None
    assert proof.kind is expected
    house.world.ledger.close()


@pytest.mark.parametrize("algorithm", [Algorithm.CRC32, Algorithm.SHA256, Algorithm.MD5])
@pytest.mark.parametrize("later", ["as it was", "other bytes"])
def test_a_put_in_doubt_that_could_not_be_summed_any_more_is_compared_with_what_the_store_has(
    tmp_path: Path, root: Path, store: Scripted, algorithm: Algorithm, later: str
) -> None:
    """Its proof is the size only; other bytes of that size and date are found out all the same."""
    broken: list[SyncdError] = []

    class Breaks(LocalDisk):
        def open(self, root: bytes, path: bytes) -> Any:
            if broken:
                raise broken.pop()
            return super().open(root, path)

    house = build_house(root, tmp_path / "state" / "state.db", store, checksum=algorithm, disk=Breaks())
    film = root / "film"
    film.write_bytes(SMALL)
    dated = film.stat().st_mtime_ns

    def lost(operation: str) -> SyncdError | None:
        if operation == "put":
            broken.append(Transient("Input/output error"))
        return None

    store.always, store.lost["put"] = lost, [Doubtful("no answer")]
    house.run()
    proof = house.row("film").proof
    assert proof is not None
    assert proof.kind is ProofKind.SIZE
    broken.clear()
    store.always = lambda operation: None
    film.write_bytes(SMALL if later == "as it was" else SMALL.upper())
    os.utime(film, ns=(dated, dated))
    for _ in range(3):
        house.rescan()
        house.run()
    assert store.objects[BUCKET, "cam/inbox/film"].data == film.read_bytes()
    assert len(store.writes) == (1 if later == "as it was" else 2)
    house.world.ledger.close()


def test_a_checksum_that_this_machine_cannot_compute_locks_out_with_the_remedy(
    tmp_path: Path, root: Path, store: Scripted
) -> None:
    poor = AwsSums(crc_functions(None))
    house = build_house(root, tmp_path / "state" / "state.db", store, checksum=Algorithm.CRC64NVME, sums=poor)
    (root / "film").write_bytes(SMALL)
    for _ in range(30):
        house.tick()
    closed = house.gate.closed()
    assert closed is not None
    assert closed.code == "checksum"
    assert closed.hint
    assert not store.writes
    house.world.ledger.close()


def test_bytes_sent_in_vain_are_counted_apart(house: House, store: Scripted, root: Path) -> None:
    (root / "film").write_bytes(LARGE)
    store.lost["upload_part"] = [Transient("reset after the body")]
    house.run()
    row, totals = house.row("film"), house.world.ledger.totals()
    assert (row.sent_bytes, row.resent_bytes) == (len(LARGE), 5)
    assert (totals.sent_bytes, totals.resent_bytes) == (len(LARGE), 5)


def test_a_part_larger_than_its_buffer_is_streamed_and_proven(
    tmp_path: Path, root: Path, store: Scripted
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, part_size=50, threshold=60, buffer=8)
    data = bytes(range(256))
    (root / "film").write_bytes(data)
    house.run()
    assert_arrived_once(store, data)
    house.world.ledger.close()


def test_a_file_that_goes_while_its_put_is_in_doubt_comes_to_an_end(house: House, store: FakeStore) -> None:
    """Found by a seeded schedule: it went to and fro between planned and completing, for ever."""
    root = Path(house.clerk.folders[0].policy.path.decode())
    put = store.put

    def lost(*_: object) -> Stored:
        (root / "film").unlink()
        raise Doubtful("no answer")

    store.put = lost  # type: ignore[method-assign,assignment]
    (root / "film").write_bytes(b"12345")
    house.run(until=lambda: bool(house.states()) and house.row("film").attempts > 0)
    store.put = put  # type: ignore[method-assign]
    house.rescan()
    house.run()
    assert store.objects == {}
    assert house.states() == {}


@pytest.mark.parametrize("may_list", [True, False], ids=["may list uploads", "may not list uploads"])
@pytest.mark.parametrize("ending", ["deleted", "replaced"])
def test_a_file_that_ends_while_its_create_is_in_doubt_leaves_no_upload_that_nobody_knows_of(
    house: House, store: FakeStore, may_list: bool, ending: str
) -> None:
    """Found by seeded schedules."""
    root = Path(house.clerk.folders[0].policy.path.decode())
    store.may_list_uploads = may_list
    create, film = store.create, root / "film"

    def lost(target: Target) -> str:
        create(target)
        film.unlink()
        if ending == "replaced":
            film.write_bytes(b"a later and longer version")
        raise LostAnswer("no answer")

    store.create = lost  # type: ignore[method-assign]
    film.write_bytes(b"abcdefghijklm")
    house.run(until=lambda: len(store.uploads) == 1)
    store.create = create  # type: ignore[method-assign]
    house.rescan()
    house.run()
    open_now = len(store.uploads)
    assert open_now == (0 if may_list else 1)
    assert house.world.ledger.totals().possible_orphans == open_now
    assert len(store.objects) == (ending == "replaced")


@pytest.mark.parametrize("may_list", [True, False], ids=["may list uploads", "may not list uploads"])
def test_a_parked_file_does_not_keep_an_upload_in_doubt_under_its_key_from_being_looked_for(
    house: House, store: FakeStore, may_list: bool
) -> None:
    root = Path(house.clerk.folders[0].policy.path.decode())
    store.may_list_uploads = may_list
    create, film = store.create, root / "film"

    def lost(target: Target) -> str:
        create(target)
        film.unlink()
        film.write_bytes(b"a later and longer version")
        raise LostAnswer("no answer")

    def busy(bucket: str, key: str) -> None:
        store.list_uploads = list_uploads  # type: ignore[method-assign]
        raise Transient("503")

    list_uploads = store.list_uploads
    store.list_uploads = busy  # type: ignore[method-assign,assignment]
    store.create = lost  # type: ignore[method-assign]
    film.write_bytes(b"abcdefghijklm")
    house.run(until=lambda: len(store.uploads) == 1)
    store.create = create  # type: ignore[method-assign]
    store.objects[BUCKET, "cam/inbox/film"] = Kept(b"theirs", '"f00"', {}, Algorithm.NONE, "")
    house.rescan()
    house.run(ticks=2000)
    assert house.row("film").parked_reason is not None
    left = len(store.uploads)
    assert (left, house.world.ledger.totals().possible_orphans) == ((0, 0) if may_list else (1, 1))


class Awaited(FixedCredentials):
    """None, until they have come."""

    come = False

    def current(self) -> CredentialSet:
        if not self.come:
            raise NoCredentials("no credentials yet", hint="they are being fetched")
        return super().current()


def test_what_only_waited_for_credentials_is_open_as_soon_as_they_come(
    tmp_path: Path, root: Path, store: Scripted
) -> None:
    credentials = Awaited()
    house = build_house(root, tmp_path / "state" / "state.db", store, credentials=credentials, overwrite=True)
    (root / "film").write_bytes(SMALL)
    store.always = lambda operation: credentials.current() and None
    for _ in range(5):
        house.tick()
    assert house.gate.closed() is not None
    credentials.come = True
    house.gate.credentials_came()
    assert house.gate.closed() is None
    house.run()
    assert_arrived_once(store, SMALL)
    house.world.ledger.close()


def test_what_the_destination_refused_is_asked_again_at_once_when_credentials_come_and_told_until_then(
    house: House, root: Path, store: Scripted
) -> None:
    store.always = lambda operation: LockedOut("InvalidAccessKeyId", code="credentials")
    (root / "film").write_bytes(SMALL)
    for _ in range(5):
        house.tick()
    house.gate.credentials_came()
    assert house.gate.closed() is not None
    assert house.gate.seconds_to_probe() == 0.0
    store.always = lambda operation: None
    house.run()
    assert_arrived_once(store, SMALL)


def test_what_is_fatal_comes_out_of_the_round_and_is_no_files_fault(
    house: House, root: Path, store: Scripted
) -> None:
    store.script["put"] = [Fatal("the process cannot go on")]
    (root / "film").write_bytes(SMALL)
    with pytest.raises(Fatal, match="cannot go on"):
        house.run()
    assert house.row("film").parked_reason is None
    assert house.row("film").attempts == 0


def test_an_abort_that_a_stop_breaks_off_is_not_put_off(house: House, root: Path, store: Scripted) -> None:
    upload_id = store.create(
        Target(bucket=BUCKET, key="cam/inbox/gone", algorithm=Algorithm.CRC32, token="t")
    )
    house.world.ledger.commit([AbortLater(bucket=BUCKET, key="cam/inbox/gone", upload_id=upload_id)])

    def stops(operation: str) -> SyncdError | None:
        house.world.stop.set()
        return Transient("the line was closed")

    store.always = stops
    abort_due(house.world)
    store.always = lambda operation: None
    house.world.stop.clear()
    assert abort_due(house.world) == 1
    assert not store.uploads
