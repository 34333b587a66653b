"""Uploads whose answer was lost are found by their time, which is the server's; ours may be hours off."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clock import START, FakeClock
from support.fake_store import FakeStore
from support.house import build_house

from syncd.adapters.server_time import LearntTime
from syncd.errors import Transient
from syncd.model import Target

HOUR = 3600.0


class Lost(Transient):
    lost = True


class Forgetful(FakeStore):
    """Loses the answer to the first Create, and dates uploads by the true time."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = 1

    def create(self, target: Target) -> str:
        upload_id = super().create(target)
        if self.losses:
            self.losses -= 1
            raise Lost("no answer")
        return upload_id

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        found = super().list_uploads(bucket, key)
        return None if found is None else [(upload_id, START) for upload_id, _ in found]


@pytest.mark.parametrize(
    "ahead",
    [0.0, -5 * HOUR, 5 * HOUR],
)
def test_an_upload_whose_answer_was_lost_is_aborted_whatever_our_clock_says(
    tmp_path: Path, ahead: float
) -> None:
    store, inbox = Forgetful(), tmp_path / "inbox"
    inbox.mkdir()
    clock = FakeClock(START + ahead)
    learnt = LearntTime(clock)
    learnt.heard(START, source="api", asked_at=clock.boottime())
    house = build_house(inbox, tmp_path / "state" / "state.db", store, clock=clock, server_time=learnt)
    house.run()  # what the first scan finds is looked for in another way
    (inbox / "film").write_bytes(b"0123456789ab")
    house.rescan()
    house.run()
    assert len(store.writes) == 1
    assert store.uploads == {}
