"""Whether what is at the destination, and on the disk, still is what was proven when a file was uploaded."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.model import Algorithm, RemoteObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What the ledger says of an uploaded file. `checksum`: over the whole of it, empty where nothing was summed."""

    token: str
    size: int
    algorithm: Algorithm
    checksum: str
    etag: str


def disagreements(proven: Proven, found: RemoteObject | None) -> list[str]:
    """What the object shows otherwise than the ledger; empty where all of it agrees."""
    if found is None:
        return ["there is no object under its key, or none that we may look at"]
    told = []
    if found.token != proven.token:
        told.append(
            "the object was written by " + ("nobody of ours" if found.token is None else "another upload")
        )
    if found.size != proven.size:
        told.append(f"the object has {found.size} bytes, {proven.size} were uploaded")
    shown = found.checksums.get(proven.algorithm)
    if shown is not None and proven.checksum and shown != proven.checksum:
        told.append(f"the object's {proven.algorithm} is {shown}, proven was {proven.checksum}")
    if shown is None and found.etag.strip('"') != proven.etag.strip('"'):
        told.append(f"the object's ETag is {found.etag}, it was {proven.etag}")
    return told


def local_disagreement(proven: Proven, size: int, checksum: str) -> str | None:
    """What the local bytes show otherwise; None where they agree, by their size alone if nothing was summed."""
    if size != proven.size:
        return f"the local file has {size} bytes, {proven.size} were uploaded"
    if proven.checksum and checksum != proven.checksum:
        return f"the local bytes have the {proven.algorithm} {checksum}, proven was {proven.checksum}"
    return None
