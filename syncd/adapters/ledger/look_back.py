"""History of all files, for the eye: newest first, a page at a time, searched by path. Reads only, and never without end."""

from __future__ import annotations

import sqlite3

from syncd.model import Happening, Happenings, State

LOOKED_AT_ONCE = 20_000
"""Lines that one question looks at: with a million of them, a rare word must not hold anybody up."""


def happened(
    connection: sqlite3.Connection, limit: int, before: int | None, after: int | None, containing: bytes
) -> Happenings:
    """See the port. By the primary key from where it begins, so that the length of history does not matter."""
    if after is not None:
        rows, looked_at = _walk(connection, limit, "id > ? ORDER BY id", after, containing)
        rows.reverse()
    else:
        begin = 2**63 - 1 if before is None else before
        rows, looked_at = _walk(connection, limit, "id < ? ORDER BY id DESC", begin, containing)
    return Happenings(lines=tuple(_line(row) for row in rows), looked_at=looked_at)


def _walk(
    connection: sqlite3.Connection, limit: int, way: str, begin: int, containing: bytes
) -> tuple[list[sqlite3.Row], int | None]:
    """Lines that fit, in the order of the walk, and the last one looked at; None: nothing lies beyond."""
    most = LOOKED_AT_ONCE if containing else limit
    stretch = f"SELECT id, transfer, at, state, why FROM history WHERE {way} LIMIT {most}"
    order = way.partition("ORDER BY ")[2]
    # `lower` wants text and minds ASCII only; `instr` goes byte by byte through blobs alone.
    small = "CAST(lower(CAST({} AS TEXT)) AS BLOB)"
    path = small.format("folder || x'2f' || path")
    fits = f"AND instr({path}, {small.format('?')})" if containing else ""
    rows = connection.execute(
        "SELECT line.id, at, line.state, why, folder, path "
        f"FROM ({stretch}) AS line JOIN transfer ON transfer.id = line.transfer {fits} "
        f"ORDER BY line.{order} LIMIT ?",
        (begin, *([containing] if containing else []), limit),
    ).fetchall()
    if len(rows) == limit:
        return rows, int(rows[-1]["id"])
    last = connection.execute(
        f"SELECT id FROM history WHERE {way} LIMIT 1 OFFSET {most - 1}", (begin,)
    ).fetchone()
    return rows, None if last is None else int(last[0])


def _line(row: sqlite3.Row) -> Happening:
    return Happening(
        id=row["id"],
        at=row["at"],
        state=State(row["state"]),
        why=row["why"],
        folder=row["folder"],
        path=row["path"],
    )
