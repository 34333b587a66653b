"""What the machine can tell about paths and processes, for those who look in. Changes nothing, opens no file of others.

Nothing here waits for long: behind a path may lie a file server that does not answer.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CAP_FOWNER, CAP_LEASE = 3, 28  # linux/capability.h
_PATIENCE_S = 5.0
_asking = threading.BoundedSemaphore(8)  # so many questions may be without an answer, then none is asked


def real_path(path: bytes) -> bytes:
    """The path with every symlink above its last part resolved; the last part may be a symlink itself."""
    parent, _, name = path.rpartition(b"/")
    return real_root(parent or b"/").rstrip(b"/") + b"/" + name


def real_root(path: bytes) -> bytes:
    """Where a folder's path leads; as it is written where nobody answers."""
    return in_time(lambda: os.path.realpath(path), otherwise=path)


def kind_of(root: bytes, path: bytes) -> str:
    """What lies at a path beneath a root: file, directory, symlink, behind a symlink, other, missing or hidden."""
    return in_time(lambda: _kind_of(root, path), otherwise="hidden")


def _kind_of(root: bytes, path: bytes) -> str:
    here = root
    *above, _last = path.split(b"/")
    try:
        for name in above:
            here = here + b"/" + name
            if stat.S_ISLNK(os.lstat(here).st_mode):
                return "behind a symlink"
        return _kind(os.lstat(root + b"/" + path if path else root).st_mode)
    except PermissionError:
        return "hidden"
    except (OSError, ValueError):  # nothing there, or no name that could be
        return "missing"


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "symlink" if stat.S_ISLNK(mode) else "other"


def may_take_leases(root: bytes, pid: int | None = None) -> bool:
    """Whether the kernel would tell this process of writers: it needs CAP_LEASE, or to own the files (fcntl(2)).

    The owner of the root stands for the owner of the files in it. `pid`: another whose capability is as good as ours.
    """
    return (
        has_capability(CAP_LEASE)
        or (pid is not None and has_capability(CAP_LEASE, pid))
        or in_time(lambda: _owns(root), otherwise=False)
    )


def _owns(root: bytes) -> bool:
    try:
        return Path(os.fsdecode(root)).stat().st_uid == os.geteuid()
    except OSError:
        return False


def has_capability(number: int, pid: int | None = None) -> bool:
    """Whether that process, or this one, has the capability in effect; False where it cannot be told. proc(5)."""
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text("ascii", "replace")
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def lock_holder(lock: Path) -> int | None:
    """The process that holds a flock on the file, or None; asks /proc/locks, so that nobody's lock is in the way."""
    try:
        inode = lock.stat().st_ino
        held = Path("/proc/locks").read_text("ascii", "replace")
    except OSError:
        return None
    for line in held.splitlines():
        fields = line.split()  # 1: FLOCK  ADVISORY  WRITE 708 08:01:2359317 0 EOF
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):  # noqa: PLR2004 - proc(5)
            return int(fields[4])
    return None


def in_time(what: Callable[[], T], *, otherwise: T) -> T:
    """What a thread of its own finds out, or `otherwise` where that takes too long. `what` raises nothing."""
    if not _asking.acquire(blocking=False):
        return otherwise
    answer, done = [otherwise], threading.Event()

    def ask() -> None:
        answer[0] = what()
        _asking.release()
        done.set()

    threading.Thread(target=ask, name="machine", daemon=True).start()
    done.wait(_PATIENCE_S)
    return answer[0]
