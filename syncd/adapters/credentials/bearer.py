"""The device's token, read anew for every fetch so that it can be rotated under a running daemon.

Refuses a file that others can read or the group can write, and a token that could not stand in a header. Never says
what is in the file.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from syncd.errors import LockedOut

if TYPE_CHECKING:
    from pathlib import Path

_SIZE_LIMIT = 8 * 1024  # what servers commonly take as one header line
_TOO_OPEN = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP


class TokenFile:
    """A file with one token in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[str, ...] = ()  # the token in use, and the one before

    def secrets(self) -> tuple[str, ...]:
        """What must not be seen by anyone."""
        return self._seen

    def read(self) -> str:
        """The token as it is now; the former one while the file is empty. Raises LockedOut (`credentials`)."""
        token = self._content()
        if not token and self._seen:
            return self._seen[0]  # somebody is just writing it
        if not token:
            raise self._refused("is empty", hint="put the device's token into it")
        if not all("!" <= character <= "~" for character in token):
            raise self._refused(
                "has more in it than one token", hint="one line of printable ASCII without blanks is expected"
            )
        if token not in self._seen[:1]:
            self._seen = (token, *self._seen[:1])
        return token

    def _content(self) -> str:
        """Raises LockedOut. Bytes that are no ASCII come as characters that no token may have."""
        reason = ""
        try:
            # Not blocking: a named pipe in its place must not hold us for ever.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as trouble:
            reason = trouble.strerror or "cannot be opened"
        if reason:
            raise self._refused(reason, hint="the user that syncd runs as must be able to read it")
        try:
            self._check(os.fstat(descriptor))
            return os.read(descriptor, _SIZE_LIMIT).decode("latin-1").strip(" \t\r\n")
        except OSError as trouble:
            reason = trouble.strerror or "cannot be read"
        finally:
            os.close(descriptor)
        raise self._refused(reason, hint="is its disk all right?")

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self._refused(
                "is not a regular file", hint="token_file must name a file with the token in it"
            )
        if status.st_mode & _TOO_OPEN:
            mode = stat.S_IMODE(status.st_mode)
            raise self._refused(
                f"can be read by others or written by its group (mode {mode:04o})",
                hint=f"chmod 640 {self._path}",
            )
        if status.st_size >= _SIZE_LIMIT:
            raise self._refused(
                "is too large for a token", hint="token_file must hold the token and nothing else"
            )

    def _refused(self, what: str, *, hint: str) -> LockedOut:
        return LockedOut(f"token file {self._path}: {what}", code="credentials", hint=hint)
