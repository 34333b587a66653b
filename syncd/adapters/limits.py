"""How much the kernel grants: inotify watches and instances, open files. Read from proc(5), or asked for and given back."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

PROC = Path("/proc")
_WATCHES = ("sys/fs/inotify/max_user_watches", "sys/user/max_inotify_watches")  # the lower one counts

_libc = ctypes.CDLL(None, use_errno=True)


def watches() -> int | None:
    """How many inotify watches a user may have, all programs together; None where the kernel does not say."""
    found = [number for number in map(_number, _WATCHES) if number is not None]
    return min(found, default=None)


def may_watch() -> bool:
    """Whether one more inotify instance can be had now."""
    descriptor: int = _libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True


def open_files(pid: int | None) -> int:
    """How many descriptors that process may have; where it is None or does not show it, this one."""
    try:
        lines = (PROC / str(pid) / "limits").read_text("ascii", "replace").splitlines()
        told = next(line for line in lines if line.startswith("Max open files")).split()[3]
        return int(told)
    except (OSError, StopIteration, ValueError):
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _number(name: str) -> int | None:
    try:
        return int((PROC / name).read_text("ascii"))
    except (OSError, ValueError):
        return None
