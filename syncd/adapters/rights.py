"""What this process may do in directories, asked of the kernel without doing it: no file is touched or made.

Refuses to guess for another user: the answers are those of the effective ids, and whoever asks says who that is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MOST = 20_000
"""Of so many directories at most; counting more would cost more than it tells."""

_FILES_AT_MOST = 1_000
_CHANGE = os.W_OK | os.X_OK


@dataclass(frozen=True, slots=True)
class Removal:
    """What hinders files from being taken out of a tree; `where` is the first directory that does."""

    where: bytes
    read_only: bool = False
    sticky: bool = False


Descend = Callable[[bytes], bool]
"""Whether a directory at this path, relative to the root, can hold files that are meant."""


def directories(root: bytes, *, descend: Descend, most: int = MOST) -> Iterator[bytes]:
    """The root and what lies below it, symlinks not followed; unreadable ones are passed over. Never raises OSError."""
    ahead, seen, above = [root], 0, len(root.rstrip(b"/")) + 1
    while ahead and seen < most:
        path = ahead.pop()
        seen += 1
        yield path
        try:
            with os.scandir(path) as entries:
                below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
                ahead += [each for each in below if descend(each[above:])]
        except OSError:
            continue


def hindrance(
    root: bytes, *, descend: Descend, anybodys: bool = False, pid: int | None = None
) -> Removal | None:
    """The first directory out of which we may not take files; None if there is none.

    `anybodys`: we have CAP_FOWNER, which sticky directories mind; `pid`: whose mounts count too.
    """
    if is_read_only(root, pid):
        return Removal(root, read_only=True)
    found = (_hindrance(each, anybodys=anybodys) for each in directories(root, descend=descend))
    return next(filter(None, found), None)


def _hindrance(directory: bytes, *, anybodys: bool) -> Removal | None:
    if not may_change(directory):
        return Removal(directory, read_only=is_read_only(directory))
    return Removal(directory, sticky=True) if not anybodys and _keeps_others_files(directory) else None


def may_change(directory: bytes) -> bool:
    """Whether we may make and remove names in it."""
    return os.access(directory, _CHANGE, effective_ids=True)


def is_read_only(path: bytes, pid: int | None = None) -> bool:
    """Whether it is mounted so, for us or for that process, whose mounts may be others; False where it cannot be told."""
    places = [path] if pid is None else [path, b"/proc/%d/root%s" % (pid, path)]
    return any(map(_mounted_read_only, places))


def _mounted_read_only(path: bytes) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _keeps_others_files(directory: bytes) -> bool:
    """Sticky, not ours, and with a file in it that is not ours either."""
    try:
        status = Path(os.fsdecode(directory)).stat()
        if status.st_uid == os.geteuid() or not status.st_mode & stat.S_ISVTX:
            return False
        with os.scandir(directory) as entries:
            files = (entry for entry, _ in zip(entries, range(_FILES_AT_MOST), strict=False))
            return any(
                entry.stat(follow_symlinks=False).st_uid != os.geteuid()
                for entry in files
                if entry.is_file(follow_symlinks=False)
            )
    except OSError:
        return False


def device(path: bytes) -> int | None:
    """Which file system a path lies on; None where it cannot be told."""
    try:
        return Path(os.fsdecode(path)).stat().st_dev
    except OSError:
        return None
