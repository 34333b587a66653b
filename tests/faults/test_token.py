"""The device's token changes hands under the running daemon: rotated on disk, unknown to the API, and known again."""

from __future__ import annotations

from pathlib import Path

import pytest

from .scene import LARGE, KeptScene

MINUTES = 60.0
NEW = "tok-CANARY-the-next"


def token_file(kept: KeptScene) -> Path:
    return kept.root.parent / "token"


def test_a_token_that_is_rotated_on_disk_fetches_the_next_set(
    kept: KeptScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.run()
    monkeypatch.setattr(kept.line.endpoint, "token", NEW)
    token_file(kept).write_text(NEW + "\n")
    kept.clock.advance(700)  # of 900 s: a renewal is due
    kept.keep()
    known = kept.keeper.snapshot()
    assert (known.renewals, known.calls, known.state) == (2, 2, "ok")
    assert NEW in kept.keeper.secrets()
    kept.drop("large", LARGE)
    kept.arrives()


def test_a_token_that_the_api_knows_no_more_stops_nothing_before_the_set_ends_and_the_next_token_ends_the_wait(
    kept: KeptScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.run()
    monkeypatch.setattr(kept.line.endpoint, "token", NEW)
    kept.clock.advance(700)
    kept.keep()
    assert kept.keeper.snapshot().state == "stale"
    kept.drop("first", LARGE)
    kept.rescan()
    kept.run()
    assert kept.objects() == kept.files, "the old set was still valid"
    kept.clock.advance(10 * MINUTES)
    kept.drop("second", LARGE)
    kept.rescan()
    began = kept.waited()
    kept.run(until=lambda: kept.waited() > began + 10 * MINUTES)
    closed = kept.house.gate.closed()
    assert closed is not None
    assert closed.code == "credentials"
    assert "check token_file and device" in (closed.hint or "")
    assert kept.keeper.snapshot().state == "refused"
    assert kept.row("second").attempts == 0
    token_file(kept).write_text(NEW)
    kept.arrives()
    assert kept.house.gate.closed() is None
    assert kept.row("second").attempts == 0
