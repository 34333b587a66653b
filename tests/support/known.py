"""A ledger that knows very many files without having sent them: copies of one that it has."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing

from support.rig import Rig

from syncd.adapters.ledger.rows import SEALED, seal


def make_known(device: Rig, number: int) -> None:
    """So many files, and in the ledger what there would be of each had it been uploaded: copies of the one that was."""
    with closing(sqlite3.connect(device.place / "state" / "state.db")) as ledger:
        ledger.row_factory = sqlite3.Row
        ledger.create_function("seal", -1, seal, deterministic=True)
        first = dict(ledger.execute("SELECT * FROM transfer").fetchone())
        told = [dict(row) for row in ledger.execute("SELECT at, state, why FROM history")][-1]
        names = ", ".join(first)
        into = f"INSERT INTO transfer ({names}) VALUES ({', '.join(f':{name}' for name in first)})"
        ledger.executemany(into, (known_row(device, first, each) for each in range(number)))
        ledger.execute(
            "INSERT INTO history (transfer, at, state, why) SELECT id, ?, ?, ? FROM transfer WHERE id > 1",
            (told["at"], told["state"], told["why"]),
        )
        ledger.execute(f"UPDATE transfer SET seal = seal({SEALED}) WHERE id > 1")
        ledger.commit()
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def known_row(device: Rig, first: dict[str, object], number: int) -> dict[str, object]:
    path = device.inbox / f"{number // 1000:03}" / f"{number % 1000:03}.bin"
    path.parent.mkdir(exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    status = path.stat()
    return {
        **first,
        "id": number + 2,
        "path": os.fsencode(path.relative_to(device.inbox)),
        "inode": status.st_ino,
        "size": 0,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "key": device.key_of(path),
        "token": secrets.token_hex(8),
        "etag": f'"{secrets.token_hex(16)}"',
    }
