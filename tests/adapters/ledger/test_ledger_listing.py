"""Listing files by where they stand: the same ones that are counted there, page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.scribe import Scribe

from syncd.adapters.ledger import SqliteLedger
from syncd.adapters.ledger.tally import where
from syncd.model import Amend, Columns, Standing, State


@pytest.fixture
def peopled(ledger: SqliteLedger, scribe: Scribe) -> SqliteLedger:
    """Some files in every state, one parked, one that is gone."""
    for state in State:
        for name in ("a", "b") if state not in {State.SUPERSEDED, State.VANISHED} else ():
            path = f"{name}-{state}".encode()
            scribe.discover(path) if state is State.DISCOVERED else scribe.bring(path, state)
    for state in (State.SUPERSEDED, State.VANISHED):
        scribe.move(scribe.bring(b"c-%s" % state.value.encode(), State.SETTLED), State.SETTLED, state)
    parked = scribe.bring(b"d", State.PLANNED)
    gone = scribe.bring(b"e", State.DONE)
    ledger.commit(
        [
            Amend(id=parked, was=State.PLANNED, sets=Columns(parked_reason="no")),
            Amend(id=gone, was=State.DONE, sets=Columns(gone_at=1.0)),
        ]
    )
    return ledger


def test_those_that_are_listed_are_those_that_are_counted(peopled: SqliteLedger) -> None:
    counts = peopled.counts()
    numbers = {**{state.value: count for state, count in counts.by_state.items()}}
    numbers |= {"parked": counts.parked, "pending": counts.pending}
    listed = {standing.value: len(peopled.listed(standing, 0, 1000)) for standing in Standing}
    assert listed == numbers
    assert min(listed.values()) > 0
    paths = [row.path for row in peopled.listed(None, 0, 1000)]  # all that stand for a path
    assert len(paths) == 18
    assert {b"d", b"e"} < set(paths)
    assert not [path for path in paths if path.startswith(b"c-")]
    whole = [row.id for row in peopled.listed(Standing.PENDING, 0, 1000)]
    pages, after = [], 0
    while page := peopled.listed(Standing.PENDING, after, 3):
        pages += [row.id for row in page]
        after = page[-1].id
    assert pages == whole == sorted(whole)


@pytest.mark.parametrize("standing", [each for each in Standing if each is not Standing.DONE])
def test_what_is_few_is_found_without_walking_what_has_arrived(
    raw: Callable[..., list[Any]], standing: Standing
) -> None:
    plan = raw(f"EXPLAIN QUERY PLAN SELECT * FROM transfer {where(standing)} AND id > 0 ORDER BY id LIMIT 9")
    steps = [row[3] for row in plan]
    assert [step for step in steps if step.startswith("SCAN") and "USING INDEX" not in step] == []
    assert not [step for step in steps if "TEMP B-TREE" in step]
