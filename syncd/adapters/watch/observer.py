"""The part that touches watchdog: one inotify instance, and a recursive watch for each folder.

What watchdog does not offer is read from its attributes through `getattr`, so that another version of it costs us the
answer and not the daemon. Everything here may raise anything; `inotify` copes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import EventEmitter, ObservedWatch
from watchdog.observers.inotify import InotifyObserver

# Without opened and closed-no-write: watchdog's own walk of a tree of thousands of directories would raise them, fill
# the kernel's queue, and after each overflow walk again. Not fewer than these either: with closed alone nothing is
# told about directories that are moved in.
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
_STOP_SECONDS = 5.0


class Observer:
    """A running observer of watchdog. Raises OSError (EMFILE) where the limit of inotify instances is reached."""

    def __init__(self) -> None:
        self._observer = InotifyObserver()
        self._observer.start()

    def watch(self, real: bytes, handler: FileSystemEventHandler, *, recursive: bool) -> ObservedWatch:
        """Watch a directory by its real path, with everything below it that can be watched.

        Raises OSError where the directory itself cannot be watched, ENOSPC at the limit of watches.
        """
        # Watchdog takes an unreadable root for a watched one.
        os.scandir(real).close()
        return self._observer.schedule(handler, os.fsdecode(real), recursive=recursive, event_filter=EVENTS)

    def unwatch(self, watch: ObservedWatch) -> None:
        """Let go of a directory; one that is not watched is no matter (two folders may lead to the same one)."""
        if self._emitter(watch) is not None:
            self._observer.unschedule(watch)

    def is_alive(self) -> bool:
        """Whether the threads that read and dispatch events still run, on a descriptor that is still open."""
        reader = getattr(self._observer, "_inotify_fd", None)
        if not self._observer.is_alive() or (isinstance(reader, threading.Thread) and not reader.is_alive()):
            return False
        descriptor = getattr(reader, "_inotify_fd", None)
        try:
            return not isinstance(descriptor, int) or bool(os.fstat(descriptor))
        except OSError:
            return False

    def hears(self, watch: ObservedWatch) -> bool:
        """Whether events of this directory still come: its thread ends when the directory is removed.

        The kernel drops the watch, and nobody says so, when the file system is unmounted.
        """
        emitter = self._emitter(watch)
        paths = self.watched(watch)
        held = paths is None or paths.get(os.fsencode(watch.path), -1) >= 0
        return emitter is not None and emitter.is_alive() and held

    def watched(self, watch: ObservedWatch) -> Mapping[bytes, int] | None:
        """Watch descriptors by path below this directory; None where watchdog does not tell."""
        group = getattr(self._emitter(watch), "_inotify", None)
        paths = getattr(group, "_active_callbacks_by_path", None)
        return paths if isinstance(paths, dict) else None

    def stop(self) -> None:
        """End all threads, as far as they let themselves be ended within a few seconds. Never raises."""
        ending = threading.Thread(target=self._stop, name="watch-stop", daemon=True)
        ending.start()
        ending.join(_STOP_SECONDS)

    def _stop(self) -> None:
        with contextlib.suppress(Exception):
            self._observer.stop()
        reader = getattr(self._observer, "_inotify_fd", None)
        for thread in (reader, self._observer):
            if isinstance(thread, threading.Thread):
                with contextlib.suppress(Exception):
                    thread.stop()  # type: ignore[attr-defined]  # watchdog's threads have it
                with contextlib.suppress(RuntimeError):
                    thread.join()

    def _emitter(self, watch: ObservedWatch) -> EventEmitter | None:
        return next((emitter for emitter in self._observer.emitters if emitter.watch == watch), None)
