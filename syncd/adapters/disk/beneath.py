"""Opening a path beneath a directory, never outside it and never through a symlink.

`openat2(2)` does that in one call; where the kernel or a seccomp filter lacks it, and for paths longer than PATH_MAX,
every component is opened by itself with O_NOFOLLOW. Everything here raises plain `OSError`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from syncd.adapters.disk.trouble import GONE

# A FIFO must not block, a terminal must not become ours, a child must not inherit; O_LARGEFILE because openat2 does
# not add it on 32-bit machines, where it is not 0.
READ_FLAGS = (
    os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | getattr(os, "O_LARGEFILE", 0)
)
LOOK_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_SYS_OPENAT2 = 437  # the same number on every architecture that Debian builds for
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08


class _OpenHow(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Opener:
    """Opens beneath directories by the best means that this system has; remembers once a means is missing."""

    def __init__(self, *, openat2: bool = True) -> None:
        self._openat2 = openat2

    def open(self, directory: int, path: bytes, flags: int) -> int:
        """A descriptor for the path beneath the directory. Raises OSError, with an errno of `GONE` if not there."""
        if not _is_plain(path):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if not self._openat2:
            return open_by_components(directory, path, flags)
        try:
            return open_at_once(directory, path, flags)
        except OSError as error:
            if error.errno == errno.ENOSYS:
                self._openat2 = False
            elif error.errno not in {errno.EPERM, errno.ENAMETOOLONG}:
                raise
        # EPERM may be a seccomp filter that knows no openat2, ENAMETOOLONG a path that only a walk can reach.
        return open_by_components(directory, path, flags)

    def open_regular(self, directory: int, path: bytes) -> int:
        """A descriptor for reading a regular file; anything else counts as not there, and is never even opened.

        Opening a FIFO would wake its writer, opening a device may do anything: so look first, then open, then look
        at what was opened.
        """
        os.close(_regular(self.open(directory, path, LOOK_FLAGS)))
        return _regular(self.open(directory, path, READ_FLAGS))


def open_at_once(directory: int, path: bytes, flags: int) -> int:
    """Open by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS."""
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
    while True:
        answer = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if answer >= 0:
            return int(answer)
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def open_by_components(directory: int, path: bytes, flags: int) -> int:
    """Open one component after the other, none of which may be a symlink; reaches paths beyond PATH_MAX."""
    *above, name = path.split(b"/")
    here = directory
    try:
        for component in above:
            below = os.open(component, _DIRECTORY_FLAGS, dir_fd=here)
            if here != directory:
                os.close(here)
            here = below
        return os.open(name, flags, dir_fd=here)
    finally:
        if here != directory:
            os.close(here)


def is_gone(error: OSError) -> bool:
    """Whether the error says that there is nothing at the path."""
    return error.errno in GONE


def _is_plain(path: bytes) -> bool:
    """Whether the path is one that a scan can have found: relative, normal, without NUL (which would cut it short)."""
    return b"\0" not in path and all(part not in {b"", b".", b".."} for part in path.split(b"/"))


def _regular(descriptor: int) -> int:
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
