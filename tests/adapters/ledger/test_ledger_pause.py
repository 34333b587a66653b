"""A pause in the ledger: there is at most one, it outlives the process, and follows the clock when that is set back."""

from __future__ import annotations

from pathlib import Path

from support.clock import FakeClock

from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.model import Pause


def test_the_last_word_counts_and_is_there_after_a_restart(
    ledger: SqliteLedger, path: Path, clock: FakeClock
) -> None:
    assert ledger.pause() is None
    ledger.set_pause(Pause(since=1.0))
    ledger.set_pause(Pause(since=2.0, until=9.0))
    ledger.close()
    again = open_ledger(path, clock)
    assert again.pause() == Pause(since=2.0, until=9.0)
    again.set_pause(None)
    assert again.pause() is None
    again.close()


def test_a_clock_that_is_set_back_makes_no_pause_longer(ledger: SqliteLedger, clock: FakeClock) -> None:
    ledger.set_pause(Pause(since=clock.now(), until=clock.now() + 60))
    ledger.bring_forward(3600.0)
    assert ledger.pause() == Pause(since=clock.now() - 3600, until=clock.now() - 3540)
    ledger.set_pause(Pause(since=clock.now()))
    ledger.bring_forward(3600.0)
    assert ledger.pause() == Pause(since=clock.now() - 3600)
