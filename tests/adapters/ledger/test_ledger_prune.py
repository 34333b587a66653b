"""Old stories go: rows of files that are gone, lines of history but the last; what is known of a file that is there stays."""

from __future__ import annotations

from support.clock import FakeClock
from support.scribe import FOLDER, Scribe

from syncd.adapters.ledger import SqliteLedger
from syncd.model import Amend, Columns, State

DAY = 86400.0


def test_rows_of_files_that_are_gone_go_after_their_time_and_no_others(
    ledger: SqliteLedger, scribe: Scribe, clock: FakeClock
) -> None:
    kept = scribe.bring(b"kept", State.DONE, inode=1)
    gone = scribe.bring(b"gone", State.DONE, inode=2)
    going = scribe.bring(b"uploading", State.UPLOADING, inode=3)
    replaced = scribe.bring(b"replaced", State.DONE, inode=4)
    scribe.move(replaced, State.DONE, State.SUPERSEDED)
    ledger.commit([Amend(id=gone, was=State.DONE, sets=Columns(gone_at=clock.now()))])
    before = clock.now()
    clock.advance(30 * DAY)
    late = scribe.bring(b"late", State.SETTLED, inode=5)
    scribe.move(late, State.SETTLED, State.VANISHED)
    assert ledger.prune(before - 1, 100) == 0
    assert ledger.prune(before + DAY, 100) > 2
    assert {row for row in (kept, gone, going, replaced, late) if ledger.get(row)} == {kept, going, late}
    assert ledger.history(FOLDER, b"gone") == []


def test_of_a_story_the_last_line_stays(ledger: SqliteLedger, scribe: Scribe, clock: FakeClock) -> None:
    scribe.bring(b"film", State.DONE)
    last = ledger.history(FOLDER, b"film")[-1]
    clock.advance(100 * DAY)
    assert ledger.prune(clock.now() - 90 * DAY, 1000) == 7
    assert ledger.history(FOLDER, b"film") == [last]
    assert ledger.prune(clock.now() - 90 * DAY, 1000) == 0


def test_it_goes_in_small_steps(ledger: SqliteLedger, scribe: Scribe, clock: FakeClock) -> None:
    for number in range(30):
        identity = scribe.bring(b"film-%d" % number, State.DONE, inode=number + 1)
        scribe.move(identity, State.DONE, State.SUPERSEDED)
    clock.advance(100 * DAY)
    steps = 0
    while ledger.prune(clock.now() - 90 * DAY, 10):
        steps += 1
    assert steps >= 3
    assert ledger.last_id() == 0
