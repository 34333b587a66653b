"""How many files stand where, by indexes made for it: asking must cost little with a million files that arrived."""

from __future__ import annotations

import sqlite3

from syncd.model import Counts, Standing, State

_LIVE_ONES = "INDEXED BY live WHERE state NOT IN ('done', 'superseded', 'vanished')"
_LIVE = f"FROM transfer {_LIVE_ONES}"
_ARRIVED = "FROM transfer INDEXED BY arrived WHERE state = 'done' AND gone_at IS NULL"


def count_all(connection: sqlite3.Connection) -> Counts:
    """Files by state, and the bytes that are still to be sent."""
    by_state = dict.fromkeys(State, 0)
    parked = 0
    rows = connection.execute(f"SELECT state, parked_reason IS NOT NULL, count(*) {_LIVE} GROUP BY 1, 2")
    for state, is_parked, files in rows:
        if is_parked:
            parked += files
        else:
            by_state[State(state)] = files
    pending = sum(by_state.values())
    by_state |= _ended(connection)
    size, sent, oldest = connection.execute(
        "SELECT coalesce(sum(size), 0), coalesce(sum((SELECT sum(part.size) FROM part WHERE part.transfer = transfer.id)), 0), "
        f"min(discovered_at) {_LIVE} AND parked_reason IS NULL AND state <> 'verified'"
    ).fetchone()
    return Counts(
        by_state=by_state, parked=parked, pending=pending, pending_bytes=size - sent, oldest_pending_at=oldest
    )


def _ended(connection: sqlite3.Connection) -> dict[State, int]:
    rows = connection.execute(
        "SELECT state, count(*) FROM transfer INDEXED BY over WHERE state IN ('superseded', 'vanished') GROUP BY state"
    )
    ended = {State(state): files for state, files in rows}
    ended[State.DONE] = _number(connection, f"SELECT count(*) {_ARRIVED}") + _number(
        connection,
        "SELECT count(*) FROM transfer INDEXED BY gone WHERE gone_at IS NOT NULL AND state = 'done'",
    )
    return ended


def where(standing: Standing | None) -> str:
    """The files that are counted so, by the index that was made for counting them."""
    match standing:
        case None:
            return "WHERE state NOT IN ('superseded', 'vanished')"
        case Standing.DONE:
            return "WHERE state = 'done'"
        case Standing.SUPERSEDED | Standing.VANISHED:
            return f"INDEXED BY over WHERE state IN ('superseded', 'vanished') AND state = '{standing}'"
        case Standing.PARKED:
            return f"{_LIVE_ONES} AND parked_reason IS NOT NULL"
        case Standing.PENDING:
            return f"{_LIVE_ONES} AND parked_reason IS NULL"
        case _:
            return f"{_LIVE_ONES} AND parked_reason IS NULL AND state = '{standing}'"


def count_in_folder(connection: sqlite3.Connection, folder: bytes) -> int:
    """Files of a folder that are there, as far as we know: arrived or on their way."""
    return _number(connection, f"SELECT count(*) {_ARRIVED} AND folder = ?", folder) + _number(
        connection, f"SELECT count(*) {_LIVE} AND folder = ?", folder
    )


def _number(connection: sqlite3.Connection, sql: str, *values: bytes) -> int:
    return int(connection.execute(sql, values).fetchone()[0])


def work_since(connection: sqlite3.Connection, now: float) -> float | None:
    """See the port. What was put off without a failure (taken out of the configuration) is no work; nor is disposal."""
    row = connection.execute(
        f"SELECT id, discovered_at {_LIVE} "
        "AND state IN ('settled', 'planned', 'creating', 'uploading', 'completing') AND parked_reason IS NULL "
        "AND (attempts > 0 OR not_before <= ?) ORDER BY id LIMIT 1",
        (now,),
    ).fetchone()
    if row is None:
        return None
    ready = connection.execute(
        "SELECT max(at) FROM history WHERE transfer = ? AND state = 'settled'", (row["id"],)
    ).fetchone()
    return float(row["discovered_at"] if ready[0] is None else ready[0])
