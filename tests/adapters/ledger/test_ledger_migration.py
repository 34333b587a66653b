"""The way from an older ledger to today's: wherever it is broken off, what is there is whole, and the next start finishes."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from support.clock import FakeClock

from syncd.adapters.ledger import migrate, open_ledger
from syncd.errors import LedgerFailure

TODAY = len(migrate.migrations())
ROWS = """
INSERT INTO transfer (folder, path, dev, inode, size, mtime_ns, ctime_ns, state, discovered_at, bucket, key, algorithm,
    token, part_size, upload_id) VALUES (x'2f66', x'61', 1, 2, 30, 4, 5, 'uploading', 1.0, 'b', 'k', 'md5', 't', 10, 'u');
INSERT INTO part (transfer, number, size, etag) VALUES (1, 1, 10, '"e"');
INSERT INTO history (transfer, at, state, why) VALUES (1, 1.0, 'uploading', 'the upload is open');
"""
Shape = list[tuple[str, str]]


def bring_to(path: Path, version: int) -> None:
    """A ledger as the syncd of that version left it, with a file on its way."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for number, step in enumerate(migrate.migrations()[:version], 1):
            migrate._run(connection, step, number)
        connection.executescript(ROWS)


def looked_at(path: Path) -> tuple[int, Shape]:
    """Version and tables."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return version, connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def opened_and_killed(path: Path, clock: FakeClock, nth: int) -> bool:
    """Open it in a child that dies when a step's N-th statement is about to run; whether it came so far."""
    child = os.fork()
    if child == 0:
        try:
            migrate._run = killing(migrate._run, nth)
            open_ledger(path, clock).close()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def killing(run: Callable[..., None], nth: int) -> Callable[..., None]:
    numbers = count(1)

    def die(_statement: str) -> None:
        if next(numbers) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(connection: sqlite3.Connection, script: str, version: int) -> None:
        connection.set_trace_callback(die)
        run(connection, script, version)
        connection.execute("SELECT 1")  # and once behind the last one
        connection.set_trace_callback(None)

    return traced


@pytest.mark.parametrize("version", range(1, TODAY))
def test_killed_at_any_statement_of_a_migration_it_is_the_old_one_or_the_new_one_and_goes_on(
    tmp_path: Path, clock: FakeClock, version: int
) -> None:
    whole = {}
    for each in range(version, TODAY + 1):
        bring_to(tmp_path / f"{each}.db", each)
        whole[each] = looked_at(tmp_path / f"{each}.db")[1]
    met = []
    for nth in count(1):
        path = tmp_path / f"killed-{nth}" / "state.db"
        bring_to(path, version)
        if not opened_and_killed(path, clock, nth):
            break
        reached, shape = looked_at(path)
        met.append(reached)
        assert shape == whole[reached]
        ledger = open_ledger(path, clock)
        assert [(row.path, row.upload_id) for row in ledger.live(10)] == [(b"a", "u")]
        assert [part.number for part in ledger.parts(1)] == [1]
        assert ledger.totals().begun_at is None, "it was taken for a damaged one"
        ledger.close()
        assert looked_at(path) == (TODAY, whole[TODAY])
    assert set(met) == set(range(version, TODAY + 1))
    assert len(met) > 10


def test_killed_while_it_is_made_a_ledger_is_made_by_the_next_start(tmp_path: Path, clock: FakeClock) -> None:
    for nth in count(1):
        path = tmp_path / f"killed-{nth}" / "state.db"
        if not opened_and_killed(path, clock, nth):
            break
        assert looked_at(path)[0] in {0, TODAY}
        ledger = open_ledger(path, clock)
        assert (ledger.last_id(), ledger.totals().begun_at) == (0, None)
        ledger.close()
        assert looked_at(path)[0] == TODAY
    assert nth > 20


def test_a_step_that_fails_takes_back_itself_alone_and_nothing_is_set_aside(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_to(path, 1)
    steps = migrate.migrations()
    bad = "CREATE TABLE half (id INTEGER); DELETE FROM part; INSERT INTO nowhere VALUES (1);"
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "migrations", lambda: [*steps, bad])
        with pytest.raises(LedgerFailure, match="nowhere"):
            open_ledger(path, clock)
    version, shape = looked_at(path)
    assert version == TODAY, "the steps before it stand"
    assert "half" not in dict(shape)
    ledger = open_ledger(path, clock)
    assert [part.number for part in ledger.parts(1)] == [1]
    ledger.close()
    assert not list(path.parent.glob("*.damaged-*"))
