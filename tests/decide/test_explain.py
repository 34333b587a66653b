"""One true sentence for every path: what is said for which facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.decide import words
from syncd.decide.explain import ExplainFacts, FolderFacts, Kind, explain
from syncd.decide.settle import SettlePolicy
from syncd.model import Algorithm, Fingerprint, Proof, ProofKind, State, Transfer, Writer

NOW = 1_800_000_000.0
SEEN = Fingerprint(dev=1, inode=2, size=50_000_000, mtime_ns=4, ctime_ns=5)
INBOX = FolderFacts(name="inbox", settle=SettlePolicy(quiet_s=10.0), last_scan_at=NOW - 60)
PROOF = Proof(ProofKind.CHECKSUM, "crc64nvme abc=", "HEAD shows our checksum")


def row(state: State, **columns: Any) -> Transfer:
    known: dict[str, Any] = {
        "id": 7,
        "folder": b"/srv/inbox",
        "path": b"a.bin",
        "fingerprint": SEEN,
        "state": state,
        "discovered_at": NOW - 30,
    }
    if state not in {State.DISCOVERED, State.SETTLED}:
        known |= {"bucket": "b", "key": "cam/a.bin", "part_size": 16_000_000, "algorithm": Algorithm.MD5}
    if state in {State.VERIFIED, State.DONE}:
        known |= {"proof": PROOF, "finished_at": NOW - 5}
    return Transfer(**known | columns)


def facts(**known: Any) -> ExplainFacts:
    usual: dict[str, Any] = {
        "now": NOW,
        "running": True,
        "watched": ("/srv/inbox",),
        "folder": INBOX,
        "kind": Kind.FILE,
    }
    return ExplainFacts(**usual | known)


def of_row(state: State, columns: dict[str, Any] | None = None, **known: Any) -> ExplainFacts:
    return facts(**{"row": row(state, **columns or {}), "seen": SEEN, "since_first_s": 3.0} | known)


GROWN = replace(SEEN, size=50_000_001)
TOUCHED = replace(SEEN, ctime_ns=6)
BLOCKED = replace(INBOX, trouble="/srv/inbox does not exist", hint="mount it")
EXCLUDED = replace(INBOX, exclusion="the exclude pattern '*.tmp' matches")

SENTENCES = {
    "outside": (
        facts(folder=None),
        "outside",
        "It lies outside every watched folder, so syncd leaves it alone.",
    ),
    "excluded": (
        facts(folder=EXCLUDED),
        "excluded",
        "It is not taken: the exclude pattern '*.tmp' matches.",
    ),
    "excluded directory": (
        facts(folder=EXCLUDED, kind=Kind.DIRECTORY),
        "excluded",
        "It is a directory that is not entered: the exclude pattern '*.tmp' matches.",
    ),
    "excluded after it was queued": (
        of_row(State.SETTLED, folder=EXCLUDED),
        "excluded",
        "It is not taken: the exclude pattern '*.tmp' matches.",
    ),
    "the folder itself": (
        facts(is_root=True, kind=Kind.DIRECTORY),
        "unknown",
        "It is the watched folder inbox, last scanned at 2027-01-15T07:59:00Z; ask for a file in it.",
    ),
    "never met": (
        facts(seen=SEEN),
        "unknown",
        "It is there, but no scan has met it yet; the folder is scanned every 5 min, last scanned at 2027-01-15T07:59:00Z.",
    ),
    "never met, nobody runs": (
        facts(seen=SEEN, running=False),
        "unknown",
        "It is there, but no scan has met it yet, and syncd is not running.",
    ),
    "not there": (
        facts(kind=Kind.MISSING),
        "unknown",
        "There is no such file, and none was ever seen at this path.",
    ),
    "directory": (
        facts(kind=Kind.DIRECTORY),
        "unknown",
        "It is a directory; each file in it has a story of its own.",
    ),
    "symlink": (
        facts(kind=Kind.SYMLINK),
        "unknown",
        "It is a symlink, and syncd takes regular files only.",
    ),
    "behind a symlink": (
        facts(kind=Kind.BEHIND_SYMLINK),
        "unknown",
        "A directory above it is a symlink, and syncd follows none beneath a folder.",
    ),
    "a pipe": (
        facts(kind=Kind.OTHER),
        "unknown",
        "It is no regular file (a socket, a pipe or a device), and only those are taken.",
    ),
    "never met in a folder that is away": (
        facts(folder=BLOCKED, kind=Kind.NOT_ASKED),
        "unknown",
        "It was never seen, and its folder inbox waits: /srv/inbox does not exist.",
    ),
    "quiet time": (
        of_row(State.DISCOVERED),
        "discovered",
        "It must stay unchanged for 10 s; it has been so for 3 s, and the next look is in 7 s.",
    ),
    "growing": (
        of_row(State.DISCOVERED, seen=GROWN),
        "discovered",
        (
            "It is still being written: it changed since the last look (50,000,000 bytes then, 50,000,001 now), "
            "so its quiet time begins anew."
        ),
    ),
    "touched": (
        of_row(State.DISCOVERED, seen=TOUCHED),
        "discovered",
        "It is still being written: it changed since the last look, so its quiet time begins anew.",
    ),
    "open for writing": (
        of_row(State.DISCOVERED, since_first_s=12.0, writer=Writer.OPEN),
        "discovered",
        "It has not changed for 12 s, but a program has it open for writing; the next look is within 10 s.",
    ),
    "marker missing": (
        of_row(
            State.DISCOVERED,
            since_first_s=75.0,
            marker_there=False,
            folder=replace(INBOX, settle=SettlePolicy(quiet_s=10.0, marker="{name}.done")),
        ),
        "discovered",
        "It has not changed for 1 min 15 s, but its marker a.bin.done is not there; the next look is within 10 s.",
    ),
    "about to settle": (
        of_row(State.DISCOVERED, since_first_s=10.0, writer=Writer.NONE),
        "discovered",
        "It is finished, and the next look, about now, puts it into the queue.",
    ),
    "not looked at since the start": (
        of_row(State.DISCOVERED, since_first_s=None),
        "discovered",
        "It was met at 2027-01-15T07:59:30Z and is not known to be finished; its first look since syncd started is to come.",
    ),
    "unfinished, nobody runs": (
        of_row(State.DISCOVERED, since_first_s=None, running=False),
        "discovered",
        (
            "It was met at 2027-01-15T07:59:30Z and is not known to be finished; syncd is not running, "
            "and then it must stay unchanged for 10 s."
        ),
    ),
    "met and gone": (
        of_row(State.DISCOVERED, seen=None, kind=Kind.MISSING),
        "discovered",
        "It was met but is not there now; the next scan decides.",
    ),
    "next": (of_row(State.SETTLED, ahead=0), "settled", "It is finished and queued; it is next."),
    "one before it": (
        of_row(State.SETTLED, ahead=1),
        "settled",
        "It is finished and queued; 1 file is before it.",
    ),
    "some before it": (
        of_row(State.SETTLED, ahead=12),
        "settled",
        "It is finished and queued; 12 files are before it.",
    ),
    "many before it": (
        of_row(State.SETTLED, ahead=1000),
        "settled",
        "It is finished and queued; at least 1,000 files are before it.",
    ),
    "destination away": (
        of_row(State.SETTLED, closed=("the bucket is not there", "make it")),
        "settled",
        "It is finished and queued; the destination takes nothing now: the bucket is not there.",
    ),
    "queued and changed": (
        of_row(State.SETTLED, seen=GROWN, ahead=0),
        "settled",
        "It is finished and queued; it is next; it has changed since, so it will be looked at again first.",
    ),
    "folder away": (
        of_row(
            State.UPLOADING, folder=BLOCKED, kind=Kind.NOT_ASKED, seen=None, sent=16_000_000, parts_done=1
        ),
        "uploading",
        (
            "Its upload as cam/a.bin stands at 32 % (1 of 4 parts, 16.0 MB of 50.0 MB); "
            "its folder inbox waits: /srv/inbox does not exist."
        ),
    ),
    "folder taken out": (
        of_row(State.SETTLED, folder=None, kind=Kind.NOT_ASKED, seen=None),
        "settled",
        "It is finished and queued; its folder is no longer watched.",
    ),
    "next try": (
        of_row(State.UPLOADING, {"not_before": NOW + 40.0}, why="waits: 503 SlowDown"),
        "uploading",
        (
            "Its upload as cam/a.bin stands at 0 % (0 of 4 parts, 0 bytes of 50.0 MB); "
            "the next try is in 40 s, at 2027-01-15T08:00:40Z, because 503 SlowDown."
        ),
    ),
    "about to begin": (
        of_row(State.SETTLED, in_hand=True),
        "settled",
        "It is finished, and its upload is about to begin.",
    ),
    "opening": (
        of_row(State.CREATING, in_hand=True),
        "creating",
        "Its multipart upload as cam/a.bin is being opened.",
    ),
    "uploading": (
        of_row(State.UPLOADING, in_hand=True, sent=32_000_000, parts_done=2),
        "uploading",
        "It is being uploaded as cam/a.bin: 64 % (2 of 4 parts, 32.0 MB of 50.0 MB) acknowledged.",
    ),
    "uploading, nobody runs": (
        of_row(State.UPLOADING, running=False, sent=32_000_000, parts_done=2),
        "uploading",
        "Its upload as cam/a.bin stands at 64 % (2 of 4 parts, 32.0 MB of 50.0 MB); syncd is not running.",
    ),
    "one piece": (
        of_row(State.COMPLETING, {"part_size": None}, in_hand=True),
        "completing",
        "It is being sent in one piece of 50.0 MB as cam/a.bin.",
    ),
    "completing": (
        of_row(State.COMPLETING, in_hand=True),
        "completing",
        "All of its 4 parts are sent, and the object cam/a.bin is being put together.",
    ),
    "done": (
        of_row(State.DONE),
        "done",
        (
            "It is uploaded, 50.0 MB as s3://b/cam/a.bin at 2027-01-15T07:59:55Z, "
            "proven by checksum: crc64nvme abc= (HEAD shows our checksum)."
        ),
    ),
    "done and changed": (
        of_row(State.DONE, seen=GROWN),
        "done",
        (
            "It is uploaded, 50.0 MB as s3://b/cam/a.bin at 2027-01-15T07:59:55Z, proven by checksum: crc64nvme abc= "
            "(HEAD shows our checksum); the file has changed since, and the next scan takes up the new version."
        ),
    ),
    "done and touched": (
        of_row(State.DONE, seen=TOUCHED),
        "done",
        (
            "It is uploaded, 50.0 MB as s3://b/cam/a.bin at 2027-01-15T07:59:55Z, proven by checksum: crc64nvme abc= "
            "(HEAD shows our checksum); its times or inode changed since, and its bytes will be compared before "
            "anything is sent."
        ),
    ),
    "done and gone": (
        of_row(State.DONE, seen=None, kind=Kind.MISSING),
        "done",
        (
            "It is uploaded, 50.0 MB as s3://b/cam/a.bin at 2027-01-15T07:59:55Z, proven by checksum: crc64nvme abc= "
            "(HEAD shows our checksum); the local file is gone since."
        ),
    ),
    "done, folder away": (
        of_row(State.DONE, folder=BLOCKED, kind=Kind.NOT_ASKED, seen=None),
        "done",
        (
            "It is uploaded, 50.0 MB as s3://b/cam/a.bin at 2027-01-15T07:59:55Z, proven by checksum: crc64nvme abc= "
            "(HEAD shows our checksum)."
        ),
    ),
    "vanished": (
        of_row(State.VANISHED, seen=None, kind=Kind.MISSING, why="its file is gone"),
        "vanished",
        "It vanished before it was sent (its file is gone).",
    ),
    "superseded": (
        of_row(State.SUPERSEDED, seen=None, why="another file was renamed to its path"),
        "superseded",
        "Another version took its place (another file was renamed to its path).",
    ),
    "vanished and there again": (
        of_row(State.VANISHED, why="its file is gone"),
        "vanished",
        "It vanished before it was sent (its file is gone); a file is at its path again, and the next scan takes it up.",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_every_standing_has_its_sentence(case: str) -> None:
    known, state, sentence = SENTENCES[case]
    said = explain(known)
    assert (said.state, said.sentence) == (state, sentence)


def test_a_parked_file_names_its_reason_and_what_to_do() -> None:
    reason = {"parked_reason": "another object is already under its key cam/a.bin"}
    said = explain(of_row(State.PLANNED, reason))
    assert said.state == "planned"
    assert said.sentence == f"It is parked until a person looks: {reason['parked_reason']}."
    assert said.hint is not None
    assert "syncd retry" in said.hint
    assert explain(of_row(State.PLANNED, reason | {"hint": "move it away"})).hint == "move it away"


def test_a_parked_file_that_is_excluded_meanwhile_is_still_called_parked() -> None:
    said = explain(of_row(State.SETTLED, {"parked_reason": "no"}, folder=EXCLUDED))
    assert (said.state, "parked" in said.sentence) == ("settled", True)


def test_an_upload_that_is_open_is_finished_although_its_file_is_excluded_now() -> None:
    assert explain(of_row(State.UPLOADING, folder=EXCLUDED, in_hand=True)).state == "uploading"


def test_hints_say_what_a_person_can_do() -> None:
    assert explain(of_row(State.SETTLED, closed=("no bucket", "make it"))).hint == "make it"
    assert explain(of_row(State.SETTLED, folder=BLOCKED, seen=None)).hint == "mount it"
    assert "systemctl start syncd" in str(explain(of_row(State.SETTLED, running=False)).hint)
    assert explain(facts(folder=None)).hint == "watched are: /srv/inbox"
    assert explain(of_row(State.DONE)).hint is None


def test_a_next_try_further_away_than_an_hour_was_set_by_another_clock_and_counts_as_due() -> None:
    said = explain(of_row(State.SETTLED, {"not_before": NOW + 3601.0}, ahead=0))
    assert said.sentence == "It is finished and queued; it is next."


@given(
    state=st.sampled_from(State),
    kind=st.sampled_from(Kind),
    running=st.booleans(),
    in_hand=st.booleans(),
    folder=st.sampled_from([None, INBOX, BLOCKED, EXCLUDED]),
    seen=st.sampled_from([None, SEEN, GROWN, TOUCHED]),
    not_before=st.sampled_from([0.0, NOW - 5, NOW + 5, 1e300]),
    since=st.sampled_from([None, 0.0, 50.0]),
    parked=st.sampled_from([None, "it is too large"]),
)
def test_every_combination_of_facts_has_one_sentence(
    state: State,
    kind: Kind,
    running: bool,
    in_hand: bool,
    folder: FolderFacts | None,
    seen: Fingerprint | None,
    not_before: float,
    since: float | None,
    parked: str | None,
) -> None:
    columns = {"not_before": not_before, "parked_reason": parked}
    said = explain(
        of_row(
            state,
            columns,
            kind=kind,
            running=running,
            in_hand=in_hand,
            folder=folder,
            seen=seen,
            since_first_s=since,
        )
    )
    assert said.sentence.startswith(("It", "Its", "All", "Another"))
    assert said.sentence.endswith(".")
    assert "None" not in said.sentence
    assert "\n" not in said.sentence


def test_sizes_and_spans_read_well() -> None:
    assert [words.size(count) for count in (0, 1, 999, 1000, 50_000_000, 999_999_999, 10**15)] == [
        *("0 bytes", "1 byte", "999 bytes", "1.0 kB", "50.0 MB", "1.0 GB", "1.0 PB"),
    ]
    assert [words.span(seconds) for seconds in (0, 59.4, 60, 61, 3600, 3661, 90_000)] == [
        *("1 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "1 d 1 h"),
    ]
    assert words.moment(NOW) == "2027-01-15T08:00:00Z"
    assert words.moment(1e300).endswith("s after 1970")
