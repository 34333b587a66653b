"""The control socket's file: where it may be, who may connect, and whether somebody lives there already."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from syncd.errors import Fatal

LONGEST_ADDRESS = 107
"""sun_path has 108 bytes, the last one zero: unix(7)."""

_QUEUE = 32


class SocketUnusable(Fatal):
    """The control socket cannot be where the configuration wants it."""

    exit_code = 78


def listen(path: Path) -> socket.socket:
    """A listening socket, 0660, in a directory made 0750 if missing; a dead daemon's is replaced, a live one never.

    Raises SocketUnusable.
    """
    check_length(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_directory(path.parent)
        with _alone_in(path.parent):
            _clear_place(path)
            listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(_QUEUE)
    except OSError as error:
        listener.close()
        raise SocketUnusable(
            f"{path}: cannot listen there: {error.strerror or error}",
            hint="set console.socket to a place that syncd's user can write to",
        ) from error
    except SocketUnusable:
        listener.close()
        raise
    return listener


def _make_directory(directory: Path) -> None:
    """What is there already keeps its mode; what we make lets the group through, whatever the umask."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(parents=True)
        directory.chmod(0o750)


def check_length(path: Path) -> None:
    """Raises SocketUnusable for an address that the kernel cannot take."""
    length = len(os.fsencode(path))
    if length > LONGEST_ADDRESS:
        raise SocketUnusable(
            f"{path}: a control socket's path may have {LONGEST_ADDRESS} bytes, this one has {length}",
            hint="set console.socket to a shorter path, such as /run/syncd/control.sock",
        )


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two that start at once look one after the other, so that neither takes the other for dead."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear_place(path: Path) -> None:
    """Take a dead daemon's socket away. Raises SocketUnusable where somebody answers, or something else lies."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketUnusable(f"{path} is there and is no socket", hint="move it away, or set console.socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except TimeoutError:
            pass  # its queue is full: somebody lives there
    raise SocketUnusable(
        f"another process answers at {path}", hint="stop it first, or set another console.socket"
    )
