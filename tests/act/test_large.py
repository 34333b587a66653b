"""Thousands of parts: what was acknowledged before a kill is not sent again, whoever knows of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.fake_store import FakeStore
from support.house import BUCKET, build_house

PARTS = 2500


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.torture
def test_a_resumed_upload_of_2500_parts_sends_none_again_that_was_acknowledged(tmp_path: Path) -> None:
    root = tmp_path / "inbox"
    root.mkdir()
    data = b"".join(b"%05d" % number for number in range(PARTS))
    (root / "film").write_bytes(data)
    store = FakeStore()
    state = tmp_path / "state" / "state.db"

    def kill(number: int) -> None:
        if number == 1700:
            raise Killed

    store.after_part = kill
    first = build_house(root, state, store)
    with pytest.raises(Killed):
        first.run()
    assert len(first.world.ledger.parts(1)) == 1699, "the ledger did not hear of the last one"
    first.world.ledger.close()
    store.after_part = lambda number: None
    second = build_house(root, state, store)
    second.run()
    received = Counter(number for _, number, _ in store.part_bodies)
    assert set(received.values()) == {1}
    assert store.objects[BUCKET, "cam/inbox/film"].data == data
    assert len(store.writes) == 1
    second.world.ledger.close()
