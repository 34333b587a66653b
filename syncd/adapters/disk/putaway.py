"""Deleting or moving a captured file so that no other file can be hit: aside first, then checked, then gone.

The file is renamed within its directory to a name that only we know; what was renamed is opened and compared, and rests. A
program that was about to open it by its old name has opened it then, or never will. Compared once more, and with a lease
held on it so that nobody can begin to write, it goes. Whatever does not fit is renamed back, never over another file.
All by descriptors beneath the root, through no symlink. Every step may be repeated after a crash: a file that lies aside
is taken up where it lies.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from syncd.adapters.disk.beneath import READ_FLAGS, Opener, is_gone
from syncd.model import Fate, Fingerprint

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOREPLACE = 1
_BLOCK = 1 << 20
_NO_RENAMEAT2 = {errno.ENOSYS, errno.EINVAL, errno.EPERM}

_libc = ctypes.CDLL(None, use_errno=True)


class Stopped(Exception):
    """The copy to another file system was broken off; it begins anew next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What is to go: `path` beneath the root, `known` as it was proven, `aside` a name nobody else uses.

    `to`: the directory to move it below, None to delete it. `ask`: only if the kernel says that nobody writes it.
    `rested`: it has lain aside for a while.
    """

    path: bytes
    known: Fingerprint
    aside: bytes
    to: bytes | None
    ask: bool
    rested: bool


def put_away(root: int, errand: Errand, opener: Opener, go_on: Callable[[], bool]) -> Fate:
    """Carry the errand out beneath the root's descriptor. Raises OSError, Stopped; then the file is where it was, or aside."""
    above, _, name = errand.path.rpartition(b"/")
    try:
        directory = _above(root, above, opener)
    except OSError as error:
        if not is_gone(error):
            raise
        return Fate.AWAY  # the file went with it, and may come back with it
    try:
        return _in_directory(directory, name, errand, opener, go_on)
    finally:
        os.close(directory)


def bring_back(root: int, path: bytes, aside: bytes, opener: Opener) -> None:
    """Undo what a crash left half done: the file that lies aside gets its name again. Raises OSError."""
    above, _, name = path.rpartition(b"/")
    try:
        directory = _above(root, above, opener)
    except OSError as error:
        if is_gone(error):
            return
        raise
    try:
        _back(directory, aside, name)
    finally:
        os.close(directory)


def _above(root: int, path: bytes, opener: Opener) -> int:
    """The directory that a file lies in. `root` may be an O_PATH descriptor."""
    if path:
        return opener.open(root, path, _DIRECTORY)
    return os.open(b".", _DIRECTORY, dir_fd=root)


def _in_directory(
    directory: int, name: bytes, errand: Errand, opener: Opener, go_on: Callable[[], bool]
) -> Fate:
    if not _is_there(directory, errand.aside):
        try:
            _rename(directory, name, directory, errand.aside)
        except OSError as error:
            if is_gone(error):
                return Fate.MISSING
            raise
    fate = Fate.CHANGED
    try:
        fate = _checked(directory, errand, opener, go_on)
    finally:
        if fate not in {Fate.GONE, Fate.ASIDE}:
            _back(directory, errand.aside, name)
    os.fsync(directory)
    return fate


def _checked(directory: int, errand: Errand, opener: Opener, go_on: Callable[[], bool]) -> Fate:
    try:
        descriptor = os.open(errand.aside, READ_FLAGS, dir_fd=directory)
    except PermissionError:
        return Fate.UNKNOWN
    try:
        status = os.fstat(descriptor)
        known = errand.known
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or seen != (known.inode, known.size, known.mtime_ns):
            return Fate.CHANGED
        unwritten = _hold_lease(descriptor)
        if unwritten is not True and (errand.ask or unwritten is False):
            return Fate.OPEN if unwritten is False else Fate.UNKNOWN
        if not errand.rested:
            return Fate.ASIDE
        if errand.to is None:
            _unlink(directory, errand.aside)
            return Fate.GONE
        return _move(directory, descriptor, status, errand, opener, go_on)
    finally:
        os.close(descriptor)  # and the lease with it


