"""A device that records for months: what is known of files that are gone goes after its time, and the ledger stays as large."""

from __future__ import annotations

from pathlib import Path

from support.fake_store import FakeStore
from support.house import House

from syncd.model import State

MONTH = 30 * 86400.0
FILM = b"0123456789ab"  # three parts


def size_of(house: House) -> dict[str, int]:
    """Rows of every table that files write to, and pages of the file."""
    ask = house.world.ledger._connection.execute
    tables = ("transfer", "part", "history", "abort_queue")
    rows = {table: ask(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    return rows | {"pages": ask("PRAGMA page_count").fetchone()[0]}


def a_month(house: House, root: Path, store: FakeStore, number: int) -> None:
    """Six films come, those of last month are gone; one file is written anew, one goes before it is sent."""
    for old in root.glob("film *"):
        old.unlink()
    for each in range(6):
        (root / f"film {number}-{each}").write_bytes(FILM)
    (root / "log").write_bytes(b"month %d" % number)
    (root / f"gone {number}").write_bytes(FILM)
    gone = (root / f"gone {number}").unlink
    store.after_part = lambda _: gone(missing_ok=True)
    house.rescan()
    house.run()
    house.rescan()
    house.run()
    house.clock.advance(MONTH)
    for _ in range(5):
        house.tick()


def test_over_months_of_files_that_come_and_go_the_ledger_grows_no_further_than_its_retention(
    house: House, store: FakeStore, root: Path
) -> None:
    (root / "kept").write_bytes(FILM)
    house.run()
    seen = []
    for number in range(8):
        a_month(house, root, store, number)
        seen.append(size_of(house))
    assert house.world.retention_s == 3 * MONTH
    assert seen[0]["transfer"] < seen[2]["transfer"], "for three months they are remembered"
    pages = [month.pop("pages") for month in seen]
    assert seen[-1] == seen[-2] == seen[4]
    assert pages[-1] <= pages[4] + 2  # how rows lie in them is chance
    assert seen[-1]["part"] == seen[-1]["abort_queue"] == 0
    assert house.row("kept").state is State.DONE
    assert len(house.world.ledger.history(bytes(root), b"kept")) == 1
