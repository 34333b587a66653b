"""What a hostile reader of the code found: reused inodes, swapped cards, lost answers, races, floods. Each was a defect once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, House, build_house

from syncd.adapters.disk import LocalDisk
from syncd.decide.select import Selection
from syncd.errors import Conflict, LedgerFull, LockedOut, SyncdError, Transient
from syncd.model import Blind, Entry, Fingerprint, RootIdentity, State

SMALL, LARGE = b"abc", b"abcdefghijklm"
CALLS = {"put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"}


class Troubled(FakeStore):
    """Asks before and after each call whether it fails: `before(operation, arguments)`."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[str, Any], SyncdError | None] = lambda operation, arguments: None
        self.after: Callable[[str, Any], SyncdError | None] = lambda operation, arguments: None

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in CALLS:
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            for ask, act in (
                (self.before, lambda: None),
                (self.after, lambda: method(*arguments, **options)),
            ):
                result = act()
                failure = ask(name, arguments)
                if failure is not None:
                    raise failure
            return result

        return call


class Relabelled(LocalDisk):
    """A disk whose inodes, devices and file systems are what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.relabel: Callable[[bytes, Fingerprint], Fingerprint] = lambda path, seen: seen
        self.identity: Callable[[RootIdentity], RootIdentity] = lambda seen: seen

    def root(self, root: bytes) -> RootIdentity:
        return self.identity(super().root(root))

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        seen = super().look(root, path)
        return None if seen is None else self.relabel(path, seen)

    def scan(self, root: bytes, **options: Any) -> Iterator[Entry | Blind]:
        for item in super().scan(root, **options):
            yield (
                Entry(item.path, self.relabel(item.path, item.fingerprint))
                if isinstance(item, Entry)
                else item
            )


@pytest.fixture
def store() -> Troubled:
    return Troubled()


@pytest.fixture
def disk() -> Relabelled:
    return Relabelled()


@pytest.fixture
def house(tmp_path: Path, root: Path, store: Troubled, disk: Relabelled) -> Iterator[House]:
    made = build_house(root, tmp_path / "state" / "state.db", store, disk=disk)
    yield made
    made.world.ledger.close()


def pass_time(house: House, seconds: float) -> None:
    end = house.clock.monotonic() + seconds
    while house.clock.monotonic() < end:
        house.tick()


def kept(store: FakeStore, name: str) -> bytes:
    return store.objects[BUCKET, f"cam/inbox/{name}"].data


# -- inodes and devices


def take_its_place(root: Path, disk: Relabelled, old: str, new: str, data: bytes) -> None:
    """The old file is deleted; a new one, elsewhere, gets its inode and has its size and time (tar, cp -p, rsync -t)."""
    former = LocalDisk().look(os.fsencode(root), old.encode())
    assert former is not None
    assert len(data) == former.size
    (root / old).unlink()
    (root / new).write_bytes(data)
    os.utime(root / new, ns=(former.mtime_ns, former.mtime_ns))
    disk.relabel = lambda path, seen: replace(seen, inode=former.inode) if path == new.encode() else seen


def test_a_new_file_with_the_inode_size_and_time_of_one_that_was_sent_is_sent_too(
    house: House, root: Path, store: Troubled, disk: Relabelled
) -> None:
    (root / "old").write_bytes(SMALL)
    house.run()
    take_its_place(root, disk, "old", "new", b"xyz")
    for _ in range(3):
        house.rescan()
        house.run()
    assert b"xyz" in [each.data for each in store.objects.values()]


def test_an_open_upload_never_mixes_two_files_that_had_one_inode(
    house: House, root: Path, store: Troubled, disk: Relabelled
) -> None:
    (root / "old").write_bytes(LARGE)
    store.before = lambda operation, arguments: (
        Transient("503") if operation == "upload_part" and arguments[2] == 3 else None
    )
    house.run(until=lambda: len(store.part_bodies) >= 2)
    take_its_place(root, disk, "old", "new", LARGE.upper())
    house.rescan()
    store.before = lambda operation, arguments: None
    for _ in range(3):
        house.rescan()
        house.run()
    assert {each.data for each in store.objects.values()} == {LARGE.upper()}


def test_a_rename_after_the_device_number_changed_sends_nothing(
    house: House, root: Path, store: Troubled, disk: Relabelled
) -> None:
    (root / "film").write_bytes(LARGE)
    house.run()
    disk.relabel = lambda path, seen: replace(seen, dev=seen.dev + 7)
    house.rescan()
    (root / "film").rename(root / "renamed")
    for _ in range(2):
        house.rescan()
        house.run()
    assert len(store.writes) == 1
    assert house.states() == {b"renamed": State.DONE}


def test_another_card_in_the_slot_overwrites_nothing_of_the_first(
    house: House, root: Path, store: Troubled, disk: Relabelled
) -> None:
    """The root of every ext4 has inode 2: only the file system tells two cards apart."""
    (root / "IMG_0001").write_bytes(b"card A")
    (root / "IMG_0002").write_bytes(b"card A too")
    house.run()
    root.rename(root.parent / "card A")
    root.mkdir()
    (root / "IMG_0001").write_bytes(b"card B, longer")
    former = LocalDisk().root(os.fsencode(root.parent / "card A"))
    disk.identity = lambda seen: RootIdentity(seen.dev + 1, former.inode, 4711)
    pass_time(house, 700.0)
    assert kept(store, "IMG_0001") == b"card A"
    assert "{mtime" in (house.row("IMG_0001").hint or "")


@pytest.mark.parametrize("told_by", ["scan", "event"])
def test_another_card_that_came_since_the_root_was_looked_at_overwrites_nothing_either(
    house: House, root: Path, store: Troubled, disk: Relabelled, told_by: str
) -> None:
    """The root is looked at every few seconds; a scan or an event in between meets names, and inodes, of the first card."""
    (root / "IMG_0001").write_bytes(b"card A")
    house.run()
    former = LocalDisk().look(os.fsencode(root), b"IMG_0001")
    assert former is not None
    just_looked_at(house)
    (root / "IMG_0001").write_bytes(b"card B, longer")
    disk.relabel = lambda path, seen: replace(seen, inode=former.inode)
    disk.identity = lambda seen: RootIdentity(seen.dev + 1, seen.inode, 4711)
    meet(house, root, "IMG_0001", told_by)
    pass_time(house, 700.0)
    assert kept(store, "IMG_0001") == b"card A"


@pytest.mark.parametrize("told_by", ["scan", "event"])
def test_the_first_card_is_known_at_once_when_it_is_back_with_a_new_version(
    house: House, root: Path, store: Troubled, told_by: str
) -> None:
    (root / "film").write_bytes(SMALL)
    (root / "other").write_bytes(SMALL)
    house.run()
    away = root.parent / "away"
    root.rename(away)
    root.mkdir()
    pass_time(house, 20.0)
    just_looked_at(house)
    (away / "film").write_bytes(b"cut")
    root.rmdir()
    away.rename(root)
    meet(house, root, "film", told_by)
    pass_time(house, 60.0)
    assert house.row("film").parked_reason is None
    assert kept(store, "film") == b"cut"


def just_looked_at(house: House) -> None:
    """The clerk looks at its roots again in some seconds only."""
    house.clerk._tend_at = house.clock.monotonic() + 5.0


def meet(house: House, root: Path, name: str, told_by: str) -> None:
    """A scan that is due now, or an event, before the next look at the root."""
    if told_by == "scan":
        house.clerk.folders[0].scan_now()
    else:
        house.mailbox.path(os.fsencode(root), name.encode())
    house.tick()


@pytest.mark.torture
def test_rotation_in_a_directory_of_many_batches_sends_only_what_is_new(
    house: House, root: Path, store: Troubled
) -> None:
    (root / "a").write_bytes(b"the log")
    for number in range(600):  # more than one batch
        (root / f"m{number:04}").write_bytes(b"")
    house.run(ticks=2000)
    writes = len(store.writes)
    (root / "a").rename(root / "z")
    (root / "a").write_bytes(b"the next log")
    for _ in range(2):
        house.rescan()
        house.run(ticks=2000, until=lambda: house.clerk.reading_again() == 0)
    pass_time(house, 30.0)
    assert len(store.writes) == writes
    assert kept(store, "a") == b"the log"
    assert house.row("z").state is State.DONE


def test_a_parked_file_that_is_renamed_as_its_hint_says_goes(
    tmp_path: Path, root: Path, store: Troubled
) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", store, key="{prefix}{name}")
    for folder in ("a", "b"):
        (root / folder).mkdir()
        (root / folder / "film").write_bytes(folder.encode())
    house.run()
    assert house.row("b/film").parked_reason is not None
    (root / "b" / "film").rename(root / "b" / "other film")
    house.rescan()
    house.run()
    assert house.row("b/other film").state is State.DONE
    house.world.ledger.close()


# -- lost answers


def test_an_object_whose_answer_was_lost_is_not_overwritten_after_its_file_went(
    house: House, root: Path, store: Troubled
) -> None:
    (root / "film").write_bytes(SMALL)
    store.after = lambda operation, arguments: (
        Transient("no answer in time", unreachable=True) if operation == "put" else None
    )
    house.run(until=lambda: bool(store.writes))
    store.before = lambda operation, arguments: Transient("down", unreachable=True)
    (root / "film").unlink()
    house.rescan()
    pass_time(house, 60.0)
    store.before = store.after = lambda operation, arguments: None
    pass_time(house, 120.0)
    assert house.row("film").state is State.DONE
    (root / "film").write_bytes(b"another")
    house.rescan()
    pass_time(house, 120.0)
    assert kept(store, "film") == SMALL


def test_a_new_version_whose_earlier_object_was_deleted_at_the_store_arrives(
    house: House, root: Path, store: Troubled
) -> None:
    (root / "film").write_bytes(LARGE)
    house.run()
    store.objects.clear()
    (root / "film").write_bytes(LARGE * 2)
    house.rescan()
    house.run()
    assert kept(store, "film") == LARGE * 2


def test_a_create_that_timed_out_after_its_effect_is_cleared_up(
    house: House, root: Path, store: Troubled
) -> None:
    lost = Transient("timed out", unreachable=True)
    lost.lost = True
    answers = [lost]
    store.after = lambda operation, arguments: answers.pop() if operation == "create" and answers else None
    (root / "film").write_bytes(LARGE)
    house.run()
    assert not store.uploads
    assert kept(store, "film") == LARGE


@pytest.mark.parametrize(
    "trouble", [LockedOut("403", code="permission"), Transient("down", unreachable=True)]
)
def test_trouble_while_clearing_up_after_a_lost_create_forgets_no_orphan(
    house: House, root: Path, store: Troubled, trouble: SyncdError
) -> None:
    failures: dict[str, list[SyncdError]] = {"create": [Transient("timed out")], "list_uploads": [trouble]}

    def lose(operation: str, arguments: Any) -> SyncdError | None:
        return failures[operation].pop() if failures.get(operation) else None

    store.after = lose
    (root / "film").write_bytes(LARGE)
    house.run()
    assert not store.uploads


# -- the daemon goes on


def test_a_worker_that_ends_while_the_clerk_compares_does_not_end_the_daemon(
    house: House, root: Path, store: Troubled
) -> None:
    (root / "film").write_bytes(LARGE)
    store.before = lambda operation, arguments: Transient("503") if operation == "complete" else None
    house.run(until=lambda: len(store.part_bodies) == 3)
    row = house.row("film")
    store.before = lambda operation, arguments: None
    desk = house.clerk.folders[0]
    (root / "film").write_bytes(LARGE * 2)
    original = desk._discoverer._matcher.match

    def finish_first(*arguments: Any) -> Any:
        changes = original(*arguments)
        house.world.ledger.commit(changes)  # as if a worker had been at the row first
        return changes

    desk._discoverer._matcher.match = finish_first  # type: ignore[method-assign]
    desk.scan_soon("test")
    pass_time(house, 10.0)
    desk._discoverer._matcher.match = original  # type: ignore[method-assign]
    house.run()
    assert kept(store, "film") == LARGE * 2
    assert house.row("film").id != row.id


class FillsUp:
    """A ledger whose disk is full while a test says so."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.full = False

    def __getattr__(self, name: str) -> Any:
        if self.full and name in {"commit", "record_part", "accept_root", "abort_failed"}:
            raise LedgerFull("the ledger failed: database or disk is full", hint="free space")
        return getattr(self._ledger, name)


