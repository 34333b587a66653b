"""What was proven of the uploaded files, for those who want to see it again: `syncd verify`. Reads only."""

from __future__ import annotations

from typing import Any

from syncd.inside.places import locate, row_of_former_folder
from syncd.inside.scene import Scene, shown
from syncd.model import State, Transfer

PAGE = 500
_PROVEN = frozenset({State.VERIFIED, State.DONE})


def proven_page(after: int, scene: Scene) -> dict[str, Any]:
    """Uploaded files, oldest first; `next` goes on from there, null after the last."""
    rows = scene.ledger.listed(None, after, PAGE)
    return {
        "files": [_proven(row) for row in rows if row.state in _PROVEN],
        "next": str(rows[-1].id) if len(rows) == PAGE else None,
    }


def proven_at(path: bytes, scene: Scene) -> dict[str, Any]:
    """The one at an absolute path; `why` none is there."""
    place = locate(path, scene)
    row = scene.ledger.at(*place) if place and place[1] else None
    if place is None:
        row = row_of_former_folder(path, scene)
    if row is None:
        return {"files": [], "next": None, "why": "syncd does not know it; syncd explain says why"}
    if row.state not in _PROVEN:
        return {"files": [], "next": None, "why": f"it is not uploaded: it is {row.state}"}
    return {"files": [_proven(row)], "next": None, "why": None}


def _proven(row: Transfer) -> dict[str, Any]:
    """`folder` and `name` are the bytes of the path in hex, for whoever wants to read the file."""
    return {
        "path": shown(row.folder + b"/" + row.path),
        "folder": row.folder.hex(),
        "name": row.path.hex(),
        "bucket": row.bucket,
        "key": row.key,
        "token": row.token,
        "size": row.fingerprint.size,
        "part_size": row.part_size,
        "algorithm": row.algorithm,
        "checksum": row.checksum or "",
        "etag": row.etag,
    }
