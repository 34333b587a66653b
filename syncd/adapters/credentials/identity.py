"""Who we are by TLS: the client's certificate and its key, read anew for every fetch so that both can be rotated.

Refuses a key that others can read, and one that wants a password: nobody sits beside this machine to type it.
"""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from syncd.errors import LockedOut

_TOO_OPEN = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate (with its chain) and its private key, as PEM files; the two may be one file."""

    certificate: Path
    key: Path

    def show(self, context: ssl.SSLContext) -> None:
        """From now on the context proves with it who we are. Raises LockedOut (`tls`)."""
        self._check(self.certificate, "client_cert", private=False)
        self._check(self.key, "client_key", private=True)
        reason = ""
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except ssl.SSLError as trouble:
            reason = (trouble.reason or "no PEM file").replace("_", " ").lower()
        except (OSError, ValueError) as trouble:
            reason = str(trouble)
        if reason:  # out here, so that the library's own words go no further
            raise LockedOut(
                f"client_cert {self.certificate} and client_key {self.key} cannot be used: {reason}",
                code="tls",
                hint="both must be PEM files, the key that of the certificate and without a password",
            )

    @staticmethod
    def _check(path: Path, name: str, *, private: bool) -> None:
        try:
            status = _status_of_readable(path)
        except OSError as trouble:
            reason = f"{name} {path}: {trouble.strerror or 'unreadable'}"
            raise LockedOut(
                reason, code="tls", hint="the user that syncd runs as must be able to read it"
            ) from None
        if private and status.st_mode & _TOO_OPEN:
            mode = stat.S_IMODE(status.st_mode)
            reason = f"{name} {path}: can be read by others or written by its group (mode {mode:04o})"
            raise LockedOut(reason, code="tls", hint=f"chmod 640 {path}")


def _status_of_readable(path: Path) -> os.stat_result:
    # Not blocking: a named pipe in its place must not hold us for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _no_password() -> str:
    raise ValueError("the key is encrypted")
