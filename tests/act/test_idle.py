"""It costs nothing when there is nothing to do: every tick says how long nothing will be due."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.house import House, build_house

from syncd.errors import LockedOut, Refused, Transient


class Failing(FakeStore):
    """Every request fails alike."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    def put(self, *_: object) -> None:  # type: ignore[override]
        raise self.failure

    def head(self, *_: object) -> None:
        raise self.failure


def ticks_in(house: House, seconds: float) -> int:
    """How often the clerk has to come round in so much time."""
    end, ticks = house.clock.monotonic() + seconds, 0
    while house.clock.monotonic() < end:
        house.clock.advance(max(house.clerk.tick(), 0.0001))
        ticks += 1
    return ticks


@pytest.mark.parametrize(
    "failure",
    [
        None,
        LockedOut("403", code="permission"),
        Transient("no route", unreachable=True),
        Transient("503"),
        Refused("no"),
    ],
    ids=repr,
)
def test_ten_minutes_with_nothing_to_do_cost_a_few_hundred_rounds(
    tmp_path: Path, failure: Exception | None
) -> None:
    root = tmp_path / "inbox"
    root.mkdir()
    for number in range(5):
        (root / f"film {number}").write_bytes(b"abc")
    store = FakeStore() if failure is None else Failing(failure)
    house = build_house(root, tmp_path / "state" / "state.db", store)
    ticks_in(house, 60.0)
    assert ticks_in(house, 600.0) < 600
    house.world.ledger.close()


def test_a_closed_gate_with_no_work_due_is_no_reason_to_hurry(tmp_path: Path) -> None:
    root = tmp_path / "inbox"
    root.mkdir()
    (root / "film").write_bytes(b"abc")
    house = build_house(root, tmp_path / "state" / "state.db", Failing(LockedOut("403", code="permission")))
    for _ in range(20):
        house.tick()
    assert house.gate.closed() is not None
    (root / "film").unlink()
    house.rescan()
    ticks_in(house, 60.0)
    assert ticks_in(house, 600.0) < 600
    house.world.ledger.close()


def test_old_stories_are_forgotten_while_the_daemon_idles(house: House, root: Path) -> None:
    (root / "kept").write_bytes(b"12345")
    (root / "gone").write_bytes(b"54321")
    house.run()
    (root / "gone").unlink()
    house.rescan()
    house.run()
    for _ in range(3):
        house.clock.advance(91 * 86400.0 / 3)
        for _ in range(3):
            house.tick()
    assert set(house.states()) == {b"kept"}
    assert len(house.world.ledger.history(house.clerk.folders[0].policy.path, b"kept")) == 1
