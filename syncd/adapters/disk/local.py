"""`ports.Disk` on a local file system: each call opens the root anew, so that a replaced root is seen at once.

The root may be given through symlinks; nothing beneath it may lead through one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

from syncd.adapters.disk.beneath import LOOK_FLAGS, Opener, is_gone
from syncd.adapters.disk.lease import writer_of
from syncd.adapters.disk.putaway import Errand, Stopped, bring_back, put_away
from syncd.adapters.disk.scan import Wish, fingerprint_of, walk
from syncd.adapters.disk.trouble import file_trouble, folder_away, put_away_trouble, root_trouble
from syncd.errors import Transient, Vanished
from syncd.model import Blind, Entry, Fate, Fingerprint, RootIdentity, Writer

# One preadv of 16 MiB costs twice as much as sixteen of 1 MiB: the smaller block stays in the processor's cache.
_BLOCK = 1 << 20
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class LocalFile:
    """`ports.OpenFile`: a regular file, open for reading. `read_into` and `fingerprint` are safe in many threads."""

    def __init__(self, descriptor: int, root: bytes, path: bytes) -> None:
        self._descriptor = descriptor
        self._root = root
        self._path = path

    def fingerprint(self) -> Fingerprint:
        """Whose bytes these are, by fstat. Raises Transient, or Vanished where a file server has dropped the file."""
        try:
            return fingerprint_of(os.fstat(self._descriptor))
        except OSError as error:
            raise file_trouble(error, self._root, self._path) from error

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from the offset; fewer bytes only at the end of the file. Raises Transient."""
        filled = 0
        try:
            while filled < len(buffer):
                count = os.preadv(self._descriptor, [buffer[filled : filled + _BLOCK]], offset + filled)
                if count == 0:
                    break
                filled += count
        except OSError as error:
            raise file_trouble(error, self._root, self._path) from error
        return filled

    def close(self) -> None:
        """Let go of the descriptor; again is harmless. Not while another thread reads."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class LocalDisk:
    """`ports.Disk`. `look` and `open` raise `FolderAway` (Transient and FolderUnavailable) if the root is not there."""

    def __init__(self, opener: Opener | None = None) -> None:
        self._opener = opener or Opener()

    def root(self, root: bytes) -> RootIdentity:
        """Which directory is there now. Raises FolderUnavailable when missing, unreadable or no directory."""
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Looking something up in it takes the right to enter it, which opening it does not.
                status = os.stat(b".", dir_fd=descriptor)
                filesystem = os.fstatvfs(descriptor).f_fsid
                above = os.stat(b"..", dir_fd=descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise root_trouble(error, root) from error
        # Another device than the one above; the root of all is its own parent. Bind mounts of the same device do not show.
        is_mount = (status.st_dev, status.st_ino) == (
            above.st_dev,
            above.st_ino,
        ) or status.st_dev != above.st_dev
        return RootIdentity(status.st_dev, status.st_ino, filesystem, is_mount)

    def scan(
        self,
        root: bytes,
        *,
        recursive: bool,
        descend: Callable[[bytes], bool],
        take: Callable[[bytes], bool],
    ) -> Iterator[Entry | Blind]:
        """Every regular file below the root in byte order; FolderUnavailable comes from the first step on."""
        return walk(root, Wish(recursive, descend, take))

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        """The fingerprint of the regular file at the path, readable or not; None where there is none.

        Raises Transient where it cannot be told: no right to enter a directory above it, trouble of the device.
        """
        status = self._status(root, path)
        return fingerprint_of(status) if status is not None and stat.S_ISREG(status.st_mode) else None

    def exists(self, root: bytes, path: bytes) -> bool:
        """Whether anything is known to be at the path, be it a dangling symlink; False where it cannot be told."""
        try:
            return self._status(root, path) is not None
        except Transient:
            return False

    def open(self, root: bytes, path: bytes) -> LocalFile:
        """Open for reading. Raises Vanished where there is no regular file, Transient for everything else."""
        return LocalFile(self._open_regular(root, path), root, path)

    def writer(self, root: bytes, path: bytes) -> Writer:
        """Whether somebody has it open for writing; UNASKED where it is gone or we may not read it.

        Needs `ignore_lease_signals()` at the start of the process, without which the answer is always UNKNOWN.
        """
        try:
            descriptor = self._open_regular(root, path)
        except (Vanished, Transient):
            return Writer.UNASKED
        try:
            return writer_of(descriptor)
        finally:
            os.close(descriptor)

    def put_away(
        self,
        root: bytes,
        path: bytes,
        known: Fingerprint,
        *,
        aside: bytes,
        to: bytes | None,
        ask: bool,
        rested: bool,
        go_on: Callable[[], bool],
    ) -> Fate:
        """See the port. Raises Transient."""
        errand = Errand(path=path, known=known, aside=aside, to=to, ask=ask, rested=rested)
        with _opened(root) as directory:
            try:
                return put_away(directory, errand, self._opener, go_on)
            except Stopped:
                raise Transient("the daemon is stopping") from None
            except OSError as error:
                raise put_away_trouble(error, root, path, to) from error

    def bring_back(self, root: bytes, path: bytes, aside: bytes) -> None:
        """See the port. Raises Transient."""
        with _opened(root) as directory:
            try:
                bring_back(directory, path, aside, self._opener)
            except OSError as error:
                raise put_away_trouble(error, root, path, None) from error

    def free_bytes(self, root: bytes) -> int | None:
        """Free bytes for unprivileged users on the folder's file system; None where it cannot be told."""
        try:
            space = os.statvfs(root)
        except OSError:
            return None
        return space.f_bavail * space.f_frsize

    def _open_regular(self, root: bytes, path: bytes) -> int:
        with _opened(root) as directory:
            try:
                return self._opener.open_regular(directory, path)
            except OSError as error:
                raise file_trouble(error, root, path) from error

    def _status(self, root: bytes, path: bytes) -> os.stat_result | None:
        with _opened(root) as directory:
            try:
                descriptor = self._opener.open(directory, path, LOOK_FLAGS)
            except OSError as error:
                if is_gone(error):
                    return None
                raise file_trouble(error, root, path) from error
        try:
            return os.fstat(descriptor)
        except OSError as error:
            raise file_trouble(error, root, path) from error
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _opened(root: bytes) -> Iterator[int]:
    """The root as a place to start from. Raises FolderAway."""
    try:
        descriptor = os.open(root, _ROOT_FLAGS)
    except OSError as error:
        raise folder_away(error, root) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
