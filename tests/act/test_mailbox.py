"""The mailbox never grows with a flood: too many paths of one folder become one scan of it."""

from __future__ import annotations

from syncd.act.mailbox import PATHS_PER_FOLDER, Mailbox


def test_a_flood_of_hints_becomes_one_scan_and_takes_no_more_room() -> None:
    mailbox = Mailbox()
    mailbox.path(b"/quiet", b"film")
    for number in range(PATHS_PER_FOLDER * 50):
        mailbox.path(b"/busy", b"%d" % number)
        held = mailbox._letters
        assert len(held.paths.get(b"/busy", ())) <= PATHS_PER_FOLDER
    letters = mailbox.empty()
    assert letters.paths == {b"/quiet": {b"film"}}
    assert set(letters.scans) == {b"/busy"}
    mailbox.path(b"/busy", b"afterwards")
    assert mailbox.empty().paths == {b"/busy": {b"afterwards"}}


def test_the_same_path_a_thousand_times_is_one_letter() -> None:
    mailbox = Mailbox()
    for _ in range(PATHS_PER_FOLDER * 2):
        mailbox.path(b"/r", b"film")
    assert mailbox.empty().paths == {b"/r": {b"film"}}
