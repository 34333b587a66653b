"""Where threads leave word for the clerk: paths to look at, folders to scan, or just a knock.

Never blocks, never raises, bounded: too many paths of one folder become one scan.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

PATHS_PER_FOLDER = 2000


@dataclass(slots=True)
class Letters:
    """What was left since the last time: paths by folder, and folders to scan with the first reason given."""

    paths: dict[bytes, set[bytes]] = field(default_factory=dict)
    scans: dict[bytes, str] = field(default_factory=dict)


class Mailbox:
    """Implements the port `Hints`; the clerk empties it."""

    def __init__(self) -> None:
        self.knock = threading.Event()
        self._lock = threading.Lock()
        self._letters = Letters()

    def path(self, root: bytes, path: bytes) -> None:
        """Look at this path soon."""
        with self._lock:
            if root not in self._letters.scans:
                paths = self._letters.paths.setdefault(root, set())
                paths.add(path)
                if len(paths) > PATHS_PER_FOLDER:
                    del self._letters.paths[root]
                    self._letters.scans[root] = "more changes than can be followed one by one"
        self.knock.set()

    def scan(self, root: bytes, why: str) -> None:
        """Scan this folder soon."""
        with self._lock:
            self._letters.scans.setdefault(root, why)
        self.knock.set()

    def wake(self) -> None:
        """Something changed elsewhere."""
        self.knock.set()

    def empty(self) -> Letters:
        """Take everything out."""
        with self._lock:
            self.knock.clear()
            letters, self._letters = self._letters, Letters()
            return letters
