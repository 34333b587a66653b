"""Whether a file is still the one we know: the two identities of the design.

While a transfer is open all five numbers must be equal. For a file already verified the device number says nothing (a
disk that is mounted again gets another one), and where only circumstances changed the bytes themselves are asked.
"""

from __future__ import annotations

import enum

from syncd.model import Fingerprint, State, Transfer


class Verdict(enum.Enum):
    """What a scan makes of a path that the ledger knows."""

    SAME = "same"
    UPDATE = "update"  # not yet sent: take the new fingerprint, look again from the start
    READ_AGAIN = "read again"  # compare the bytes with what we know of them
    NEW_VERSION = "new version"


def compare(row: Transfer, seen: Fingerprint) -> Verdict:
    """What to do about the file that a scan saw where the ledger has this row."""
    if row.state in {State.DISCOVERED, State.SETTLED}:
        return Verdict.SAME if seen == row.fingerprint else Verdict.UPDATE
    if row.state in {State.DONE, State.VERIFIED}:
        return _compare_verified(row.fingerprint, seen)
    return compare_open(row.fingerprint, seen)


def _compare_verified(known: Fingerprint, seen: Fingerprint) -> Verdict:
    if seen.size != known.size:
        return Verdict.NEW_VERSION
    same = (seen.mtime_ns, seen.ctime_ns, seen.inode) == (known.mtime_ns, known.ctime_ns, known.inode)
    return Verdict.SAME if same else Verdict.READ_AGAIN


def compare_open(known: Fingerprint, seen: Fingerprint) -> Verdict:
    """For a planned transfer: size or mtime make a new version, the rest is settled by the recorded parts' bytes."""
    if seen == known:
        return Verdict.SAME
    if (seen.size, seen.mtime_ns) != (known.size, known.mtime_ns):
        return Verdict.NEW_VERSION
    return Verdict.READ_AGAIN


def moved_here(row: Transfer, seen: Fingerprint) -> bool:
    """Whether a file at a new path may be the one of this row, renamed: its ctime changes by that, its device by a reboot.

    It may also be another file that got the inode: where bytes were sent, they are compared before it is believed.
    """
    known = row.fingerprint
    return (known.inode, known.size, known.mtime_ns) == (seen.inode, seen.size, seen.mtime_ns)
