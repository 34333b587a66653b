"""What proves that an object is ours and whole, and what to make of a Put or Complete whose answer was lost."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from syncd.model import Algorithm, Proof, ProofKind, RemoteObject, Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must be under the key: `checksum` over the whole file as `Sums.whole` writes it.

    None where the local bytes can no longer be summed; then token and size must do.
    """

    token: str
    size: int
    algorithm: Algorithm
    checksum: str | None


class Finding(enum.Enum):
    """What HEAD shows about a write that we are not sure of."""

    OURS = "ours"
    ABSENT = "absent"  # or hidden: without ListBucket a missing key answers 403
    FOREIGN = "foreign"
    DAMAGED = "damaged"  # our token over other bytes


def examine(found: RemoteObject | None, expected: Expected) -> Finding:
    """Whose object this is. Existence alone proves nothing; token, size and checksum must agree."""
    if found is None:
        return Finding.ABSENT
    if found.token != expected.token:
        return Finding.FOREIGN
    shown = found.checksums.get(expected.algorithm)
    differs = shown is not None and expected.checksum is not None and shown != expected.checksum
    if found.size != expected.size or differs:
        return Finding.DAMAGED
    return Finding.OURS


def sum_of(found: RemoteObject, expected: Expected) -> str | None:
    """The object's sum over the whole file: ours; where the local bytes could not be summed, the store's own word.

    So that what the file has later can be compared all the same.
    """
    if expected.checksum is not None:
        return expected.checksum
    if expected.algorithm is Algorithm.MD5 and found.etag_is_md5:
        return found.etag.strip('"')
    return found.checksums.get(expected.algorithm)


def proof_by_head(found: RemoteObject, expected: Expected) -> Proof:
    """The strongest proof that this HEAD gives; only for an object that `examine` calls OURS."""
    if expected.checksum is None:
        return Proof(ProofKind.SIZE, str(expected.size), "HEAD shows our token and size")
    if expected.algorithm is Algorithm.MD5:
        if found.etag.strip('"') == expected.checksum:
            return Proof(ProofKind.MD5, expected.checksum, "HEAD: ETag equals our MD5")
        if not found.etag_is_md5:
            return Proof(
                ProofKind.MD5_PARTS, expected.checksum, "every body was accepted with its Content-MD5"
            )
    elif found.checksums.get(expected.algorithm) and expected.algorithm is not Algorithm.NONE:
        return Proof(
            ProofKind.CHECKSUM, f"{expected.algorithm} {expected.checksum}", "HEAD shows our checksum"
        )
    return Proof(ProofKind.SIZE, str(expected.size), "HEAD shows our token and size")


def proof_by_put(stored: Stored, expected: Expected) -> Proof | None:
    """The proof in PutObject's own answer; None where a HEAD must tell."""
    if expected.algorithm is Algorithm.MD5 and stored.etag.strip('"') == expected.checksum:
        return Proof(ProofKind.MD5, expected.checksum, "PutObject's answer: ETag equals our MD5")
    if stored.checksum and stored.checksum == expected.checksum and expected.algorithm is not Algorithm.NONE:
        return Proof(
            ProofKind.CHECKSUM,
            f"{expected.algorithm} {expected.checksum}",
            "PutObject's answer echoes our checksum",
        )
    return None
