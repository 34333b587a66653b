"""From a path on the machine to its place: which watched folder, and where in it."""

from __future__ import annotations

import posixpath

from syncd.inside.scene import Scene
from syncd.model import Transfer


def locate(path: bytes, scene: Scene) -> tuple[bytes, bytes] | None:
    """The configured folder and the path in it (empty: the folder itself); None outside every folder.

    As written first; then with the symlinks on the way resolved, since a folder's path may lead through some.
    """
    plain = _plain(path)
    found = None if plain is None else _within(plain, {folder: folder for folder in scene.folders})
    if found is None:
        roots = {scene.sight.real_root(folder): folder for folder in scene.folders}
        found = _within(scene.sight.real_path(path), roots)
    return found


def _plain(path: bytes) -> bytes | None:
    """Without doubled slashes and dots; None where `..` might lead elsewhere than it seems to."""
    if b".." in path.split(b"/"):
        return None
    return b"/" + posixpath.normpath(path).lstrip(b"/")


def _within(path: bytes, roots: dict[bytes, bytes]) -> tuple[bytes, bytes] | None:
    for root, folder in roots.items():
        if path.rstrip(b"/") == root.rstrip(b"/"):
            return folder, b""
        if path.startswith(root.rstrip(b"/") + b"/"):
            return folder, path[len(root.rstrip(b"/")) + 1 :].rstrip(b"/")
    return None


def row_of_former_folder(path: bytes, scene: Scene) -> Transfer | None:
    """The row of a path in a folder that is no longer in the configuration."""
    at = path.rfind(b"/")
    while at > 0:
        row = scene.ledger.at(path[:at], path[at + 1 :]) if path[at + 1 :] else None
        if row is not None:
            return row
        at = path.rfind(b"/", 0, at)
    return None
