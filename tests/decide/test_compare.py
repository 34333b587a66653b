"""Whether a file is still the one we know: every state against every way in which five numbers can differ."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import pytest

from syncd.decide.compare import Verdict, compare, compare_open, moved_here
from syncd.model import Fingerprint, State, Transfer

NUMBERS = ("dev", "inode", "size", "mtime_ns", "ctime_ns")
DIFFERENCES = list(chain.from_iterable(combinations(NUMBERS, count) for count in range(len(NUMBERS) + 1)))
KNOWN = Fingerprint(dev=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)

SAME, UPDATE, READ_AGAIN, NEW_VERSION = Verdict.SAME, Verdict.UPDATE, Verdict.READ_AGAIN, Verdict.NEW_VERSION
NOT_SENT = {State.DISCOVERED, State.SETTLED}
OPEN = {State.PLANNED, State.CREATING, State.UPLOADING, State.COMPLETING}
PROVEN = {State.VERIFIED, State.DONE}


def seen(differs: tuple[str, ...]) -> Fingerprint:
    return replace(KNOWN, **dict.fromkeys(differs, 99))


def row(state: State) -> Transfer:
    return Transfer(id=1, folder=b"/f", path=b"p", fingerprint=KNOWN, state=state, discovered_at=0.0)


def expected(state: State, differs: set[str]) -> Verdict:
    """The design's rules, said once more in other words."""
    if state in PROVEN:
        differs -= {"dev"}
    if not differs:
        return SAME
    if state in NOT_SENT:
        return UPDATE
    if "size" in differs:
        return NEW_VERSION
    if state in OPEN and "mtime_ns" in differs:
        return NEW_VERSION
    return READ_AGAIN


@pytest.mark.parametrize("state", sorted(NOT_SENT | OPEN | PROVEN))
def test_every_state_meets_every_difference(state: State) -> None:
    for differs in DIFFERENCES:
        assert compare(row(state), seen(differs)) is expected(state, set(differs)), differs


@pytest.mark.parametrize(
    ("state", "differs", "verdict"),
    [
        (State.DISCOVERED, (), SAME),
        (State.DISCOVERED, ("ctime_ns",), UPDATE),
        (State.UPLOADING, ("ctime_ns",), READ_AGAIN),  # chmod, ln
        (State.UPLOADING, ("dev",), READ_AGAIN),  # mounted again
        (State.UPLOADING, ("inode",), READ_AGAIN),
        (State.UPLOADING, ("mtime_ns",), NEW_VERSION),
        (State.DONE, ("dev",), SAME),  # mounted again
        (State.DONE, ("ctime_ns",), READ_AGAIN),  # chmod, ln; or same size and date put back over other bytes
        (State.DONE, ("mtime_ns", "ctime_ns"), READ_AGAIN),  # touch
        (State.DONE, ("size", "mtime_ns", "ctime_ns"), NEW_VERSION),
        (State.DONE, ("size",), NEW_VERSION),
    ],
)
def test_what_happens_to_files_out_there(state: State, differs: tuple[str, ...], verdict: Verdict) -> None:
    assert compare(row(state), seen(differs)) is verdict


@pytest.mark.parametrize("state", sorted(OPEN))
def test_an_open_transfer_is_judged_by_the_stricter_identity(state: State) -> None:
    for differs in DIFFERENCES:
        assert compare(row(state), seen(differs)) is compare_open(KNOWN, seen(differs))
        assert (compare_open(KNOWN, seen(differs)) is SAME) is (not differs)


def test_a_renamed_file_is_the_same_but_for_its_ctime_and_perhaps_its_device() -> None:
    for differs in DIFFERENCES:
        assert moved_here(row(State.DONE), seen(differs)) is (set(differs) <= {"ctime_ns", "dev"})
