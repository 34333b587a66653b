"""Tells systemd how things stand, by the datagrams of sd_notify(3): ready, reloading, stopping, alive, one line of status.

Without a socket in the environment nothing is said. Refuses to be in the way: a datagram that does not go is not missed.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """The service manager's ear, if there is one."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        told = os.environ if environ is None else environ
        self._address = told.get("NOTIFY_SOCKET", "")
        meant = told.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = told.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(micros) / 1e6 if meant and micros.isdecimal() and int(micros) > 0 else None
        """Within so many seconds systemd wants to hear that we are alive; None: it does not."""

    def ready(self) -> None:
        """The service is up, or up again after a reload."""
        self._send("READY=1")

    def reloading(self, monotonic_s: float) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Something moved, or there was nothing to do."""
        self._send("WATCHDOG=1")

    def status(self, line: str) -> None:
        """What `systemctl status` shows."""
        self._send("STATUS=" + " ".join(line.split()))

    def _send(self, words: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is in the abstract namespace, whose names begin with NUL.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.setblocking(False)
            ear.sendto(words.encode(), address)