def filling_up(ledgers: list[FillsUp]) -> Callable[[Any], Any]:
    """Wraps the ledger alone, and hands it out by the list."""

    def wrap(port: Any) -> Any:
        if not hasattr(port, "record_part"):
            return port
        ledgers.append(FillsUp(port))
        return ledgers[0]

    return wrap


@pytest.mark.parametrize("moment", range(6))
def test_a_full_ledger_disk_is_waited_out_at_any_moment(
    tmp_path: Path, root: Path, store: Troubled, moment: int
) -> None:
    ledgers: list[FillsUp] = []
    house = build_house(root, tmp_path / "state" / "state.db", store, wrap=filling_up(ledgers), quiet_s=1.0)
    for number in range(3):
        (root / f"film {number}").write_bytes(LARGE)
    for _ in range(moment):
        house.tick()
    ledgers[0].full = True
    requests: list[str] = []
    store.before = lambda operation, arguments: requests.append(operation)
    pass_time(house, 60.0)
    assert len(requests) < 200, "what cannot be recorded is done again and again"
    ledgers[0].full = False
    house.run()
    assert sorted(key for key, _ in store.writes) == [f"cam/inbox/film {number}" for number in range(3)]
    assert not store.uploads
    house.world.ledger.close()


def test_a_ledger_disk_that_fills_up_during_a_comparison_ends_no_comparison_to_come(
    tmp_path: Path, root: Path, store: Troubled
) -> None:
    ledgers: list[FillsUp] = []
    house = build_house(root, tmp_path / "state" / "state.db", store, wrap=filling_up(ledgers), rescan_s=30.0)
    for name in ("film", "other"):
        (root / name).write_bytes(SMALL)
    house.run()
    (root / "film").chmod(0o600)
    house.clerk._read_again = {house.row("film").id: None}
    ledgers[0].full = True
    house.tick()
    ledgers[0].full = False
    (root / "other").write_bytes(SMALL.upper())
    pass_time(house, 120.0)
    assert kept(store, "other") == SMALL.upper()
    assert house.clerk.reading_again() == 0
    house.world.ledger.close()


