from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.adapters.disk import LocalDisk
from syncd.adapters.mounts import is_remote
from syncd.adapters.watch import InotifyWatcher
from syncd.errors import FolderUnavailable
from syncd.model import RootIdentity

PATIENCE = 10.0


class Mailbox:
    """`ports.Hints` that a test can wait on."""

    def __init__(self) -> None:
        self.paths: queue.Queue[tuple[bytes, bytes]] = queue.Queue()
        self.scans: queue.Queue[tuple[bytes, str]] = queue.Queue()
        self.seen: set[bytes] = set()

    def path(self, root: bytes, path: bytes) -> None:
        self.paths.put((root, path))

    def scan(self, root: bytes, why: str) -> None:
        self.scans.put((root, why))

    def wait_for_path(self, path: bytes) -> None:
        """Until a hint for this path came, whatever else came before it."""
        deadline = time.monotonic() + PATIENCE
        while path not in self.seen:
            try:
                self.seen.add(self.paths.get(timeout=max(0.0, deadline - time.monotonic()))[1])
            except queue.Empty:
                pytest.fail(f"no hint for {path!r}, only for {sorted(self.seen)!r}")

    def wait_for_scan(self, why: str) -> bytes:
        """Until a scan was asked for this reason; the root that it was asked for."""
        deadline = time.monotonic() + PATIENCE
        heard: list[str] = []
        while True:
            try:
                root, reason = self.scans.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no scan because of {why!r}, only {heard!r}")
            if why in reason:
                return root
            heard.append(reason)

    def reasons(self) -> list[str]:
        """Why scans were asked for since the last call."""
        return [self.scans.get()[1] for _ in range(self.scans.qsize())]


class HandClock:
    """`ports.Clock` that only the test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def boottime(self) -> float:
        return self.time

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.time += seconds
        return event.is_set()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def root(folder: Path) -> bytes:
    return os.fsencode(folder)


@pytest.fixture
def watcher(mailbox: Mailbox, clock: HandClock) -> Iterator[InotifyWatcher]:
    made = InotifyWatcher(mailbox, {}, clock, is_remote=is_remote)
    yield made
    made.close()


@pytest.fixture
def tend(watcher: InotifyWatcher, root: bytes) -> Callable[..., None]:
    """Tend to the folder, and to others, as the daemon does: with the identities that they have now."""

    def identity(path: bytes) -> RootIdentity | None:
        try:
            return LocalDisk().root(path)
        except FolderUnavailable:
            return None

    def now(*others: bytes) -> None:
        watcher.tend({path: identity(path) for path in (root, *others)})

    return now
