"""The disk side of a trial: recordings that are written, changed, renamed and deleted, and what each path ever held.

Knows nothing of the daemon but its port to the disk. Every change is one step between two looks of it, and every content is told apart from all
others by the number that it begins with (the few that are too short for that, or came a second time, are `anonymous`).
"""

from __future__ import annotations

import itertools
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from syncd.adapters.disk import LocalDisk
from syncd.model import Blind, Entry, Fingerprint
from syncd.ports import OpenFile

NUMBERED = 4
"""Bytes of the number at a content's beginning."""

PATHS = ("a", "b", "c", "sub/a", "sub/b", ".hidden/a")

_COARSE = 5  # CLOCK_REALTIME_COARSE of Linux: what files are dated by


@dataclass
class Recording:
    """One file, whatever its name. `changed_at`: monotonic; None where it may pass for unchanged."""

    inode: int
    content: bytes
    changed_at: float | None


@dataclass
class Recordings:
    """`held`: every content that was ever at a path. `left`: paths that a file left, by whatever way.

    `sly`: contents that came under the size and date of another. `inodes`: the numbers that `ThriftyDisk` gives to those
    of the system, lowest first, so that every one is soon used again.
    """

    root: Path
    monotonic: Callable[[], float]
    files: dict[str, Recording] = field(default_factory=dict)
    held: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    left: set[str] = field(default_factory=set)
    inodes: dict[int, int] = field(default_factory=dict)
    _contents: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    sly: set[bytes] = field(default_factory=set)
    _ever: set[bytes] = field(default_factory=set)
    _again: set[bytes] = field(default_factory=set)
    _stats: dict[str, os.stat_result] = field(default_factory=dict)
    _stamp: int = 0

    def __post_init__(self) -> None:
        for directory in ("", "sub", ".hidden"):
            (self.root / directory).mkdir(parents=True, exist_ok=True)

    def there(self) -> list[str]:
        return sorted(self.files)

    def free(self) -> list[str]:
        return [path for path in PATHS if path not in self.files]

    def watched(self) -> dict[str, Recording]:
        return {path: file for path, file in self.files.items() if not path.startswith(".")}

    def new_content(self, size: int) -> bytes:
        """The next number, over and over, so that no part of it is like one of another content."""
        return (b"%04d." % next(self._contents) * (size // 5 + 1))[:size]

    # -- what a recorder or a person does

    def create(self, path: str, size: int, *, like: os.stat_result | None = None) -> None:
        """A new file; `like`: with the modification time of another, as tar and rsync leave it."""
        self._pass_a_moment()
        content = self.new_content(size)
        (self.root / path).write_bytes(content)
        self._restore_mtime(path, like)
        self.sly |= {content} if like is not None else set()
        changed_at = None if like is not None else self._changed_at(content)
        self.files[path] = Recording(self._inode(path), content, changed_at)
        self._noted()

    def append(self, path: str, size: int) -> None:
        self._write(path, self.files[path].content + self.new_content(size), "ab")

    def truncate(self, path: str, size: int) -> None:
        self._pass_a_moment()
        content = self.files[path].content[:size]
        os.truncate(self.root / path, len(content))
        self._again |= {content} & self._ever
        self._became(path, content)

    def rewrite(self, path: str, *, keep_mtime: bool) -> None:
        """Other bytes of equal size, in place."""
        file, former = self.files[path], (self.root / path).stat()
        self._write(path, self.new_content(len(file.content)), "r+b")
        if keep_mtime:
            self._restore_mtime(path, former)
            self.sly.add(file.content)
            file.changed_at = None  # by size and date it is the same file: the quiet time need not begin anew
            self._noted()

    def replace(self, path: str, *, size: int | None, keep_mtime: bool) -> None:
        """Written beside and renamed over it; `size` None: as large as it was."""
        self._pass_a_moment()
        former = (self.root / path).stat()
        content = self.new_content(former.st_size if size is None else size)
        beside = self.root / f"{path}.tmp"
        beside.write_bytes(content)
        self._restore_mtime(f"{path}.tmp", former if keep_mtime else None)
        inode = self._inode(f"{path}.tmp")
        beside.replace(self.root / path)
        self.sly |= {content} if keep_mtime else set()
        self.files[path] = Recording(inode, content, None if keep_mtime else self._changed_at(content))
        self._noted()

    def rename(self, path: str, to: str) -> None:
        """To a free name, or over another file."""
        self._pass_a_moment()
        (self.root / path).rename(self.root / to)
        self.files[to] = self.files.pop(path)
        self.left.add(path)
        self._noted()

    def swap(self, one: str, other: str) -> None:
        self._pass_a_moment()
        aside = self.root / "aside.tmp"
        (self.root / one).rename(aside)
        (self.root / other).rename(self.root / one)
        aside.rename(self.root / other)
        self.files[one], self.files[other] = self.files[other], self.files[one]
        self.left |= {one, other}
        self._noted()

    def delete(self, path: str) -> None:
        (self.root / path).unlink()
        del self.files[path]
        self.left.add(path)
        self._noted()

    def touch(self, path: str, *, mtime: bool) -> None:
        """Its mode or its date, not its bytes."""
        self._pass_a_moment()
        if mtime:
            os.utime(self.root / path)
        else:
            (self.root / path).chmod((self.root / path).stat().st_mode ^ 0o040)
        self._noted()

    # -- for the oracle

    def anonymous(self, content: bytes) -> bool:
        """Whether another version may have had the same bytes."""
        return len(content) < NUMBERED or content in self._again

    def stat(self, path: str) -> os.stat_result:
        return (self.root / path).stat()

    def untouched(self) -> bool:
        """Whether every file is as the last change here left it."""
        return all(_same(self.stat(path), self._stats[path]) for path in self.files)

    # -- underneath

    def _inode(self, path: str) -> int:
        """The lowest number that no file has."""
        used = {file.inode for file in self.files.values()}
        number = next(number for number in itertools.count(100) if number not in used)
        self.inodes[self.stat(path).st_ino] = number
        return number

    def _write(self, path: str, content: bytes, mode: str) -> None:
        self._pass_a_moment()
        file = self.files[path]
        with (self.root / path).open(mode) as out:
            out.write(content[len(file.content) :] if mode == "ab" else content)
        self._became(path, content)

    def _changed_at(self, content: bytes) -> float | None:
        return None if len(content) < NUMBERED else self.monotonic()

    def _became(self, path: str, content: bytes) -> None:
        """Very short ones may be written again as they were: that is no change."""
        file = self.files[path]
        if content != file.content:
            file.content, file.changed_at = content, self._changed_at(content)
        self._noted()

    def _restore_mtime(self, path: str, like: os.stat_result | None) -> None:
        if like is not None:
            os.utime(self.root / path, ns=(like.st_atime_ns, like.st_mtime_ns))

    def _pass_a_moment(self) -> None:
        """Two changes within one tick of the kernel's clock would look like one: nobody can tell them apart."""
        while (now := time.clock_gettime_ns(_COARSE)) <= self._stamp:
            time.sleep(0.0005)
        self._stamp = now

    def _noted(self) -> None:
        self._stats = {path: self.stat(path) for path in self.files}
        for path, file in self.files.items():
            self.held[path].add(file.content)
            self._ever.add(file.content)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_mode) == (
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
        other.st_mode,
    )


class ThriftyDisk(LocalDisk):
    """The disk as it is, but for the inode numbers: one is given away again as soon as its file is gone."""

    def __init__(self, recordings: Recordings) -> None:
        super().__init__()
        self._inodes = recordings.inodes

    def renumbered(self, seen: Fingerprint) -> Fingerprint:
        return replace(seen, inode=self._inodes.get(seen.inode, seen.inode))

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        seen = super().look(root, path)
        return None if seen is None else self.renumbered(seen)

    def scan(self, root: bytes, **options: Any) -> Iterator[Entry | Blind]:
        for item in super().scan(root, **options):
            yield Entry(item.path, self.renumbered(item.fingerprint)) if isinstance(item, Entry) else item

    def open(self, root: bytes, path: bytes) -> Any:
        return _Renumbered(super().open(root, path), self)


class _Renumbered:
    def __init__(self, file: OpenFile, disk: ThriftyDisk) -> None:
        self._file = file
        self._disk = disk
        self.read_into = file.read_into
        self.close = file.close

    def fingerprint(self) -> Fingerprint:
        return self._disk.renumbered(self._file.fingerprint())
