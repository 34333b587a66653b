"""What a ledger file is: made fresh or migrated to the same, refused where it is not ours, unable to hold nonsense."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock
from support.scribe import Scribe

from syncd.adapters.ledger import SqliteLedger, migrate, open_ledger, open_readonly
from syncd.errors import LedgerFailure, LedgerForeign
from syncd.model import State

Raw = Callable[..., list[Any]]

ROW: dict[str, Any] = {
    "folder": b"/f",
    "path": b"p",
    "dev": 1,
    "inode": 1,
    "size": 1,
    "mtime_ns": 1,
    "ctime_ns": 1,
    "state": "discovered",
    "discovered_at": 1.0,
}
PLANNED = ROW | {"state": "planned", "bucket": "b", "key": "k", "algorithm": "md5", "token": "t"}
PROVEN = PLANNED | {"state": "done", "proof_kind": "size", "etag": '"e"'}


def write(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def shape(path: Path) -> tuple[Any, ...]:
    connection = sqlite3.connect(path)
    schema = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
    plain = [
        (*row[:3], re.findall(r"\w+|\S", re.sub(r"--[^\n]*", "", row[3] or ""))) for row in schema.fetchall()
    ]
    pragmas = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
    ]
    totals = connection.execute("SELECT * FROM totals").fetchall()
    connection.close()
    return plain, pragmas, totals


def test_a_fresh_ledger_is_what_the_migrations_lead_to(tmp_path: Path, clock: FakeClock) -> None:
    open_ledger(tmp_path / "fresh.db", clock).close()
    connection = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    migrate._run(connection, migrate.migrations()[0], 1)
    connection.close()
    open_ledger(tmp_path / "old.db", clock).close()
    assert shape(tmp_path / "fresh.db") == shape(tmp_path / "old.db")
    assert shape(tmp_path / "fresh.db")[1] == [len(migrate.migrations()), 0x73796E63]


def test_opening_again_keeps_what_is_there(path: Path, clock: FakeClock) -> None:
    first = open_ledger(path, clock)
    identity = Scribe(first).bring(b"a", State.DONE)
    first.close()
    second = open_ledger(path, clock)
    kept = second.get(identity)
    second.close()
    assert kept is not None
    assert kept.state is State.DONE


def test_a_newer_ledger_is_refused_with_a_hint_and_left_alone(path: Path, clock: FakeClock) -> None:
    open_ledger(path, clock).close()
    write(path, "PRAGMA user_version = 99")
    for opened in (open_ledger, open_readonly):
        with pytest.raises(LedgerFailure, match="version 99") as refused:
            opened(path, clock)
        assert "newer syncd" in (refused.value.hint or "")
    assert shape(path)[1][0] == 99


def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "other.db"
    write(path, "CREATE TABLE recipes (name TEXT)")
    path.chmod(0o644)
    before = path.read_bytes()
    for opened in (open_ledger, open_readonly):
        with pytest.raises(LedgerFailure, match="no ledger of syncd") as refused:
            opened(path, clock)
        assert refused.value.hint
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    for _ in range(2):
        with pytest.raises(LedgerForeign, match="no ledger of syncd") as refused:
            open_ledger(path, clock)
        assert refused.value.hint
    assert path.read_text() == "remember the milk\n" * 100


def test_a_refused_ledger_is_not_held(path: Path, clock: FakeClock) -> None:
    open_ledger(path, clock).close()
    write(path, "PRAGMA user_version = 99")
    with pytest.raises(LedgerFailure):
        open_ledger(path, clock)
    write(path, f"PRAGMA user_version = {len(migrate.migrations())}")
    open_ledger(path, clock).close()


def test_the_file_and_those_beside_it_are_private(path: Path, ledger: SqliteLedger, scribe: Scribe) -> None:
    scribe.discover(b"a")
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in path.parent.iterdir()}
    assert modes == dict.fromkeys(["state.db", "state.db-shm", "state.db-wal", "state.db.lock"], 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_ledger_that_others_could_read_is_made_private(path: Path, clock: FakeClock) -> None:
    open_ledger(path, clock).close()
    path.chmod(0o664)
    open_ledger(path, clock).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_place_that_cannot_hold_a_ledger_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    for path in (tmp_path / "file" / "state.db", tmp_path / "directory"):
        with pytest.raises(LedgerFailure, match=re.escape(str(path))) as refused:
            open_ledger(path, clock)
        assert refused.value.hint


def test_it_is_opened_for_full_syncs_and_with_its_keys_enforced(raw: Raw) -> None:
    answers = [raw(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert answers == ["wal", 2, 1]


def insert(raw: Raw, row: dict[str, Any]) -> None:
    raw(f"INSERT INTO transfer ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())


def test_the_states_that_can_be_stored_are_those_of_the_model(raw: Raw) -> None:
    for number, state in enumerate(State):
        row = PROVEN | {"path": b"%d" % number, "key": f"{number}", "state": str(state), "part_size": 5}
        insert(raw, row | {"upload_id": "u"})
    stored = {row[0] for row in raw("SELECT state FROM transfer")}
    assert stored == {str(state) for state in State}
    listed = re.search(r"CHECK \(state IN \((.*?)\)\)", migrate.schema_sql(), re.DOTALL)
    assert listed is not None
    assert re.findall(r"'(\w+)'", listed[1]) == [str(state) for state in State]


@pytest.mark.parametrize("row", [ROW, PLANNED, PROVEN], ids=["discovered", "planned", "done"])
def test_sense_can_be_stored(raw: Raw, row: dict[str, Any]) -> None:
    insert(raw, row)


@pytest.mark.parametrize(
    "row",
    [
        ROW | {"path": b""},
        ROW | {"path": "text"},
        ROW | {"folder": None},
        ROW | {"size": -1},
        ROW | {"size": "many"},
        ROW | {"size": 1.5},
        ROW | {"state": "lost"},
        ROW | {"state": None},
        ROW | {"attempts": -1},
        ROW | {"discovered_at": "today"},
        ROW | {"state": "planned"},
        PLANNED | {"bucket": None},
        PLANNED | {"key": None},
        PLANNED | {"algorithm": None},
        PLANNED | {"algorithm": "crc16"},
        PLANNED | {"token": None},
        PLANNED | {"part_size": 0},
        PLANNED | {"if_none_match": 2},
        PLANNED | {"if_none_match": 1, "if_match": '"e"'},
        PLANNED | {"gone_at": 1.0},
        PLANNED | {"state": "creating"},
        PLANNED | {"state": "uploading", "part_size": 5},
        PLANNED | {"state": "uploading", "upload_id": "u"},
        PLANNED | {"state": "completing", "upload_id": "u"},
        PLANNED | {"state": "completing", "part_size": 5},
        PLANNED | {"state": "verified"},
        PLANNED | {"state": "done", "etag": '"e"'},
        PROVEN | {"etag": None},
        PROVEN | {"state": "verified", "proof_kind": None},
        PROVEN | {"proof_kind": "hope"},
    ],
    ids=lambda row: ",".join(f"{name}={value!r}" for name, value in row.items() if ROW.get(name) != value)[
        :60
    ],
)
def test_nonsense_cannot_be_stored(raw: Raw, row: dict[str, Any]) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(raw, row)
    assert raw("SELECT count(*) FROM transfer") == [(0,)]


@pytest.mark.parametrize(
    "values", [(0, 1, '"e"'), (10_001, 1, '"e"'), (1, -1, '"e"'), (1, 1, ""), (1, 1, None)], ids=str
)
def test_a_part_that_s3_cannot_have_acknowledged_cannot_be_stored(raw: Raw, values: tuple[Any, ...]) -> None:
    insert(raw, ROW)
    with pytest.raises(sqlite3.IntegrityError):
        raw("INSERT INTO part (transfer, number, size, etag) VALUES (1, ?, ?, ?)", *values)


def test_parts_and_history_belong_to_a_transfer(raw: Raw) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        raw("INSERT INTO part (transfer, number, size, etag) VALUES (7, 1, 1, '\"e\"')")
    with pytest.raises(sqlite3.IntegrityError):
        raw("INSERT INTO history (transfer, at, state, why) VALUES (7, 1.0, 'done', 'so')")


def test_there_is_one_row_of_totals(raw: Raw) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        raw("INSERT INTO totals (id) VALUES (2)")


def test_a_user_without_the_right_is_told_so(path: Path, clock: FakeClock) -> None:
    with pytest.raises(LedgerFailure, match="No such file") as missing:
        open_readonly(path, clock)
    assert missing.value.hint
    open_ledger(path, clock).close()
    refused = _as_nobody(path, clock)
    assert "no ledger to look into: Permission denied" in refused


def _as_nobody(path: Path, clock: FakeClock) -> str:
    """What opening says in a child that permissions hold back: nobody if we are root, else ourselves."""
    path.parent.chmod(0o000)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            open_readonly(path, clock)
        except LedgerFailure as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    path.parent.chmod(0o700)
    with os.fdopen(reading) as pipe:
        return pipe.read()
