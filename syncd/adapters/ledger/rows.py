"""Between rows and nouns: how a transfer is spelt in SQL. Nothing here runs a statement."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

from syncd.model import Algorithm, Columns, Condition, Fingerprint, Proof, ProofKind, State, Transfer

EARLIEST_NS = -(2**31) * 10**9
"""1901: where the dates of ext4 and XFS begin. 2**64 ns later, in 2486, is where XFS's end; ext4's end before."""

SEALED = (
    "folder, path, dev, inode, size, mtime_ns, ctime_ns, state, bucket, key, part_size, algorithm, token, if_none_match, "
    "if_match, upload_id, etag, checksum, proof_kind, proof_value, proof_by"
)
"""The columns that decide what becomes of a file; when, how often and why are left out."""


def seal(*columns: object) -> int:
    """A sum over the values of `SEALED`, as SQL's `seal()` has it: not against malice, against bytes that flip."""
    return zlib.crc32(repr(columns).encode())


def transfer_from(row: sqlite3.Row) -> Transfer:
    """A row of the table as the noun."""
    return Transfer(
        id=row["id"],
        folder=row["folder"],
        path=row["path"],
        fingerprint=Fingerprint(
            dev=unwrapped(row["dev"]),
            inode=unwrapped(row["inode"]),
            size=row["size"],
            mtime_ns=unwrapped(row["mtime_ns"], EARLIEST_NS),
            ctime_ns=unwrapped(row["ctime_ns"], EARLIEST_NS),
        ),
        state=State(row["state"]),
        discovered_at=row["discovered_at"],
        not_before=row["not_before"],
        parked_reason=row["parked_reason"],
        hint=row["hint"],
        attempts=row["attempts"],
        bucket=row["bucket"],
        key=row["key"],
        part_size=row["part_size"],
        algorithm=None if row["algorithm"] is None else Algorithm(row["algorithm"]),
        token=row["token"],
        condition=Condition(if_none_match=bool(row["if_none_match"]), if_match=row["if_match"]),
        upload_id=row["upload_id"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        etag=row["etag"],
        checksum=row["checksum"],
        proof=_proof(row),
        sent_bytes=row["sent_bytes"],
        resent_bytes=row["resent_bytes"],
        gone_at=row["gone_at"],
        strikes=row["strikes"],
    )


def _proof(row: sqlite3.Row) -> Proof | None:
    if row["proof_kind"] is None:
        return None
    return Proof(ProofKind(row["proof_kind"]), row["proof_value"], row["proof_by"])


def fingerprint_columns(fingerprint: Fingerprint) -> dict[str, Any]:
    """The five numbers by column."""
    return {
        "dev": wrapped(fingerprint.dev),
        "inode": wrapped(fingerprint.inode),
        "size": fingerprint.size,
        "mtime_ns": wrapped(fingerprint.mtime_ns),
        "ctime_ns": wrapped(fingerprint.ctime_ns),
    }


def wrapped(number: int) -> int:
    """As SQLite keeps it, signed: device and inode are unsigned 64 bit numbers, a date after 2262 is too large."""
    return (number + 2**63) % 2**64 - 2**63


def unwrapped(stored: int, lowest: int = 0) -> int:
    """The number that `wrapped` made this of, if it was in [lowest, lowest + 2**64)."""
    return (stored - lowest) % 2**64 + lowest


def columns_of(sets: Columns) -> dict[str, Any]:
    """What a change sets, by column."""
    plain: dict[str, Any] = {}
    for name, value in sets.items():
        match value:
            case Fingerprint():
                plain |= fingerprint_columns(value)
            case Condition():
                plain |= {"if_none_match": int(value.if_none_match), "if_match": value.if_match}
            case Proof():
                plain |= {"proof_kind": str(value.kind), "proof_value": value.value, "proof_by": value.by}
            case Algorithm():
                plain["algorithm"] = str(value)
            case _:
                plain[name] = value
    return plain
