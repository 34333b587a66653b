"""Moves, parts and batches: all or nothing, compare-and-set, one live transfer per path and per key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import START, FakeClock
from support.scribe import FOLDER, PROOF, Scribe, fingerprint

from syncd.adapters.ledger import SqliteLedger
from syncd.adapters.ledger.rows import EARLIEST_NS, unwrapped, wrapped
from syncd.errors import LedgerFailure, Refused, RowMoved
from syncd.model import (
    Aborted,
    AbortLater,
    Algorithm,
    Amend,
    Change,
    Columns,
    Condition,
    CountSent,
    Discover,
    Fingerprint,
    ForgetParts,
    HistoryEntry,
    Move,
    Part,
    RootIdentity,
    State,
    SuspectOrphan,
    Totals,
    Transfer,
)

Raw = Callable[..., list[Any]]
UPLOAD = AbortLater(bucket="captures", key="a", upload_id="u1")


def part(number: int, etag: str = '"e"', checksum: str | None = "sum") -> Part:
    return Part(number=number, size=10, etag=etag, checksum=checksum)


def settled(identity: int, why: str = "unchanged for 10 s") -> Move:
    return Move(id=identity, was=State.DISCOVERED, to=State.SETTLED, why=why)


def vanished(identity: int, was: State = State.DISCOVERED) -> Move:
    return Move(id=identity, was=was, to=State.VANISHED, why="it is gone")


def found(ledger: SqliteLedger, identity: int) -> Transfer:
    row = ledger.get(identity)
    assert row is not None
    return row


# -- rows and nouns


def test_a_new_row_is_the_file_and_nothing_else(ledger: SqliteLedger, scribe: Scribe) -> None:
    identity = scribe.discover(b"a/b.mp4", inode=7)
    assert found(ledger, identity) == Transfer(
        id=identity,
        folder=FOLDER,
        path=b"a/b.mp4",
        fingerprint=fingerprint(inode=7),
        state=State.DISCOVERED,
        discovered_at=START,
    )


def test_everything_that_can_be_set_reads_back_equal(ledger: SqliteLedger, scribe: Scribe) -> None:
    identity = scribe.bring(b"a", State.DONE)
    sets = Columns(
        path=b"\xff/\x00new",
        fingerprint=fingerprint(inode=99, ctime_ns=100),
        not_before=5.5,
        parked_reason="a person must look",
        hint="look",
        attempts=3,
        bucket="other",
        key="other/key",
        part_size=None,
        algorithm=Algorithm.SHA256,
        token="t2",
        condition=Condition(if_match='"old"'),
        upload_id=None,
        started_at=1.5,
        finished_at=2.5,
        etag='"new"',
        checksum="abc=",
        proof=PROOF,
        gone_at=9.5,
        strikes=2,
    )
    ledger.commit([Amend(id=identity, was=State.DONE, sets=sets)])
    row = found(ledger, identity)
    assert set(sets) == set(Columns.__annotations__)
    assert {name: getattr(row, name) for name in sets} == sets


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"caf\xc3\xa9", b"cafe\xcc\x81", b"new\nline", b"'; --", b"\x00"]
)
def test_names_are_bytes(ledger: SqliteLedger, scribe: Scribe, name: bytes) -> None:
    identity = scribe.discover(name, folder=b"/srv/\xfffolder")
    row = ledger.at(b"/srv/\xfffolder", name)
    assert row == ledger.get(identity)
    assert row is not None
    assert (row.folder, row.path) == (b"/srv/\xfffolder", name)
    assert ledger.at(b"/srv/\xfffolder", name + b"\xff") is None


EXTREMES = [
    fingerprint(inode=2**63),
    fingerprint(inode=2**64 - 1, dev=2**64 - 1),
    fingerprint(inode=2**63 - 1, dev=2**63),
    fingerprint(mtime_ns=-1, ctime_ns=-(2**31) * 10**9),
    fingerprint(mtime_ns=2**63, ctime_ns=(2**34 - 2**31) * 10**9),  # 2262, and 2446 where ext4 ends
    fingerprint(size=2**63 - 1),
]


@pytest.mark.parametrize("seen", EXTREMES, ids=str)
def test_a_fingerprint_reads_back_equal_and_is_found_again(ledger: SqliteLedger, seen: Fingerprint) -> None:
    new = Discover(folder=FOLDER, path=b"a", fingerprint=seen, why="x")
    (identity,) = ledger.commit([new])
    assert found(ledger, identity).fingerprint == seen
    assert [row.id for row in ledger.like(seen)] == [identity]
    ledger.accept_root(FOLDER, RootIdentity(seen.dev, seen.inode))
    assert ledger.root_identity(FOLDER) == RootIdentity(seen.dev, seen.inode)


@given(st.integers(0, 2**64 - 1), st.integers(EARLIEST_NS, EARLIEST_NS + 2**64 - 1))
def test_every_number_of_the_system_survives_sqlite(number: int, date: int) -> None:
    assert -(2**63) <= wrapped(number) < 2**63
    assert -(2**63) <= wrapped(date) < 2**63
    assert (unwrapped(wrapped(number)), unwrapped(wrapped(date), EARLIEST_NS)) == (number, date)


def test_a_date_that_no_file_system_has_does_not_stop_the_others(ledger: SqliteLedger) -> None:
    dates = [-(10**30), 10**30, 4]
    news = [
        Discover(folder=FOLDER, path=b"%d" % n, fingerprint=fingerprint(mtime_ns=date), why="x")
        for n, date in enumerate(dates)
    ]
    assert len(ledger.commit(news)) == 3


# -- compare and set


@pytest.mark.parametrize(
    "change",
    [
        Move(id=1, was=State.SETTLED, to=State.DISCOVERED, why="x"),
        Amend(id=1, was=State.SETTLED, sets=Columns(attempts=1)),
        settled(99),
        Amend(id=99, was=State.DISCOVERED, sets=Columns(attempts=1), why="x"),
    ],
    ids=["move", "amend", "move of no row", "amendment of no row"],
)
def test_a_row_that_moved_takes_the_whole_commit_back(
    ledger: SqliteLedger, scribe: Scribe, change: Change, raw: Raw
) -> None:
    first = scribe.discover(b"a")
    before = [raw(f"SELECT * FROM {table}") for table in ("transfer", "history", "abort_queue", "totals")]
    news: list[Change] = [
        Discover(folder=FOLDER, path=b"b", fingerprint=fingerprint(), why="x"),
        UPLOAD,
        SuspectOrphan(),
        CountSent(id=first, sent=5),
    ]
    with pytest.raises(RowMoved):
        ledger.commit([*news, change])
    assert before == [
        raw(f"SELECT * FROM {table}") for table in ("transfer", "history", "abort_queue", "totals")
    ]
    assert len(ledger.commit(news)) == 1  # the ledger is usable, and the batch was not at fault


def test_of_two_that_move_the_same_row_one_wins(ledger: SqliteLedger, scribe: Scribe) -> None:
    identity = scribe.discover(b"a")
    ledger.commit([settled(identity)])
    with pytest.raises(RowMoved, match="no longer discovered"):
        ledger.commit([settled(identity)])


def test_a_batch_tells_the_new_ids_in_order(ledger: SqliteLedger, scribe: Scribe) -> None:
    old = scribe.discover(b"old")
    news = [Discover(folder=FOLDER, path=b"%d" % n, fingerprint=fingerprint(), why="x") for n in range(50)]
    made = ledger.commit([news[0], settled(old), *news[1:]])
    assert [found(ledger, identity).path for identity in made] == [new.path for new in news]
    assert ledger.states_of([old, *made]) == {old: State.SETTLED} | dict.fromkeys(made, State.DISCOVERED)
    assert ledger.last_id() == max(made)


def test_an_empty_commit_is_fine(ledger: SqliteLedger) -> None:
    assert ledger.commit([]) == []
    assert (ledger.last_id(), ledger.get(1), ledger.states_of([])) == (0, None, {})


# -- one live transfer per path and per key


def test_a_path_has_one_live_row_until_that_ends(ledger: SqliteLedger, scribe: Scribe) -> None:
    first = scribe.discover(b"a")
    with pytest.raises(LedgerFailure, match="UNIQUE"):
        scribe.discover(b"a")
    new = Discover(folder=FOLDER, path=b"a", fingerprint=fingerprint(size=9), why="a new version")
    gone = Move(id=first, was=State.DISCOVERED, to=State.SUPERSEDED, why="a new version")
    (second,) = ledger.commit([gone, new])
    at = ledger.at(FOLDER, b"a")
    assert at is not None
    assert at.id == second
    assert scribe.discover(b"a", folder=b"/other")


def test_the_row_at_a_path_is_the_one_that_stands_for_it_else_the_last(
    ledger: SqliteLedger, scribe: Scribe
) -> None:
    first = scribe.discover(b"a")
    ledger.commit([vanished(first)])
    second = scribe.discover(b"b")
    ledger.commit([vanished(second)])
    assert [row and row.id for row in (ledger.at(FOLDER, b"a"), ledger.at(FOLDER, b"c"))] == [first, None]
    ledger.commit([Amend(id=second, was=State.VANISHED, sets=Columns(path=b"a"))])
    assert [row and row.id for row in (ledger.at(FOLDER, b"a"), ledger.at(FOLDER, b"b"))] == [second, None]
    third = scribe.discover(b"c")
    fourth = scribe.discover(b"d")
    ledger.commit([vanished(fourth), Amend(id=fourth, was=State.VANISHED, sets=Columns(path=b"c"))])
    at = ledger.at(FOLDER, b"c")
    assert at is not None
    assert at.id == third


@pytest.mark.parametrize(
    "state", [State.PLANNED, State.CREATING, State.UPLOADING, State.COMPLETING, State.VERIFIED]
)
def test_a_key_on_its_way_is_refused_to_others_and_its_file_named(
    ledger: SqliteLedger, scribe: Scribe, state: State
) -> None:
    scribe.bring(b"first\xff.mp4", state, key="same")
    other = scribe.bring(b"second.mp4", State.SETTLED)
    with pytest.raises(Refused, match=r"same.*/srv/capture/first\\xff\.mp4") as refused:
        scribe.move(other, State.SETTLED, State.PLANNED, **Scribe._sets(State.PLANNED, "same", other))
    assert "syncd retry" in (refused.value.hint or "")
    assert found(ledger, other).state is State.SETTLED


def test_a_key_is_free_again_when_its_transfer_has_ended(ledger: SqliteLedger, scribe: Scribe) -> None:
    first = scribe.bring(b"first", State.DONE, key="same")
    second = scribe.bring(b"second", State.DONE, key="same")
    third = scribe.bring(b"third", State.UPLOADING, key="same")
    holder = ledger.key_holder("captures", "same")
    assert holder is not None
    assert holder.id == second  # the third has proven nothing yet
    assert first < second < third
    assert ledger.key_holder("captures", "other") is None
    assert ledger.key_holder("elsewhere", "same") is None


def test_an_object_is_traced_by_its_token(ledger: SqliteLedger, scribe: Scribe) -> None:
    identity = scribe.bring(b"a", State.UPLOADING)
    row = ledger.by_token(f"token-{identity}")
    assert row is not None
    assert row.id == identity
    assert ledger.by_token("someone else's") is None


# -- parts


def test_a_part_is_there_if_it_was_recorded_and_once(ledger: SqliteLedger, scribe: Scribe) -> None:
    one, two = scribe.bring(b"a", State.UPLOADING), scribe.bring(b"b", State.UPLOADING)
    for number in (3, 1, 2):
        ledger.record_part(one, part(number), sent=10, resent=0)
    ledger.record_part(one, part(2, '"again"', None), sent=10, resent=10)
    assert ledger.parts(one) == [part(1), part(2, '"again"', None), part(3)]
    assert ledger.parts(two) == []
    row = found(ledger, one)
    assert (row.sent_bytes, row.resent_bytes) == (40, 10)


@pytest.mark.parametrize("to", [State.SUPERSEDED, State.VANISHED])
def test_the_parts_of_a_transfer_go_when_it_ends(ledger: SqliteLedger, scribe: Scribe, to: State) -> None:
    one, two = scribe.bring(b"a", State.UPLOADING), scribe.bring(b"b", State.UPLOADING)
    for identity in (one, two):
        ledger.record_part(identity, part(1), sent=10, resent=0)
    ledger.commit([Move(id=one, was=State.UPLOADING, to=to, why="x")])
    assert (ledger.parts(one), ledger.parts(two)) == ([], [part(1)])


def test_the_parts_stay_until_the_file_is_done(ledger: SqliteLedger, scribe: Scribe) -> None:
    identity = scribe.bring(b"a", State.UPLOADING)
    ledger.record_part(identity, part(1), sent=10, resent=0)
    for was, to in ((State.UPLOADING, State.COMPLETING), (State.COMPLETING, State.VERIFIED)):
        scribe.move(identity, was, to, etag='"e"', proof=PROOF)
        assert ledger.parts(identity) == [part(1)]
    scribe.move(identity, State.VERIFIED, State.DONE)
    assert ledger.parts(identity) == []


def test_parts_that_no_longer_count_are_forgotten_with_the_move_that_says_so(
    ledger: SqliteLedger, scribe: Scribe
) -> None:
    identity = scribe.bring(b"a", State.UPLOADING)
    ledger.record_part(identity, part(1), sent=10, resent=0)
    with pytest.raises(RowMoved):
        ledger.commit([ForgetParts(identity), settled(identity)])
    assert ledger.parts(identity) == [part(1)]
    ledger.commit([ForgetParts(identity)])
    assert ledger.parts(identity) == []


def test_a_part_of_no_transfer_is_not_counted(ledger: SqliteLedger) -> None:
    with pytest.raises(LedgerFailure, match="FOREIGN KEY"):
        ledger.record_part(99, part(1), sent=10, resent=0)
    assert ledger.totals() == Totals()


# -- history, totals, the rest


def test_history_tells_every_move_of_a_path_and_why(
    ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    first = scribe.discover(b"a")
    clock.advance(10.0)
    ledger.commit([settled(first)])
    ledger.commit([Amend(id=first, was=State.SETTLED, sets=Columns(attempts=1), why="waits: no network")])
    ledger.commit([Amend(id=first, was=State.SETTLED, sets=Columns(attempts=2))])
    clock.advance(10.0)
    ledger.commit([vanished(first, State.SETTLED)])
    scribe.discover(b"b")
    scribe.discover(b"a")
    story = [
        HistoryEntry(START, State.DISCOVERED, "first seen"),
        HistoryEntry(START + 10, State.SETTLED, "unchanged for 10 s"),
        HistoryEntry(START + 10, State.SETTLED, "waits: no network"),
        HistoryEntry(START + 20, State.VANISHED, "it is gone"),
        HistoryEntry(START + 20, State.DISCOVERED, "first seen"),
    ]
    assert ledger.history(FOLDER, b"a") == story
    assert ledger.history(FOLDER, b"a", limit=2) == story[-2:]
    assert ledger.history(FOLDER, b"never seen") == []


def test_the_totals_count_what_was_sent_and_what_was_in_vain(
    ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    assert ledger.totals() == Totals()
    identity = scribe.bring(b"a", State.COMPLETING)
    ledger.record_part(identity, part(1), sent=10, resent=4)
    ledger.commit([CountSent(id=identity, sent=7, resent=2), SuspectOrphan(), SuspectOrphan()])
    clock.advance(60.0)
    scribe.move(identity, State.COMPLETING, State.VERIFIED, etag='"e"', proof=PROOF)
    row = found(ledger, identity)
    assert (row.sent_bytes, row.resent_bytes) == (17, 6)
    expected = Totals(sent_bytes=17, resent_bytes=6, possible_orphans=2, last_success_at=START + 60)
    assert ledger.totals() == expected


def test_counts_tell_where_the_files_stand_and_parked_ones_once(
    ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    assert (ledger.counts().pending, ledger.counts().pending_bytes, ledger.counts().oldest_pending_at) == (
        0,
        0,
        None,
    )
    parked = scribe.bring(b"parked", State.SETTLED, size=1000)
    sets = Columns(parked_reason="its key is taken")
    ledger.commit([Amend(id=parked, was=State.SETTLED, sets=sets, why="parked")])
    scribe.bring(
        b"waits for its age", State.VERIFIED, size=900
    )  # its bytes are there: it is pending and no more
    clock.advance(5.0)
    scribe.discover(b"new", size=7)
    going = scribe.bring(b"going", State.UPLOADING, size=30)
    scribe.bring(b"done", State.DONE, size=500)
    gone = scribe.bring(b"gone", State.SETTLED, size=500)
    ledger.commit([vanished(gone, State.SETTLED)])
    ledger.record_part(going, part(1), sent=10, resent=0)
    counts = ledger.counts()
    assert counts.by_state == dict.fromkeys(State, 0) | dict.fromkeys(
        [State.DISCOVERED, State.UPLOADING, State.VERIFIED, State.DONE, State.VANISHED], 1
    )
    assert (counts.parked, counts.pending, counts.pending_bytes) == (1, 3, 7 + 30 - 10)
    assert counts.oldest_pending_at == START + 5


def test_the_files_of_a_folder_are_those_that_are_there(ledger: SqliteLedger, scribe: Scribe) -> None:
    scribe.discover(b"new")
    done, gone = scribe.bring(b"done", State.DONE), scribe.bring(b"gone", State.DONE)
    scribe.discover(b"else", folder=b"/other")
    ledger.commit([vanished(scribe.discover(b"vanished"))])
    ledger.commit([Amend(id=gone, was=State.DONE, sets=Columns(gone_at=1.0))])
    assert ledger.files_in(FOLDER) == 2
    assert ledger.files_in(b"/nowhere") == 0
    ledger.commit([Amend(id=done, was=State.DONE, sets=Columns(gone_at=1.0))])
    assert ledger.files_in(FOLDER) == 1


def test_a_renamed_file_is_found_by_inode_size_and_date_on_any_device(
    ledger: SqliteLedger, scribe: Scribe
) -> None:
    first = scribe.bring(b"a", State.DONE, inode=7)
    second = scribe.discover(b"b", inode=7, dev=9)
    scribe.discover(b"c", inode=7, size=31)
    scribe.discover(b"d", inode=7, mtime_ns=5)
    ledger.commit([vanished(scribe.discover(b"e", inode=7))])
    assert [row.id for row in ledger.like(fingerprint(inode=7, dev=3, ctime_ns=0))] == [second, first]


def test_an_upload_to_abort_waits_until_it_is_gone(ledger: SqliteLedger) -> None:
    other = AbortLater(bucket="captures", key="b", upload_id="u2")
    ledger.commit([UPLOAD, other, UPLOAD])
    assert ledger.aborts(START, 10) == [UPLOAD, other]
    ledger.abort_failed(UPLOAD, START + 60)
    assert ledger.aborts(START, 10) == [other]
    assert ledger.aborts(START + 60, 10) == [other, UPLOAD]
    assert ledger.aborts(START + 60, 1) == [other]
    ledger.commit([Aborted(other.upload_id)])
    ledger.commit([Aborted(other.upload_id)])
    assert ledger.aborts(START + 60, 10) == [UPLOAD]
    assert ledger.aborts(START - 4000, 10) == [UPLOAD]  # written under another clock


def test_a_folder_and_a_destination_are_remembered(ledger: SqliteLedger) -> None:
    assert ledger.root_identity(FOLDER) is None
    for identity in (RootIdentity(1, 2), RootIdentity(3, 2)):
        ledger.accept_root(FOLDER, identity)
        assert ledger.root_identity(FOLDER) == identity
    assert ledger.root_identity(b"/other") is None
    assert not ledger.checksum_ignored("https://s3 captures")
    for _ in range(2):
        ledger.remember_checksum_ignored("https://s3 captures", START)
        assert ledger.checksum_ignored("https://s3 captures")
    assert not ledger.checksum_ignored("https://s3 other")
