"""What to take up next: the order, who is left out, and that a long queue costs no more than a short one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.clock import START, FakeClock
from support.scribe import FOLDER, PROOF, Scribe, fingerprint

from syncd.adapters.ledger import SqliteLedger
from syncd.adapters.ledger.store import BULKY as LEDGERS_BULKY
from syncd.adapters.ledger.store import FAR_FUTURE_S as LEDGERS_FAR_FUTURE_S
from syncd.decide.order import BULKY_BYTES
from syncd.decide.retry import FAR_FUTURE_S, FILE_CEILING_S
from syncd.model import AbortLater, Amend, Columns, Move, State, Transfer

NOW = START
Raw = Callable[..., list[Any]]


def paths(rows: list[Transfer]) -> list[bytes]:
    return [row.path for row in rows]


def wait_until(ledger: SqliteLedger, identity: int, moment: float) -> None:
    ledger.commit([Amend(id=identity, was=State.SETTLED, sets=Columns(not_before=moment))])


def queue(ledger: SqliteLedger, scribe: Scribe, **moments: float) -> dict[str, int]:
    rows = {name: scribe.bring(name.encode(), State.SETTLED) for name in moments}
    for name, moment in moments.items():
        wait_until(ledger, rows[name], moment)
    return rows


def test_the_oldest_due_comes_first_then_the_first_seen(ledger: SqliteLedger, scribe: Scribe) -> None:
    queue(ledger, scribe, late=NOW, later=NOW + 0.5, first=NOW - 2, second=NOW - 2, old=0.0)
    assert paths(ledger.due(NOW, 10)) == [b"old", b"first", b"second", b"late"]
    assert paths(ledger.due(NOW, 2)) == [b"old", b"first"]


def test_large_and_small_files_do_not_hide_each_other(ledger: SqliteLedger, scribe: Scribe) -> None:
    for number in range(3):
        scribe.bring(b"large-%d" % number, State.SETTLED, size=BULKY_BYTES)
    for number in range(3):
        scribe.bring(b"small-%d" % number, State.SETTLED, size=BULKY_BYTES - 1)
    assert paths(ledger.due(NOW, 2)) == [b"large-0", b"large-1", b"small-0", b"small-1"]
    assert paths(ledger.due(NOW, 2, bulky=True)) == [b"large-0", b"large-1"]
    assert paths(ledger.due(NOW, 9, bulky=False)) == [b"small-0", b"small-1", b"small-2"]
    assert ledger.next_due(NOW, bulky=True, busy=[1, 2, 3]) is None
    assert ledger.next_due(NOW, bulky=False, busy=[1, 2, 3]) == 0.0


def test_what_a_worker_has_in_hand_is_not_due(ledger: SqliteLedger, scribe: Scribe) -> None:
    rows = queue(ledger, scribe, a=NOW - 3, b=NOW - 2, c=NOW + 9)
    assert paths(ledger.due(NOW, 1, busy={rows["a"]})) == [b"b"]
    assert ledger.due(NOW, 10, busy=(rows["a"], rows["b"])) == []
    assert ledger.next_due(NOW, busy=(rows["a"], rows["b"])) == NOW + 9
    assert ledger.next_due(NOW, busy=rows.values()) is None


@pytest.mark.parametrize("state", list(State))
def test_only_what_has_an_act_is_due(ledger: SqliteLedger, scribe: Scribe, state: State) -> None:
    if state in {State.SUPERSEDED, State.VANISHED}:
        identity = scribe.bring(b"a", State.SETTLED)
        ledger.commit([Move(id=identity, was=State.SETTLED, to=state, why="x")])
    elif state is State.DISCOVERED:
        scribe.discover(b"a")
    else:
        scribe.bring(b"a", state)
    works = state not in {State.DISCOVERED, State.DONE, State.SUPERSEDED, State.VANISHED}
    assert paths(ledger.due(NOW, 10)) == ([b"a"] if works else [])
    assert ledger.next_due(NOW) == (0.0 if works else None)


def test_a_parked_file_is_not_due_until_it_is_freed(ledger: SqliteLedger, scribe: Scribe) -> None:
    rows = queue(ledger, scribe, a=0.0)
    for reason, expected in (("a person must look", []), (None, [b"a"])):
        sets = Columns(parked_reason=reason)
        ledger.commit([Amend(id=rows["a"], was=State.SETTLED, sets=sets)])
        assert paths(ledger.due(NOW, 10)) == expected
        assert (ledger.next_due(NOW) is None) == (not expected)


def test_a_time_too_far_ahead_was_written_under_another_clock_and_is_due(
    ledger: SqliteLedger, scribe: Scribe
) -> None:
    rows = queue(ledger, scribe, far=NOW + FAR_FUTURE_S + 1, edge=NOW + FAR_FUTURE_S, soon=NOW + 60, due=NOW)
    assert paths(ledger.due(NOW, 10)) == [b"due", b"far"]
    assert ledger.next_due(NOW, busy=[rows["due"]]) == NOW
    assert ledger.next_due(NOW, busy=[rows["due"], rows["far"]]) == NOW + 60


def test_the_ledger_and_the_decisions_mean_the_same_by_far(ledger: SqliteLedger) -> None:
    assert LEDGERS_FAR_FUTURE_S == FAR_FUTURE_S
    assert FILE_CEILING_S < FAR_FUTURE_S


def test_the_ledger_and_the_decisions_mean_the_same_by_large() -> None:
    assert LEDGERS_BULKY == BULKY_BYTES


def test_pages_of_a_folder_come_in_byte_order_and_miss_nothing(ledger: SqliteLedger, scribe: Scribe) -> None:
    names = [b"a", b"a-b", b"a/b", b"a0", b"b\xff", b"b\xff/c", b"c", b"\xff"]
    for name in reversed(names):
        scribe.bring(name, State.DONE, key=repr(name))
    scribe.discover(b"a/x", folder=b"/other")
    gone = scribe.discover(b"a/gone")
    ledger.commit([Move(id=gone, was=State.DISCOVERED, to=State.VANISHED, why="x")])
    pages: list[bytes] = []
    while page := ledger.between(FOLDER, pages[-1] if pages else b"", None, 3):
        pages += paths(page)
    assert pages == sorted(names)
    assert paths(ledger.between(FOLDER, b"a-b", b"b\xff", 10)) == [b"a/b", b"a0", b"b\xff"]
    assert paths(ledger.between(FOLDER, b"a-b", b"b\xff", 2)) == [b"a/b", b"a0"]
    assert ledger.between(FOLDER, b"c", b"c", 10) == []


def test_live_and_discovered_rows_come_by_id(ledger: SqliteLedger, scribe: Scribe) -> None:
    first = scribe.discover(b"z")
    parked = scribe.bring(b"parked", State.SETTLED)
    ledger.commit([Amend(id=parked, was=State.SETTLED, sets=Columns(parked_reason="x"))])
    scribe.bring(b"done", State.DONE)
    last = scribe.discover(b"a")
    assert [row.id for row in ledger.live(10)] == [first, parked, last]
    assert [row.id for row in ledger.live(10, upto=parked)] == [first, parked]
    assert [row.id for row in ledger.live(1)] == [first]
    assert [row.id for row in ledger.discovered(0, 10)] == [first, last]
    assert [row.id for row in ledger.discovered(first, 10)] == [last]
    assert [row.id for row in ledger.discovered(0, 1)] == [first]


# -- a hundred thousand files

QUESTIONS: dict[str, tuple[Callable[[SqliteLedger], Any], str]] = {
    "due": (lambda ledger: ledger.due(NOW, 50, busy=[1, 2]), "SEARCH transfer USING INDEX due"),
    "next_due": (lambda ledger: ledger.next_due(NOW, busy=[1, 2]), "transfer USING INDEX due"),
    "between": (
        lambda ledger: ledger.between(FOLDER, b"5", b"50010", 500),
        "(folder=? AND path>? AND path<?)",
    ),
    "between, open": (lambda ledger: ledger.between(FOLDER, b"5", None, 50), "(folder=? AND path>?)"),
    "live": (lambda ledger: ledger.live(50), "SEARCH transfer USING INDEX live"),
    "live, upto": (lambda ledger: ledger.live(50, upto=20), "SEARCH transfer USING INDEX live"),
    "discovered": (lambda ledger: ledger.discovered(99_990, 50), "SEARCH transfer USING INDEX live (id>?)"),
    "like": (lambda ledger: ledger.like(fingerprint(inode=500)), "SEARCH transfer USING INDEX by_file"),
    "by_token": (lambda ledger: ledger.by_token("t500"), "SEARCH transfer USING INDEX by_token"),
    "key_holder": (lambda ledger: ledger.key_holder("b", "k500"), "SEARCH transfer USING INDEX by_key"),
    "at": (lambda ledger: ledger.at(FOLDER, b"500"), "SEARCH transfer USING INDEX by_path"),
    "history": (lambda ledger: ledger.history(FOLDER, b"500"), "SEARCH history USING INDEX history_of"),
    "last_id": (lambda ledger: ledger.last_id(), "SEARCH transfer"),
    "get": (lambda ledger: ledger.get(500), "SEARCH transfer USING INTEGER PRIMARY KEY"),
    "parts": (lambda ledger: ledger.parts(500), "SEARCH part USING PRIMARY KEY"),
}
WALKS_IN_ORDER = (
    "SCAN transfer USING INDEX due",  # next_due asks for the first entry of the index
    "SCAN queued",  # the few folders that have something in the queue
)


@pytest.mark.parametrize(("ask", "plan"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_every_question_is_answered_by_the_index_that_was_made_for_it(
    ledger: SqliteLedger, raw: Raw, ask: Callable[[SqliteLedger], Any], plan: str
) -> None:
    asked: list[str] = []
    ledger._connection.set_trace_callback(asked.append)
    ask(ledger)
    ledger._connection.set_trace_callback(None)
    steps = [row[3] for sql in asked for row in raw(f"EXPLAIN QUERY PLAN {sql}")]
    assert any(plan in step for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN") and step not in WALKS_IN_ORDER]


@pytest.mark.torture
def test_a_queue_of_a_hundred_thousand_that_all_wait_costs_no_walk(ledger: SqliteLedger, raw: Raw) -> None:
    raw(
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
        "INSERT INTO transfer (folder, path, dev, inode, size, mtime_ns, ctime_ns, state, discovered_at, not_before, "
        "bucket, key, algorithm, token, part_size, upload_id) "
        "SELECT ?, CAST(i AS BLOB), 1, i, 30, 4, 5, 'uploading', 1, ?, 'b', 'k' || i, 'md5', 't' || i, 5, 'u' FROM n",
        FOLDER,
        NOW + 60.0,
    )
    assert raw("SELECT count(*) FROM transfer") == [(100_000,)]
    for name, (ask, _) in QUESTIONS.items():
        assert _steps(ledger, ask) < 20_000, name
    raw("UPDATE transfer SET not_before = 0 WHERE id > 50000")
    raw("UPDATE transfer SET proof_kind = ?, etag = ? WHERE id < 50000", str(PROOF.kind), '"e"')
    for name, (ask, _) in QUESTIONS.items():
        assert _steps(ledger, ask) < 20_000, name


def _steps(ledger: SqliteLedger, ask: Callable[[SqliteLedger], Any]) -> int:
    """How many instructions SQLite's machine takes, to the nearest hundred: one row costs a dozen or more."""
    ticks = [0]

    def tick() -> int:
        ticks[0] += 1
        return 0

    ledger._connection.set_progress_handler(tick, 100)
    ask(ledger)
    ledger._connection.set_progress_handler(None, 100)
    return ticks[0] * 100


def test_a_clock_that_was_set_back_brings_forward_what_waits_for_a_time_to_come(
    ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    now = clock.now()
    late = scribe.bring(b"late", State.SETTLED)
    due = scribe.bring(b"due", State.SETTLED)
    for identity, at in ((late, now + 700.0), (due, now - 5.0)):
        ledger.commit([Amend(id=identity, was=State.SETTLED, sets=Columns(not_before=at))])
    ledger.commit([AbortLater(bucket="b", key="k", upload_id="u")])
    ledger.abort_failed(AbortLater(bucket="b", key="k", upload_id="u"), now + 700.0)
    ledger.bring_forward(500.0)
    assert {row.path: row.not_before for row in ledger.live(9)} == {
        b"late": now + 200.0,
        b"due": now - 5.0,
    }
    assert ledger.aborts(now + 200.0, 1)
    assert not ledger.aborts(now + 199.0, 1)
