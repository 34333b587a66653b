"""Walking a folder: every regular file in strict byte order of its relative path, to be merged with a sorted ledger.

Memory is bounded by the entries of one directory per level. Symlinks are never followed, other mount points are part
of the tree, and what cannot be read is said to be so rather than left out.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from syncd.adapters.disk.trouble import DENIED, GONE, blind_reason, root_trouble
from syncd.model import Blind, Entry, Fingerprint

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A sort key (the relative path, with a slash behind a directory) and the entry behind it, or why it is blind.
_Found = tuple[bytes, "os.DirEntry[str] | str"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the one who scans wants to see: which directories to enter and which files matter."""

    recursive: bool
    descend: Callable[[bytes], bool]
    take: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory being walked. Its descriptor stays open because its entries are looked up in it."""

    prefix: bytes
    descriptor: int
    found: list[_Found]  # last one first


def walk(root: bytes, wish: Wish) -> Iterator[Entry | Blind]:
    """Yield files and blind subtrees in order. Raises FolderUnavailable for the root itself, from the first step on.

    A file is looked at when it is its turn, not when its directory was listed. One that cannot be looked at (a sick
    inode) is blind by itself, as if it were a directory, and the others of its directory go on; where none may be
    looked at the directory is blind: what came from it before holds, nothing of it follows.
    """
    levels: list[_Level] = []
    try:
        levels.append(_first_level(root, wish))
        top = levels[0].descriptor
        while levels:
            level = levels[-1]
            if not level.found:
                _leave(levels, root, top)
                continue
            key, entry = level.found.pop()
            if isinstance(entry, str):
                yield Blind(key, entry)
                continue
            if key.endswith(b"/"):
                _enter(levels, key, entry.name, wish)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                _set_aside(level, root, key, error)
                continue
            if stat.S_ISREG(status.st_mode):
                yield Entry(key, fingerprint_of(status))
    finally:
        for level in levels:
            os.close(level.descriptor)


def fingerprint_of(status: os.stat_result) -> Fingerprint:
    """The five numbers that tell which bytes a path holds."""
    return Fingerprint(
        dev=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def _first_level(root: bytes, wish: Wish) -> _Level:
    try:
        descriptor = os.open(root, _FLAGS)
    except OSError as error:
        raise root_trouble(error, root) from error
    try:
        return _Level(b"", descriptor, _list(descriptor, b"", wish))
    except OSError as error:
        os.close(descriptor)
        raise root_trouble(error, root) from error


def _enter(levels: list[_Level], prefix: bytes, name: str, wish: Wish) -> None:
    """Go one level down; a directory that is gone or has become something else is nothing, not blindness."""
    above = levels[-1]
    try:
        descriptor = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=above.descriptor)
    except OSError as error:
        if error.errno not in GONE:
            above.found.append((prefix, blind_reason(error)))
        return
    try:
        levels.append(_Level(prefix, descriptor, _list(descriptor, prefix, wish)))
    except OSError as error:
        os.close(descriptor)
        above.found.append((prefix, blind_reason(error)))


def _list(descriptor: int, prefix: bytes, wish: Wish) -> list[_Found]:
    """The wanted entries of one directory, last one first."""
    found: list[_Found] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            path = prefix + os.fsencode(entry.name)
            if entry.is_file(follow_symlinks=False):
                if wish.take(path):
                    found.append((path, entry))
            elif wish.recursive and entry.is_dir(follow_symlinks=False) and wish.descend(path):
                found.append((path + b"/", entry))
    found.sort(key=_key, reverse=True)
    return found


def _leave(levels: list[_Level], root: bytes, top: int) -> None:
    """Go one level up. A root that was removed while we walked has told us nothing about its files."""
    descriptor = levels[-1].descriptor
    try:
        removed = descriptor == top and os.fstat(descriptor).st_nlink == 0
    except OSError as error:  # a network mount that went stale meanwhile
        raise root_trouble(error, root) from error
    finally:
        os.close(levels.pop().descriptor)
    if removed:
        raise root_trouble(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), root)


def _set_aside(level: _Level, root: bytes, path: bytes, error: OSError) -> None:
    """Remember one file as blind, in its place in the order; without the right to look at any, the whole directory."""
    if error.errno not in DENIED:
        level.found.append((path + b"/", blind_reason(error)))
        level.found.sort(key=_key, reverse=True)
    elif level.prefix == b"":
        raise root_trouble(error, root) from error
    else:
        level.found[:] = [(level.prefix, blind_reason(error))]


def _key(found: _Found) -> bytes:
    return found[0]