def test_one_key_that_is_denied_does_not_stop_the_others(house: House, root: Path, store: Troubled) -> None:
    """Alone it locks the destination; files that come later must be probes too."""
    (root / "bad").write_bytes(SMALL)
    store.before = lambda operation, arguments: (
        LockedOut("403", code="permission")
        if operation == "put" and arguments[0].key.endswith("bad")
        else None
    )
    pass_time(house, 30.0)
    assert house.gate.closed() is not None
    for number in range(3):
        (root / f"good {number}").write_bytes(SMALL)
    house.rescan()
    pass_time(house, 300.0)
    assert len(store.writes) == 3
    assert house.row("bad").parked_reason is None


def test_the_gate_opens_when_nothing_is_left_that_could_probe(
    house: House, root: Path, store: Troubled
) -> None:
    (root / "film").write_bytes(LARGE)
    store.before = lambda operation, arguments: Transient("down", unreachable=True)
    house.run(until=lambda: house.gate.closed() is not None)
    (root / "film").unlink()
    house.rescan()
    pass_time(house, 120.0)
    assert house.row("film").state is State.VANISHED
    assert house.gate.closed() is None


def test_the_first_body_that_passes_opens_the_gate(house: House, root: Path, store: Troubled) -> None:
    (root / "film").write_bytes(b"x" * 100)
    store.before = lambda operation, arguments: Transient("down", unreachable=True)
    house.run(until=lambda: house.gate.closed() is not None)
    store.before = lambda operation, arguments: None
    gates: list[bool] = []
    store.after_part = lambda number: gates.append(house.gate.closed() is None)
    house.run()
    assert gates[0] is False
    assert all(gates[1:])


