"""A ledger that cannot be what was written: found out, and set aside whole so that a new one can begin in its place.

Nothing is mended and nothing deleted here. A file that no syncd ever kept its ledger in is not touched; that one did is
what the second line of the lock file beside it says.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from syncd.adapters.ledger.migrate import APPLICATION_ID, schema_sql
from syncd.adapters.ledger.rows import SEALED
from syncd.adapters.ledger.trouble import is_damage
from syncd.errors import LedgerDamaged

OURS = "syncd keeps its ledger here"
_KNOWN_FORMAT = b"\x02"
"""Of a file's header, which a newer SQLite would raise: https://www.sqlite.org/fileformat.html, 1.3.3."""
_BESIDE = ("-wal", "-shm", "-journal")


def examine(connection: sqlite3.Connection, *, pages: bool) -> None:
    """Look over schema and seals, with `pages` over every page and index too (12 s for a million files).

    Raises LedgerDamaged, saying what was found.
    """
    try:
        as_written = _schema(connection) == _schema_of_a_fresh_one()
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) if pages else "ok"
        broken = connection.execute(
            f"SELECT id FROM transfer WHERE seal IS NOT NULL AND seal <> seal({SEALED}) LIMIT 1"
        ).fetchone()
        totals = connection.execute("SELECT id FROM totals").fetchall()
    except (sqlite3.Error, TypeError, OverflowError, UnicodeError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        raise LedgerDamaged(f"it cannot be read: {error}") from error
    if found != "ok":
        raise LedgerDamaged(" ".join(found.split())[:200])
    if not as_written or len(totals) != 1:
        raise LedgerDamaged("its tables are not what was written")
    if broken is not None:
        raise LedgerDamaged(f"row {broken[0]} is not what was written")


def examine_pages(path: Path, stop: threading.Event) -> str | None:
    """What is wrong with the pages of a ledger in use, by a connection that only reads; None if nothing is, or at a stop."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as reader:
            reader.set_progress_handler(lambda: int(stop.is_set()), 100_000)
            found = str(reader.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error) if not stop.is_set() and is_damage(error) else None
    return None if found == "ok" else " ".join(found.split())[:200]


def _schema(connection: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    """Every table and index by its words; comments and spaces do not matter, migrations leave others."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    return [(name, re.findall(r"\w+|\S", re.sub(r"--[^\n]*", "", sql or ""))) for name, sql in rows]


def _schema_of_a_fresh_one() -> list[tuple[str, list[str]]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(schema_sql())
        return _schema(fresh)


def condemn(path: Path, why: str) -> None:
    """Note that the file turned out to be damaged while it was in use; harmless to repeat, silent where it fails."""
    with contextlib.suppress(OSError):
        _condemned(path).write_text(why, "utf-8")


def known_damage(path: Path) -> str | None:
    """What is known to be wrong before SQLite opens it: condemned when last in use; empty, gone or foreign where one was kept."""
    with contextlib.suppress(OSError):
        return _condemned(path).read_text("utf-8", "replace")
    if not was_ours(path):
        return None
    try:
        return _seen_from_outside(path)
    except FileNotFoundError:
        return "the file was gone"
    except OSError:
        return None  # whoever opens it tells


def _seen_from_outside(path: Path) -> str | None:
    if not path.stat().st_size:
        return "the file was empty"
    with path.open("rb") as file:
        written_by = file.read(19)[18:]
    # SQLite would only read it then, and say nothing until the first write.
    return "its header is not what was written" if written_by > _KNOWN_FORMAT else None


def set_aside(path: Path, now: float) -> Path | None:
    """Rename the file and what SQLite keeps beside it, and sync that to disk; the new name, None if there was none."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = _free(path, f"damaged-{stamp}")
    there = [each for each in ("", *_BESIDE) if Path(f"{path}{each}").exists()]
    for each in there:
        Path(f"{path}{each}").rename(f"{aside}{each}")
    _condemned(path).unlink(missing_ok=True)
    sync_directory(path.parent)
    return aside if "" in there else None


def was_ours(path: Path) -> bool:
    """Whether a syncd has kept its ledger at this path before."""
    with contextlib.suppress(OSError):
        if OURS in Path(f"{path}.lock").read_text("ascii", "replace"):
            return True
    with contextlib.suppress(OSError), path.open("rb") as file:  # one from before there was that line
        return file.read(72)[68:] == APPLICATION_ID.to_bytes(4)
    return False


def sync_directory(directory: Path) -> None:
    """Names made or changed in it are on disk then."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _condemned(path: Path) -> Path:
    return Path(f"{path}.condemned")


def _free(path: Path, word: str) -> Path:
    """A name that nothing has yet."""
    number, aside = 1, Path(f"{path}.{word}")
    while aside.exists() or any(Path(f"{aside}{each}").exists() for each in _BESIDE):
        number += 1
        aside = Path(f"{path}.{word}-{number}")
    return aside
