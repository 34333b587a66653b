"""A ledger that is damaged or lost: noticed, set aside whole, begun anew, told; what was never ours is not touched."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.scribe import Scribe
from support.tally import chance, count, sized

from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.errors import LedgerAway, LedgerDamaged, LedgerFailure, LedgerForeign
from syncd.model import State

Harm = Callable[[Path], None]


def fill(path: Path, clock: FakeClock, files: int = 40) -> None:
    ledger = open_ledger(path, clock)
    scribe = Scribe(ledger)
    for number in range(files):
        scribe.bring(b"film-%d" % number, State.DONE, inode=number + 1)
    ledger.close()


def cut_in_half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def change_a_row(path: Path) -> None:
    """As if one byte of a key had flipped: SQLite itself sees nothing wrong."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE transfer SET key = key || 'x' WHERE id = 7")
    connection.commit()
    connection.close()


HARMS: dict[str, Harm] = {
    "cut in half": cut_in_half,
    "emptied": lambda path: path.write_bytes(b"") and None,  # type: ignore[func-returns-value]
    "deleted": Path.unlink,
    "its header overwritten": lambda path: overwrite(path, 0, b"\x00" * 64),
    "a page overwritten": lambda path: overwrite(path, 4096, b"\xff" * 4096),
    "its application id flipped": lambda path: overwrite(path, 68, b"\x01"),
    "its write format flipped": lambda path: overwrite(path, 18, b"\x06"),
    "its schema format flipped": lambda path: overwrite(path, 47, b"\x44"),
    "its version flipped below zero": lambda path: overwrite(path, 60, b"\x80"),
    "its version flipped to none": lambda path: overwrite(path, 60, bytes(4)),
    "its version flipped to an older one": lambda path: overwrite(path, 60, b"\0\0\0\1"),
    "a key flipped": change_a_row,
    "another program's junk in it": lambda path: path.write_bytes(b"remember the milk\n" * 1000) and None,  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_ledger_that_was_harmed_is_set_aside_and_begun_anew(
    path: Path, clock: FakeClock, harm: Harm
) -> None:
    fill(path, clock)
    harm(path)
    harmed = path.read_bytes() if path.exists() else None
    ledger = open_ledger(path, clock)
    try:
        assert ledger.last_id() == 0
        told = ledger.totals()
        assert told.begun_at == clock.now()
        assert told.begun_because
    finally:
        ledger.close()
    aside = list(path.parent.glob("state.db.damaged-20270115T080000Z"))
    assert [item.read_bytes() for item in aside] == ([] if harmed is None else [harmed])
    assert all(str(item) in told.begun_because for item in aside)
    again = open_ledger(path, clock)  # once is enough
    assert again.totals() == told
    again.close()


def test_a_ledger_in_order_is_kept(path: Path, clock: FakeClock) -> None:
    fill(path, clock)
    ledger = open_ledger(path, clock)
    assert ledger.last_id() == 40
    assert ledger.totals().begun_at is None
    ledger.close()
    assert not list(path.parent.glob("*.damaged-*"))


def test_what_was_set_aside_before_is_not_overwritten(path: Path, clock: FakeClock) -> None:
    for _ in range(3):
        fill(path, clock)
        cut_in_half(path)
        open_ledger(path, clock).close()
    assert len(list(path.parent.glob("state.db.damaged-*"))) == 3


def test_damage_that_shows_while_the_ledger_is_in_use_condemns_it(path: Path, clock: FakeClock) -> None:
    fill(path, clock, files=400)
    ledger = open_ledger(path, clock)
    ledger._connection.execute("PRAGMA cache_size = 1")
    overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(LedgerDamaged) as damaged:
        ledger.between(b"/srv/capture", b"", None, 10_000)
    ledger.condemn(str(damaged.value))
    ledger.close()
    fresh = open_ledger(path, clock)
    assert fresh.last_id() == 0
    assert "malformed" in (fresh.totals().begun_because or "")
    fresh.close()


def test_a_ledger_from_before_seals_is_opened_and_not_suspected(path: Path, clock: FakeClock) -> None:
    fill(path, clock)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE transfer SET seal = NULL, key = 'changed by hand' WHERE id = 3")
    connection.commit()
    connection.close()
    ledger = open_ledger(path, clock)
    assert ledger.last_id() == 40
    ledger.close()


FLIPPED = sized(30, 300)
"""Trials of each round."""


@pytest.mark.parametrize(
    "round_", [0, *(pytest.param(number, marks=pytest.mark.torture) for number in range(1, 5))]
)
def test_flipped_bytes_never_end_in_anything_but_a_ledger(
    tmp_path: Path, clock: FakeClock, round_: int
) -> None:
    fill(tmp_path / "whole" / "state.db", clock)
    whole = (tmp_path / "whole" / "state.db").read_bytes()
    luck = chance("flipped bytes", round_)
    outcomes, told = [], set()
    for trial in range(FLIPPED):
        path = tmp_path / f"trial-{trial}" / "state.db"
        shutil.copytree(tmp_path / "whole", path.parent)
        data = bytearray(whole)
        within = len(data) if trial % 4 else 100  # the header is small, and each of its bytes counts
        for _ in range(luck.randrange(1, 6)):
            data[luck.randrange(within)] ^= 1 << luck.randrange(8)
        path.write_bytes(bytes(data))
        try:
            ledger = open_ledger(path, clock)
        except LedgerForeign as newer:  # the version number was hit: that is left to a person
            told.add(str(newer))
            continue
        rows = ledger.between(b"/srv/capture", b"", None, 1000)
        assert all(row.key == row.path.decode() for row in rows), f"a flip went unnoticed in trial {trial}"
        outcomes.append(ledger.totals().begun_at is not None)
        assert len(rows) == (0 if outcomes[-1] else 40)
        Scribe(ledger).discover(b"new")
        ledger.close()
        shutil.rmtree(path.parent)
        count("trials")
    assert all("has version" in each for each in told)
    assert set(outcomes) == {True, False}, "some flips hit what is free or only told, others what counts"


def test_a_disk_that_is_mounted_read_only_is_waited_for(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(LedgerAway, match="Read-only file system"):
        open_ledger(path, clock)


def test_a_place_that_can_never_hold_a_ledger_is_not_waited_for(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(LedgerFailure) as failure:
        open_ledger(tmp_path / "file" / "state.db", clock)
    assert not isinstance(failure.value, LedgerAway)


def test_the_seal_follows_every_change(path: Path, ledger: SqliteLedger, scribe: Scribe) -> None:
    scribe.bring(b"a", State.DONE)
    scribe.bring(b"b", State.UPLOADING)
    rows = ledger._connection.execute("SELECT count(*) FROM transfer WHERE seal IS NOT NULL").fetchone()
    assert rows[0] == 2


def test_a_large_ledger_is_looked_over_while_it_is_in_use_and_damage_fails_the_next_commit(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, clock)
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'by_path'").fetchone()
    connection.close()
    page = (root - 1) * 4096
    data = path.read_bytes()
    at = data.index(b"film-", page, page + 4096)
    overwrite(path, at, b"gilm-")  # the index now names a file that the table does not
    monkeypatch.setattr("syncd.adapters.ledger.store.EXAMINED_AT_ONCE", 0)
    ledger = open_ledger(path, clock)
    try:
        assert ledger.last_id() == 40
        assert ledger._examiner is not None
        ledger._examiner.join(10)
        with pytest.raises(LedgerDamaged, match="index by_path"):
            Scribe(ledger).discover(b"new")
    finally:
        ledger.close()
