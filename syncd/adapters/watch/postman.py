"""What watchdog's thread runs for each event: drop a path, or ask for a scan. Nothing else happens there."""

from __future__ import annotations

import os

from watchdog.events import FileSystemEvent, FileSystemEventHandler

from syncd.adapters.watch.scans import Scans
from syncd.ports import Hints


class Postman(FileSystemEventHandler):
    """Carries the events below one real directory to the folder it stands for; never raises.

    An exception here would end watchdog's only dispatching thread and leave the daemon deaf.
    """

    def __init__(self, root: bytes, real: bytes, *, recursive: bool, hints: Hints, scans: Scans) -> None:
        self._root = root
        self._real = real
        self._below = real.rstrip(b"/") + b"/"
        self._recursive = recursive
        self._hints = hints
        self._scans = scans

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one event."""
        try:
            self._carry(event)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end watchdog's thread
            self._scans.ask(self._root, f"an event could not be handled: {error!r}")

    def _carry(self, event: FileSystemEvent) -> None:
        paths = [os.fsencode(path) for path in (event.src_path, event.dest_path) if path]
        if event.is_directory:
            # Files may have come or gone with it without an event of their own.
            if self._recursive or self._real in paths:
                self._scans.ask(self._root, "directories came or went")
            return
        for path in paths:
            if path.startswith(self._below):
                self._hints.path(self._root, path[len(self._below) :])
