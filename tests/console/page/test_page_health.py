"""Healthy: something got on lately, or nothing is to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.moments import NOW, counts, readings

from syncd.console.facts import Closed
from syncd.console.page.health import unwell
from syncd.console.status import status_document
from syncd.model import Pause

LATE = 601.0
NETWORK = Closed(code="network", text="no route", hint=None, since=NOW - 5000)
DENIED = Closed(code="permission", text="s3:PutObject is denied", hint="allow it", since=NOW - 5000)
READY: dict[str, Any] = {"counts": counts(settled=1), "work_since": NOW - 5000}


def sentence(**known: Any) -> str | None:
    made = readings(**known)
    return unwell(made, status_document(made.status))


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"moved_s": 1e6},
        {"moved_s": 1e6, "counts": counts(parked=5, done=3)},
        {"moved_s": 1e6, "counts": counts(discovered=1)},
        {"moved_s": 1e6, "counts": counts(verified=9)},
        {**READY, "moved_s": 599.0},
        {**READY, "moved_s": LATE, "work_since": NOW - 599},
        {**READY, "moved_s": LATE, "paused": Pause(since=NOW - 5000)},
        {**READY, "moved_s": 10.0, "closed": NETWORK},
        {"moved_s": 1e6, "counts": counts(settled=1), "closed": replace(DENIED, since=NOW - 2)},
    ],
    ids=str,
)
def test_it_is_well(known: dict[str, Any]) -> None:
    assert sentence(**known) is None


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({**READY, "moved_s": LATE}, "nothing has got on for 10 min 1 s: syncd on cam is waiting"),
        ({**READY, "moved_s": LATE, "closed": NETWORK}, "no route"),
        ({**READY, "moved_s": LATE, "closed": DENIED}, "blocked: s3:PutObject is denied"),
        ({"moved_s": LATE, "ledger_full": "no space"}, "blocked: no space"),
        ({"round_s": LATE}, "has not come round"),
        ({"round_s": LATE, "paused": Pause(since=NOW)}, "has not come round"),
    ],
)
def test_it_is_not_and_says_why(known: dict[str, Any], said: str) -> None:
    assert said in (sentence(**known) or "")