# -- floods


def test_a_growing_file_is_looked_at_no_more_often_after_many_scans(tmp_path: Path, root: Path) -> None:
    house = build_house(root, tmp_path / "state" / "state.db", FakeStore(), quiet_s=10.0)
    film = root / "film"
    for number in range(40):
        film.write_bytes(b"x" * number)
        house.rescan()
    assert len(house.clerk.looks._due) <= 41
    pass_time(house, 30.0)
    assert len(house.clerk.looks._due) <= 2
    house.world.ledger.close()


def test_a_folder_that_is_away_costs_no_write(tmp_path: Path, root: Path, store: Troubled) -> None:
    state = tmp_path / "state" / "state.db"
    house = build_house(root, state, store)
    house.world.stop.set()
    for number in range(30):
        (root / f"film {number}").write_bytes(SMALL)
    for _ in range(10):
        house.clerk.tick()
    root.rename(tmp_path / "away")
    house.world.stop.clear()
    pass_time(house, 10.0)
    before = house.world.ledger._connection.total_changes  # type: ignore[attr-defined]
    pass_time(house, 600.0)
    assert house.world.ledger._connection.total_changes == before  # type: ignore[attr-defined]
    (tmp_path / "away").rename(root)
    pass_time(house, 30.0)
    assert len(store.writes) == 30
    house.world.ledger.close()


