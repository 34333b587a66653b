"""The status document against the contract: its keys, its state in one word, its reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.moments import NOW, counts

from syncd.console.facts import Closed, CredentialFacts, FolderFacts, StatusFacts, TransferFacts
from syncd.console.status import moment, state_of, status_document
from syncd.model import Pause, State, Totals

SHAPE: Any = {
    "version": None,
    "device": None,
    "state": None,
    "reasons": [{"code", "text", "hint", "since"}],
    "started_at": None,
    "last_success_at": None,
    "oldest_pending_s": None,
    "credentials": {"source", "expires_at", "renewed_at", "state"},
    "clock_offset_s": None,
    "counts": {*(state.value for state in State), "parked", "pending"},
    "bytes": {"pending", "sent_total", "resent_total"},
    "possible_orphans": None,
    "folders": [
        {"name", "path", "state", "reason", "watch", "open_check", "last_scan_at", "files", "free_bytes"}
    ],
    "transfers_total": None,
    "transfers": [{"path", "key", "size", "sent", "parts_done", "parts_total", "bytes_per_s", "eta_s"}],
}


OK = CredentialFacts(source="api.example.com", state="ok", expires_at=NOW + 600, renewed_at=NOW - 60)
INBOX = FolderFacts(name="inbox", path="/srv/inbox", state="ok", watch="inotify", last_scan_at=NOW - 5)
GONE = replace(INBOX, state="blocked", reason="/srv/inbox does not exist", hint="mount it")
FLYING = TransferFacts(
    path="/srv/inbox/a", key="cam/a", size=1000, sent=250, parts_done=1, parts_total=4, bytes_per_s=50.4
)


def facts(**known: Any) -> StatusFacts:
    usual: dict[str, Any] = {
        "now": NOW,
        "version": "1.2.3",
        "device": "cam",
        "running": True,
        "credentials": OK,
        "counts": counts(),
        "totals": Totals(),
        "folders": (INBOX,),
    }
    return StatusFacts(**usual | known)


def closed(code: str) -> Closed:
    return Closed(code=code, text=f"trouble with {code}", hint="mend it", since=NOW - 9)


def codes(known: StatusFacts) -> list[str]:
    return [reason["code"] for reason in status_document(known)["reasons"]]


@pytest.mark.parametrize(
    "known",
    [
        facts(),
        facts(
            running=False,
            credentials=CredentialFacts(source="x"),
            folders=(replace(INBOX, watch=None, last_scan_at=None, free_bytes=None),),
        ),
        facts(
            closed=closed("bucket"),
            counts=counts(uploading=2, parked=1),
            transfers_total=1,
            transfers=(FLYING,),
            started_at=NOW,
        ),
    ],
)
def test_the_document_has_exactly_the_keys_of_the_contract(known: StatusFacts) -> None:
    document = status_document(known)
    assert list(document) == list(SHAPE)
    for name in ("credentials", "counts", "bytes"):
        assert set(document[name]) == SHAPE[name]
    for name in ("reasons", "folders", "transfers"):
        assert all(set(each) == SHAPE[name][0] for each in document[name])


def test_times_are_utc_with_z_and_what_is_absent_is_null() -> None:
    document = status_document(facts(started_at=NOW))
    assert document["started_at"] == "2027-01-15T08:00:00.000Z"
    assert document["credentials"]["expires_at"] == "2027-01-15T08:10:00.000Z"
    assert document["last_success_at"] is None
    assert document["oldest_pending_s"] is None
    assert moment(1e300) is None


def test_numbers_come_from_ledger_and_board() -> None:
    document = status_document(
        facts(
            counts=counts(uploading=2, done=5, parked=3),
            totals=Totals(sent_bytes=7, resent_bytes=1, possible_orphans=2, last_success_at=NOW),
            transfers_total=61,
            transfers=(FLYING,) * 61,
        )
    )
    assert (document["counts"]["uploading"], document["counts"]["done"]) == (2, 5)
    assert (document["counts"]["parked"], document["counts"]["pending"]) == (3, 2)
    assert document["bytes"] == {"pending": 200, "sent_total": 7, "resent_total": 1}
    assert (document["possible_orphans"], document["oldest_pending_s"]) == (2, 30)
    assert (document["transfers_total"], len(document["transfers"])) == (61, 50)
    assert (document["transfers"][0]["bytes_per_s"], document["transfers"][0]["eta_s"]) == (50, 15)


def test_a_transfer_without_a_pace_has_no_time_left() -> None:
    [flying] = status_document(facts(transfers=(replace(FLYING, bytes_per_s=None),)))["transfers"]
    assert (flying["bytes_per_s"], flying["eta_s"]) == (None, None)


REFUSED = replace(OK, state="refused", failure="401", hint="new token", since=NOW - 3)
UNASKED = CredentialFacts(source="api.example.com")
STATES = {
    "nobody runs": (facts(running=False, counts=counts(settled=1)), "stopped"),
    "paused": (facts(paused=Pause(since=NOW - 3), counts=counts(settled=1), due=True, in_hand=1), "paused"),
    "paused and locked out": (facts(paused=Pause(since=NOW), closed=closed("bucket")), "paused"),
    "paused and not running": (facts(paused=Pause(since=NOW), running=False), "stopped"),
    "nothing to do": (facts(counts=counts(done=9)), "idle"),
    "only parked": (facts(counts=counts(parked=2)), "idle"),
    "in hand": (facts(counts=counts(uploading=1), in_hand=1), "working"),
    "due": (facts(counts=counts(settled=1), due=True), "working"),
    "first scan": (facts(folders=(replace(INBOX, state="scanning", last_scan_at=None),)), "working"),
    "a later scan": (facts(folders=(replace(INBOX, state="scanning"),)), "idle"),
    "reading again": (facts(reading_again=1), "working"),
    "settling": (facts(counts=counts(discovered=1)), "waiting"),
    "next try": (facts(counts=counts(uploading=1), next_try_at=NOW + 9), "waiting"),
    "network away": (facts(counts=counts(uploading=1), in_hand=1, closed=closed("network")), "waiting"),
    "locked out": (facts(counts=counts(uploading=1), in_hand=1, closed=closed("permission")), "blocked"),
    "all folders away": (facts(folders=(GONE,)), "blocked"),
    "ledger's disk full": (facts(counts=counts(settled=1), ledger_full="disk full"), "blocked"),
    "ledger cannot be opened": (facts(closed=closed("ledger")), "blocked"),
    "one folder away": (facts(folders=(GONE, INBOX)), "waiting"),
    "a folder not to be seen whole": (
        facts(counts=counts(done=9), folders=(replace(INBOX, state="waiting", reason="replaced"),)),
        "waiting",
    ),
    "refused with work": (facts(credentials=REFUSED, counts=counts(settled=1), due=True), "blocked"),
    "refused without work": (facts(credentials=REFUSED), "idle"),
    "none, and asked for": (
        facts(credentials=replace(UNASKED, failure="no route"), counts=counts(settled=1)),
        "blocked",
    ),
    "none yet": (facts(credentials=UNASKED, counts=counts(discovered=1)), "waiting"),
    "none yet, and something tried": (
        facts(credentials=UNASKED, closed=closed("credentials"), counts=counts(settled=1), due=True),
        "waiting",
    ),
    "renewed and refused by S3": (
        facts(credentials=replace(UNASKED, state="expired"), closed=closed("credentials")),
        "blocked",
    ),
    "stale": (
        facts(credentials=replace(OK, state="stale", failure="503"), counts=counts(settled=1), due=True),
        "working",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_one_word_says_how_things_stand(case: str) -> None:
    known, state = STATES[case]
    assert state_of(known) == state


def test_every_trouble_is_a_reason_with_its_code() -> None:
    known = facts(
        closed=closed("clock"),
        credentials=REFUSED,
        counts=counts(discovered=2, parked=1),
        folders=(GONE, replace(INBOX, watch="degraded")),
        checksum_ignored=True,
        reading_again=4,
        settling_since=NOW - 50,
    )
    expected = ["clock", "credentials", "folder", "parked", "settling", "checksum_ignored", "reading_again"]
    assert codes(known) == [*expected, "watch_degraded"]


def test_a_folder_that_should_be_watched_and_is_not_says_so() -> None:
    unwatched = replace(INBOX, watch="poll", to_be_watched=True)
    assert codes(facts(folders=(unwatched,))) == ["watch_degraded"]
    for fine in (
        replace(unwatched, to_be_watched=False),
        replace(unwatched, watch="inotify"),
        replace(unwatched, last_scan_at=None, state="scanning"),
    ):
        assert codes(facts(folders=(fine,))) == []


def test_a_ledger_that_was_begun_anew_is_told_for_a_week() -> None:
    begun = Totals(begun_at=NOW - 3600, begun_because="the file was gone")
    [reason] = status_document(facts(totals=begun))["reasons"]
    assert reason["code"] == "ledger_begun_anew"
    assert "the file was gone" in reason["text"]
    assert codes(facts(totals=replace(begun, begun_at=NOW - 8 * 86400))) == []


def test_a_full_disk_of_the_ledger_is_told_first() -> None:
    assert codes(facts(ledger_full="the ledger failed: full", closed=closed("bucket"))) == [
        "ledger_full",
        "bucket",
    ]


def test_all_is_well_without_a_reason() -> None:
    assert codes(facts(counts=counts(done=3))) == []


def test_reasons_carry_the_hint_and_since_when() -> None:
    [reason] = status_document(facts(closed=closed("bucket")))["reasons"]
    assert reason == {
        "code": "bucket",
        "text": "trouble with bucket",
        "hint": "mend it",
        "since": "2027-01-15T07:59:51.000Z",
    }


def test_missing_credentials_are_told_once() -> None:
    assert codes(facts(closed=closed("credentials"), credentials=REFUSED)) == ["credentials"]


def test_without_a_daemon_one_reason_says_so_and_not_every_folder() -> None:
    idle = replace(INBOX, state="waiting", reason="syncd is not running")
    assert codes(facts(running=False, folders=(idle, idle, GONE))) == ["not_running", "folder"]
