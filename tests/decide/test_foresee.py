"""What would become of a file that is there: one forecast for each way it can stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.scribe import PROOF, fingerprint

from syncd.decide.foresee import Action, FileFacts, foresee
from syncd.decide.settle import SettlePolicy
from syncd.model import Algorithm, State, Transfer, Writer

NOW = 1_800_000_000.0
SEEN = fingerprint(mtime_ns=int((NOW - 3600) * 1e9))
CHANGED = replace(SEEN, size=31)
TOUCHED = replace(SEEN, ctime_ns=99)


def row(state: State, **known: Any) -> Transfer:
    usual: dict[str, Any] = {
        "id": 1,
        "folder": b"/f",
        "path": b"a",
        "fingerprint": SEEN,
        "discovered_at": NOW,
    }
    planned = {"bucket": "b", "key": "k", "algorithm": Algorithm.MD5, "token": "t", "proof": PROOF}
    return Transfer(**usual | planned | {"state": state} | known)


def facts(state: State | None = None, settle: SettlePolicy | None = None, **known: Any) -> FileFacts:
    usual: dict[str, Any] = {"now": NOW, "seen": SEEN, "row": None if state is None else row(state)}
    return FileFacts(**usual | {"settle": settle or SettlePolicy()} | known)


QUIET = "when it has stayed unchanged for 10 s"
CASES = {
    "never met": (facts(), Action.SEND, f"it was never met, {QUIET}"),
    "without a quiet time": (facts(settle=SettlePolicy(quiet_s=0.0)), Action.SEND, "it was never met"),
    "met": (facts(State.DISCOVERED), Action.SEND, f"it was met, {QUIET}"),
    "excluded": (facts(exclusion="no"), Action.EXCLUDED, "no"),
    "excluded but uploaded": (facts(State.DONE, exclusion="no"), Action.EXCLUDED, "no"),
    "excluded but begun": (
        facts(State.UPLOADING, exclusion="no"),
        Action.SEND,
        "its upload is begun and goes on",
    ),
    "open for writing": (facts(writer=Writer.OPEN), Action.WAIT, "a program has it open for writing"),
    "not to be told, but required": (
        facts(settle=SettlePolicy(require_answer=True)),
        Action.WAIT,
        "whether a program has it open for writing cannot be told here",
    ),
    "no marker": (
        facts(settle=SettlePolicy(marker="{name}.done"), marker_there=False),
        Action.WAIT,
        "its marker {name}.done is not there",
    ),
    "written just now": (
        facts(seen=replace(SEEN, mtime_ns=int((NOW - 3) * 1e9))),
        Action.WAIT,
        "it changed 3 s ago and must stay unchanged for 10 s",
    ),
    "of the future": (
        facts(seen=replace(SEEN, mtime_ns=int((NOW + 99) * 1e9))),
        Action.SEND,
        f"it was never met, {QUIET}",
    ),
    "changed since the last look": (
        facts(State.SETTLED, seen=CHANGED),
        Action.WAIT,
        "it changed since the last look",
    ),
    "finished": (facts(State.SETTLED), Action.SEND, "it is finished"),
    "an impossible key": (facts(State.SETTLED, refusal="too long"), Action.PARK, "too long"),
    "an impossible key of a new file": (facts(refusal="too long"), Action.PARK, "too long"),
    "parked": (facts(row=row(State.PLANNED, parked_reason="no")), Action.PARKED, "no"),
    "parked, then changed": (
        facts(row=row(State.SETTLED, parked_reason="no"), seen=CHANGED),
        Action.WAIT,
        "it changed since the last look",
    ),
    "planned": (facts(State.PLANNED), Action.SEND, "it is queued"),
    "waiting for its next try": (
        facts(row=row(State.UPLOADING, not_before=NOW + 60)),
        Action.SEND,
        "its upload is begun and goes on, tried again at 2027-01-15T08:01:00Z",
    ),
    "changed under its upload": (
        facts(State.UPLOADING, seen=CHANGED),
        Action.WAIT,
        "it changed since its upload was begun, which is given up",
    ),
    "touched under its upload": (
        facts(State.UPLOADING, seen=TOUCHED),
        Action.SEND,
        "its upload is begun and goes on",
    ),
    "uploaded": (
        facts(row=row(State.DONE, finished_at=NOW)),
        Action.KNOWN,
        "it is uploaded since 2027-01-15T08:00:00Z",
    ),
    "to be put away": (facts(State.VERIFIED), Action.KNOWN, "it is uploaded"),
    "touched since": (
        facts(State.DONE, seen=TOUCHED),
        Action.COMPARE,
        "its times or inode changed since its upload",
    ),
    "changed since": (facts(State.DONE, seen=CHANGED), Action.SEND, f"it changed since its upload, {QUIET}"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_way_to_stand_has_its_forecast(case: str) -> None:
    known, action, why = CASES[case]
    said = foresee(known)
    assert (said.action, said.why) == (action, why)