def _hold_lease(descriptor: int) -> bool | None:
    """True: nobody has it open for writing, and nobody will before the descriptor is closed. None: it cannot be told."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return False if error.errno == errno.EAGAIN else None
    return True


# -- moving


def _move(
    directory: int,
    descriptor: int,
    status: os.stat_result,
    errand: Errand,
    opener: Opener,
    go_on: Callable[[], bool],
) -> Fate:
    name = errand.path.rpartition(b"/")[2]
    with _target_directory(errand, opener) as target:
        try:
            _rename(directory, errand.aside, target, name)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EEXIST}:
                raise
            if not _is_there(target, name):
                _copy(descriptor, status, target, errand.aside, go_on)
                with contextlib.suppress(FileExistsError):
                    _rename(target, errand.aside, target, name)
            if not _is_copy(target, name, descriptor, status):
                with contextlib.suppress(FileNotFoundError):  # another file was faster than our copy
                    _unlink(target, errand.aside)
                return Fate.OCCUPIED
            os.fsync(target)
            _unlink(directory, errand.aside)
        os.fsync(target)
    return Fate.GONE


def _is_copy(target: int, name: bytes, source: int, status: os.stat_result) -> bool:
    """Whether what lies there is this file already: from a move that a crash broke off, or from somebody's own copy."""
    copy = os.open(name, READ_FLAGS, dir_fd=target)
    try:
        there = os.fstat(copy)
        if not stat.S_ISREG(there.st_mode) or there.st_size != status.st_size:
            return False
        offset = 0
        while block := os.pread(source, _BLOCK, offset):
            if os.pread(copy, len(block), offset) != block:
                return False
            offset += len(block)
        return offset == status.st_size
    finally:
        os.close(copy)


@contextlib.contextmanager
def _target_directory(errand: Errand, opener: Opener) -> Iterator[int]:
    """The directory below `to` that mirrors the file's own, made where it is missing."""
    here = os.open(errand.to or b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in errand.path.split(b"/")[:-1]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o750, dir_fd=here)
            below = opener.open(here, part, _DIRECTORY)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _copy(source: int, status: os.stat_result, target: int, name: bytes, go_on: Callable[[], bool]) -> None:
    """Byte for byte, with times and mode, on disk when it returns. Raises Stopped, or OSError where it came out short."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    copy = os.open(name, flags, 0o600, dir_fd=target)
    try:
        _copy_bytes(source, copy, status.st_size, go_on)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fchmod(copy, stat.S_IMODE(status.st_mode))
        os.fsync(copy)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=target)
        raise
    finally:
        os.close(copy)


def _copy_bytes(source: int, copy: int, size: int, go_on: Callable[[], bool]) -> None:
    block, offset = bytearray(_BLOCK), 0
    while count := os.preadv(source, [block], offset):
        if not go_on():
            raise Stopped
        _write_all(copy, memoryview(block)[:count])
        offset += count
    if offset != size:
        raise OSError(errno.EIO, "it was not as long as it should be")


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


# -- names


def _back(directory: int, aside: bytes, name: bytes) -> None:
    """To its own name; if that is taken by now, to one beside it, so that the next scan meets it as a file of its own."""
    for candidate in (name, *(b"%s.kept-%d" % (name, number) for number in range(1, 100))):
        try:
            _rename(directory, aside, directory, candidate)
        except FileExistsError:
            continue
        except FileNotFoundError:
            return
        return


def _unlink(directory: int, name: bytes) -> None:
    os.unlink(name, dir_fd=directory)


def _is_there(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _rename(source: int, name: bytes, target: int, new: bytes) -> None:
    """renameat2(2) with RENAME_NOREPLACE. Raises OSError.

    Where the file system does not know that flag: link(2), which never replaces either, then unlink(2).
    """
    answer = _libc.renameat2(
        ctypes.c_int(source),
        ctypes.c_char_p(name),
        ctypes.c_int(target),
        ctypes.c_char_p(new),
        ctypes.c_uint(_NOREPLACE),
    )
    if answer == 0:
        return
    code = ctypes.get_errno()
    if code not in _NO_RENAMEAT2:
        raise OSError(code, os.strerror(code), os.fsdecode(new))
    os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)