@pytest.mark.parametrize("ending", ["changed", "vanished"])
def test_an_open_upload_of_a_file_that_is_excluded_now_ends_without_a_flood(
    tmp_path: Path, root: Path, store: Troubled, ending: str
) -> None:
    state = tmp_path / "state" / "state.db"
    first = build_house(root, state, store)
    (root / "film").write_bytes(LARGE)
    store.before = lambda operation, arguments: Transient("503") if operation == "complete" else None
    first.run(until=lambda: first.row("film").attempts > 0)
    first.world.ledger.commit([])
    first.world.ledger.close()
    store.before = lambda operation, arguments: Transient("503") if operation == "list_parts" else None
    second = build_house(root, state, store, selection=Selection(exclude=("film",)))
    pass_time(second, 10.0)
    (root / "film").unlink()
    if ending == "changed":
        (root / "film").write_bytes(LARGE * 2)
    store.before = lambda operation, arguments: None
    pass_time(second, 3600.0)
    lines = Counter(line.why for line in second.world.ledger.history(str(root).encode(), b"film", 5000))
    assert sum(lines.values()) < 40
    assert not store.uploads
    second.world.ledger.close()


def test_conflicts_without_end_send_a_file_at_most_once_in_a_few_minutes(
    house: House, root: Path, store: Troubled
) -> None:
    (root / "film").write_bytes(LARGE)
    store.before = lambda operation, arguments: Conflict("409") if operation == "complete" else None
    pass_time(house, 3600.0)
    assert len(store.part_bodies) <= 3 * 40
