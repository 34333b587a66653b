"""Counting the directories that nobody watches: watchdog says nothing when it reaches the limit below the root."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Counting more than this would cost more than it tells.
MOST = 100_000


def count_unwatched(root: bytes, watched: Mapping[bytes, int], *, recursive: bool) -> int:
    """How many readable directories, the root included, have no live watch descriptor in `watched`.

    Unreadable ones do not count: they cannot be watched, and the scan reports them. Never raises OSError.
    """
    unwatched = 0
    seen = 0
    ahead = [root]
    while ahead and seen < MOST:
        path = ahead.pop()
        seen += 1
        try:
            with os.scandir(path) as entries:
                below = [entry.path for entry in entries if recursive and entry.is_dir(follow_symlinks=False)]
        except (PermissionError, FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            unwatched += 1
            continue
        # An EACCES makes watchdog remember the descriptor -1.
        unwatched += watched.get(path, -1) < 0
        ahead += below
    return unwatched
