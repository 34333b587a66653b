"""`ports.Watcher` by inotify: keeps the watches in step with the folders, and says honestly what it does not see."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from watchdog.observers.api import ObservedWatch

from syncd.adapters.watch.census import count_unwatched
from syncd.adapters.watch.ears import Ears
from syncd.adapters.watch.observer import Observer
from syncd.adapters.watch.postman import Postman
from syncd.adapters.watch.scans import Scans
from syncd.model import RootIdentity
from syncd.ports import Clock, Hints

log = structlog.get_logger()

RETRY_SECONDS = 60.0
CENSUS_SECONDS = 600.0
_HINTS = {
    errno.ENOSPC: "raise sysctl fs.inotify.max_user_watches; until then scans find the files",
    errno.EMFILE: "raise sysctl fs.inotify.max_user_instances; until then scans find the files",
}


@dataclass(slots=True)
class _Folder:
    """What we know about watching one folder; `watch` is None while scans alone find its files."""

    identity: RootIdentity
    watch: ObservedWatch | None = None
    real: bytes = b""
    since: float = 0.0
    retry_at: float = 0.0
    census_at: float = 0.0
    doubtful: bool = False  # the last census missed directories, which may just have been too new
    unwatched: int = 0
    remote: bool = False  # other machines may write there unseen
    complaint: str | None = None  # what was logged last, so that it is logged once


class InotifyWatcher:
    """Watches folders by watchdog. `recursive` by root, True where a root is not named.

    `tend` belongs to one thread; `state` may be asked from any, `close` comes last.
    """

    def __init__(
        self,
        hints: Hints,
        recursive: dict[bytes, bool],
        clock: Clock,
        *,
        is_remote: Callable[[int], bool],
    ) -> None:
        self._is_remote = is_remote
        self._hints = hints
        self._recursive = recursive
        self._clock = clock
        self._scans = Scans(hints, clock)
        self._ears = Ears(self._overflowed, self._broke)
        self._observer: Observer | None = None
        self._folders: dict[bytes, _Folder] = {}
        self._broken = threading.Event()
        self._closed = False

    def tend(self, roots: dict[bytes, RootIdentity | None]) -> None:
        """Make the watches match the folders as they are now; called every few seconds, never raises."""
        if self._closed:
            return
        try:
            self._ears.listen()
            self._drop({root for root in self._folders if roots.get(root) is None})
            self._check_observer()
            for root, identity in roots.items():
                if identity is not None:
                    self._tend_folder(root, identity)
        except Exception as error:  # noqa: BLE001  # watchdog may raise anything; the answer is to poll and begin anew
            self._abandon(f"unexpected: {error!r}", pause=RETRY_SECONDS)
        self._scans.flush()

    def state(self, root: bytes) -> str:
        """`inotify`, `poll` (scans only) or `degraded` (some directories of the tree are not watched)."""
        folder = self._folders.get(root)
        if folder is None or folder.watch is None:
            return "poll"
        return "degraded" if folder.unwatched or folder.remote else "inotify"

    def watches(self, root: bytes) -> int | None:
        """How many directories below the root, itself included, are watched; None where watchdog does not tell."""
        folder, observer = self._folders.get(root), self._observer
        if folder is None or folder.watch is None or observer is None:
            return 0
        watched = observer.watched(folder.watch)
        return None if watched is None else len(watched)

    def close(self) -> None:
        """Stop watching for good; again is harmless."""
        self._closed = True
        self._ears.stop()
        observer, self._observer = self._observer, None
        self._folders = {}
        if observer is not None:
            observer.stop()

    def _drop(self, roots: set[bytes]) -> None:
        for root in roots:
            self._unwatch(self._folders.pop(root))
            self._scans.forget(root)

    def _check_observer(self) -> None:
        if self._observer is None:
            return
        if self._broken.is_set():
            self._abandon("watches could not be put back after an overflow")
        elif not self._observer.is_alive():
            self._abandon("a thread or the descriptor of the observer died")

    def _abandon(self, why: str, *, pause: float = 0.0) -> None:
        """Give the observer up; the next one is built with the next folder that is due."""
        log.warning("watch_observer_given_up", why=why)
        self._broken.clear()
        observer, self._observer = self._observer, None
        for root, folder in self._folders.items():
            folder.watch = None
            folder.retry_at = self._clock.monotonic() + pause
            self._scans.ask(root, f"watcher: {why}", again=True)
        if observer is not None:
            observer.stop()

    def _tend_folder(self, root: bytes, identity: RootIdentity) -> None:
        folder = self._folders.setdefault(root, _Folder(identity))
        if folder.identity != identity:
            self._unwatch(folder)
            folder = self._folders[root] = _Folder(identity, complaint=folder.complaint)
            self._begin(root, folder, "root changed")
        elif folder.watch is None:
            if self._clock.monotonic() >= folder.retry_at:
                self._begin(root, folder, "watching begins")
        elif self._observer is None or not self._observer.hears(folder.watch):
            self._unwatch(folder)
            self._begin(root, folder, "its watch died")
        elif self._clock.monotonic() >= folder.census_at:
            self._take_census(root, folder)

    def _begin(self, root: bytes, folder: _Folder, why: str) -> None:
        """Watch a folder; whatever prevents it leaves it to scans, until the next attempt in a minute."""
        now = self._clock.monotonic()
        folder.retry_at = now + RETRY_SECONDS
        recursive = self._recursive.get(root, True)
        try:
            if self._observer is None:
                self._observer = Observer()
            folder.real = os.path.realpath(root)
            postman = Postman(root, folder.real, recursive=recursive, hints=self._hints, scans=self._scans)
            folder.watch = self._observer.watch(folder.real, postman, recursive=recursive)
        except Exception as error:  # noqa: BLE001  # watchdog may raise anything; the answer is to poll
            code = error.errno if isinstance(error, OSError) else None
            self._complain(root, folder, f"cannot watch: {error}", _HINTS.get(code or 0))
            return
        finally:
            # What happened before the watch stood has left no event.
            self._scans.ask(root, why)
        folder.since, folder.doubtful = now, False
        folder.remote = self._is_remote(folder.identity.dev)
        self._take_census(root, folder)
        if folder.remote:
            self._complain(
                root, folder, "other machines write there unseen", "shorten rescan for this folder"
            )

    def _unwatch(self, folder: _Folder) -> None:
        watch, folder.watch = folder.watch, None
        if watch is None or self._observer is None:
            return
        try:
            self._observer.unwatch(watch)
        except Exception as error:  # noqa: BLE001  # watchdog's own books are wrong then: begin with new ones
            self._abandon(f"could not stop watching: {error!r}")

    def _take_census(self, root: bytes, folder: _Folder) -> None:
        """Find out whether all of the tree is watched; one miss may be a directory that is too new, two are not."""
        now = self._clock.monotonic()
        watched = self._observer.watched(folder.watch) if self._observer and folder.watch else None
        recursive = self._recursive.get(root, True)
        missed = 0 if watched is None else count_unwatched(folder.real, watched, recursive=recursive)
        folder.census_at = now + CENSUS_SECONDS
        if missed == 0:
            folder.unwatched, folder.doubtful = 0, False
            folder.complaint = folder.complaint if folder.remote else None
        elif not folder.doubtful:
            folder.doubtful, folder.census_at = True, now
        elif now - folder.since >= RETRY_SECONDS:
            # Watches that were lost on the way come back by watching anew, those beyond the limit do not.
            self._unwatch(folder)
            self._begin(root, folder, "some directories were not watched")
        else:
            folder.unwatched = missed
            self._complain(root, folder, "some directories are not watched", _HINTS[errno.ENOSPC])

    def _complain(self, root: bytes, folder: _Folder, what: str, hint: str | None) -> None:
        if folder.complaint != what:
            folder.complaint = what
            log.warning(
                "watch_incomplete",
                root=_shown(root),
                what=what,
                hint=hint,
                unwatched=folder.unwatched or None,
            )

    def _overflowed(self) -> None:
        """Runs in watchdog's reading thread, before it puts its watches back: so ask for a scan afterwards too."""
        for root in list(self._folders):
            self._scans.ask(root, "overflow", again=True)
        # Said even if a scan was asked for just now and the next one waits; the log itself holds repeats back.
        log.warning("watch_overflow", what="the kernel dropped events: scanning instead")

    def _broke(self) -> None:
        self._broken.set()


def _shown(root: bytes) -> str:
    return root.decode("utf-8", "backslashreplace")
