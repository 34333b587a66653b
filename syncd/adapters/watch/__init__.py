"""Noticing that something happened in a folder, so that a look comes sooner than the next scan.

Events are hints and the scan is the truth: watchdog loses events on overflow, skips directories at the watch limit and
goes deaf when a root is replaced. Whatever goes wrong here ends in polling and a request for a scan, never in a crash
and never in silence. `inotify` is the port, `observer` holds what touches watchdog itself, `postman` turns its events
into hints, `scans` keeps storms from asking for a scan each, `ears` listens to watchdog's log, `census` counts,
`remote` knows where events cannot come from.
"""

from syncd.adapters.watch.inotify import InotifyWatcher
from syncd.adapters.watch.null import NullWatcher

__all__ = ["InotifyWatcher", "NullWatcher"]
