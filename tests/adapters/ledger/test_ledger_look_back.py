"""History of all files, newest first and searched by path, however long it is; and since when work waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import FakeClock
from support.scribe import Scribe

from syncd.adapters.ledger import SqliteLedger, look_back, open_ledger
from syncd.model import Amend, Columns, State

Raw = Callable[..., list[Any]]
FOLDER = b"/srv/capture"


def tell(raw: Raw, paths: list[bytes]) -> None:
    """A row and one line of history for each path."""
    for path in paths:
        raw(
            "INSERT INTO transfer (folder, path, dev, inode, size, mtime_ns, ctime_ns, state, discovered_at) "
            "VALUES (?, ?, 1, 1, 1, 1, 1, 'superseded', 1)",
            FOLDER,
            path,
        )
        raw(
            "INSERT INTO history (transfer, at, state, why) SELECT max(id), max(id), 'done', 'w' FROM transfer"
        )


def ids(ledger: SqliteLedger, limit: int = 10, **where: Any) -> list[int]:
    return [line.id for line in ledger.happened(limit, **where).lines]


def test_the_newest_lines_come_first_with_their_files(ledger: SqliteLedger, raw: Raw) -> None:
    tell(raw, [b"a", b"b\xff", b"c"])
    found = ledger.happened(2)
    assert [(line.path, line.state, line.why) for line in found.lines] == [
        (b"c", State.DONE, "w"),
        (b"b\xff", State.DONE, "w"),
    ]
    assert found.looked_at == 2
    assert ledger.happened(2, before=2).looked_at is None


def test_one_leafs_through_both_ways_and_meets_every_line_once(ledger: SqliteLedger, raw: Raw) -> None:
    tell(raw, [b"f%d" % number for number in range(25)])
    assert ids(ledger) == list(range(25, 15, -1))
    assert ids(ledger, before=16) == list(range(15, 5, -1))
    assert ids(ledger, before=6) == [5, 4, 3, 2, 1]
    assert ids(ledger, after=15) == list(range(25, 15, -1))
    assert ids(ledger, after=5) == list(range(15, 5, -1))


@pytest.mark.parametrize(
    ("word", "fits"),
    [
        (b"clip", True),
        (b"CLIP", True),
        (b"srv/Capture/day", True),
        (b"\xff\x1b", True),
        (b"100%_", True),
        (b"day_1", False),
        (b"clop", False),
        ("é".encode(), True),
    ],
)
def test_a_search_takes_every_byte_for_itself(
    ledger: SqliteLedger, raw: Raw, word: bytes, fits: bool
) -> None:
    tell(raw, [b"other", "day/Clip \xe9 100%_".encode() + b"\xff\x1b.mp4", b"another"])
    assert ids(ledger, containing=word) == ([2] if fits else [])


@given(st.binary(min_size=1, max_size=4).filter(lambda word: b"\0" not in word))
def test_any_word_finds_the_path_that_holds_it(word: bytes) -> None:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.execute("CREATE TABLE history (id, transfer, at, state, why)")
    connection.execute("CREATE TABLE transfer (id, folder, path)")
    connection.execute("INSERT INTO transfer VALUES (1, ?, ?)", (FOLDER, b"x" + word + b"y"))
    connection.execute("INSERT INTO history VALUES (1, 1, 1, 'done', 'w')")
    found = look_back.happened(connection, 10, None, None, word)
    connection.close()
    assert len(found.lines) == 1


def test_a_search_looks_at_so_many_lines_and_says_where_it_goes_on(
    ledger: SqliteLedger, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_back, "LOOKED_AT_ONCE", 20)
    tell(raw, [b"wanted", *(b"other%d" % number for number in range(49))])
    first = ledger.happened(10, containing=b"wanted")
    assert (first.lines, first.looked_at) == ((), 31)
    second = ledger.happened(10, containing=b"wanted", before=31)
    assert (second.lines, second.looked_at) == ((), 11)
    assert ids(ledger, containing=b"wanted", before=11) == [1]
    assert ledger.happened(10, containing=b"wanted", before=11).looked_at is None


def test_a_page_of_a_million_lines_is_there_at_once(ledger: SqliteLedger, raw: Raw) -> None:
    """By how many steps SQLite takes for it: as many as for a short history."""
    tell(raw, [b"f"])
    raw("BEGIN")
    raw(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) "
        "INSERT INTO history (transfer, at, state, why) SELECT 1, i, 'done', 'w' FROM n"
    )
    raw("COMMIT")
    thousands: list[None] = []
    ledger._connection.set_progress_handler(lambda: thousands.append(None), 1000)
    assert ids(ledger, 100)[0] == 1_000_000
    assert len(thousands) < 20
    assert ids(ledger, 100, containing=b"nothing has it") == []
    assert len(ids(ledger, 100, before=500_000, containing=b"f")) == 100
    assert len(thousands) < 2_000


def test_work_waits_since_the_oldest_file_was_ready(
    ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    assert ledger.work_since(clock.now()) is None
    scribe.discover(b"grows")
    parked = scribe.bring(b"parked", State.PLANNED)
    ledger.commit([Amend(id=parked, was=State.PLANNED, sets=Columns(parked_reason="no"))])
    scribe.bring(b"proven", State.VERIFIED)
    assert ledger.work_since(clock.now()) is None
    put_off = scribe.bring(b"put off", State.SETTLED)
    later = Columns(not_before=clock.now() + 60)
    ledger.commit([Amend(id=put_off, was=State.SETTLED, sets=later)])
    assert ledger.work_since(clock.now()) is None
    clock.advance(100)
    ready = clock.now()
    scribe.bring(b"work", State.SETTLED)
    ledger.commit([Amend(id=put_off, was=State.SETTLED, sets=Columns(not_before=clock.now() + 900))])
    clock.advance(100)
    assert ledger.work_since(clock.now()) == ready
    failed = Columns(attempts=3, not_before=clock.now() + 60)
    ledger.commit([Amend(id=put_off, was=State.SETTLED, sets=failed)])
    assert ledger.work_since(clock.now()) == ready - 100


def test_the_file_has_a_size(tmp_path: Path, clock: FakeClock) -> None:
    ledger = open_ledger(tmp_path / "l.db", clock)
    size = ledger.size_bytes()
    ledger.close()
    assert size == (tmp_path / "l.db").stat().st_size
