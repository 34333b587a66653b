"""A disk that answers, or is said not to: no file system behind a network or a process ever holds up the others.

A call to such a folder runs in a thread of its own. If no answer comes in time it is left to itself, the folder waits,
and all that is asked of it fails at once until something answers there again. Local folders are asked directly.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Generic, TypeVar

from syncd.adapters.disk.trouble import FolderAway, shown
from syncd.errors import SyncdError
from syncd.model import Blind, Entry, Fate, Fingerprint, RootIdentity, Writer
from syncd.ports import Disk, OpenFile

T = TypeVar("T")

PATIENCE_S = 15.0
"""So long may one call take, or one block of a long one. A server that spins up a disk needs ten."""
PROBE_S = 0.2
PROBE_EVERY = 12
"""Of so many looks at the root of a silent folder, one every few seconds, one is really made."""
LEFT_AT_MOST = 8
"""With more calls than this that never ended nothing more is asked of a folder."""

_BLOCK = 1 << 20
_BATCH = 64  # entries of a scan in one call, each perhaps a question to a slow server


class _Call(Generic[T]):
    """One question, asked in a thread of its own. `late` takes an answer that nobody waits for any more."""

    def __init__(self, what: Callable[[], T], late: Callable[[T], object], ended: Callable[[], None]) -> None:
        self._what, self._late, self._tell = what, late, ended
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._left = False
        self._answer: list[T] = []
        self._error: BaseException | None = None

    def begin(self) -> None:
        # A daemon: a call that never ends must not keep the process.
        threading.Thread(target=self._run, name="far-disk", daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer.append(self._what())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        with self._lock:
            self._done.set()
            left = self._left
        self._tell()
        if left and self._answer:
            with contextlib.suppress(SyncdError, OSError):
                self._late(self._answer[0])

    def ended(self, within: float = 0.0) -> bool:
        """Whether it has ended, or ends so soon."""
        return self._done.wait(within)

    def leave(self) -> bool:
        """Leave it to itself; False if it has just ended."""
        with self._lock:
            self._left = not self._done.is_set()
        return self._left

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._answer[0]


class Line:
    """The way to one folder: open, or silent since a call was left without an answer."""

    def __init__(self, root: bytes, patience_s: float = PATIENCE_S) -> None:
        self._root = root
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._left: list[
            tuple[_Call[Any], bool]
        ] = []  # without an answer so far, and whether it may change something
        self._silent = False
        self._looks = 0  # at the root, since it is silent

    def ask(
        self,
        what: Callable[[], T],
        *,
        late: Callable[[T], object] = lambda _: None,
        changes: bool = False,
        went_on: Callable[[], bool] = lambda: False,
    ) -> T:
        """The answer. Raises FolderAway if none comes in time, or at once while the folder is silent.

        `went_on`: whether a long call has, since that was last asked. `changes`: not while one like it may still go on.
        """
        with self._lock:
            self._left = [(call, also) for call, also in self._left if not call.ended()]
            if self._silent or (changes and any(also for _, also in self._left)):
                raise self._away()
        return self._in_time(_Call(what, late, self._answered), self._patience_s, went_on, changes=changes)

    def probe(self, what: Callable[[], T]) -> T:
        """As `ask`, but also while the folder is silent, now and then and without waiting for long."""
        with self._lock:
            silent = self._silent
            if silent:
                self._left = [(call, also) for call, also in self._left if not call.ended()]
                self._looks += 1
                if self._looks % PROBE_EVERY or len(self._left) > LEFT_AT_MOST:
                    raise self._away()
        call = _Call(what, lambda _: None, self._answered)
        return self._in_time(call, PROBE_S if silent else self._patience_s, lambda: False, changes=False)

    def _in_time(self, call: _Call[T], seconds: float, went_on: Callable[[], bool], *, changes: bool) -> T:
        call.begin()
        while not call.ended(within=seconds):
            if not went_on() and self._leave(call, changes=changes):
                raise self._away()
        return call.result()

    def _leave(self, call: _Call[T], *, changes: bool) -> bool:
        with self._lock:
            if not call.leave():
                return False
            self._left.append((call, changes))
            if not self._silent:
                self._silent, self._looks = True, 0
            return True

    def _answered(self) -> None:
        with self._lock:
            self._silent = False

    def _away(self) -> FolderAway:
        hint = "the file server, or the program behind the mount, is stuck: check it and the network, or mount it again"
        return FolderAway(f"{shown(self._root)} does not answer", hint=hint)


class PatientFile:
    """`ports.OpenFile` over a line: each block is read into memory that a call without an end may keep."""

    def __init__(self, file: OpenFile, line: Line) -> None:
        self._file, self._line = file, line

    def fingerprint(self) -> Fingerprint:
        """See the port. Raises Transient."""
        return self._line.ask(self._file.fingerprint)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """See the port. Raises Transient."""
        filled = 0
        while filled < len(buffer):
            got = self._line.ask(lambda at=filled: self._block(offset + at, min(_BLOCK, len(buffer) - at)))  # type: ignore[misc]
            buffer[filled : filled + len(got)] = got
            filled += len(got)
            if not got:
                break
        return filled

    def _block(self, offset: int, size: int) -> memoryview:
        block = memoryview(bytearray(size))
        return block[: self._file.read_into(offset, block)]

    def close(self) -> None:
        """Let go of it; where the folder is silent, behind our back."""
        threading.Thread(target=self._file.close, name="far-disk-close", daemon=True).start()


class PatientDisk:
    """`ports.Disk` over another one. `far` says which folders may not answer; asked anew whenever a root is looked at."""

    def __init__(
        self,
        disk: Disk,
        *,
        far: Callable[[bytes], bool],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._disk = disk
        self._is_far = far
        self._patience_s = patience_s
        self._far: dict[bytes, bool] = {}
        self._lines: dict[bytes, Line] = {}

    def root(self, root: bytes) -> RootIdentity:
        """See the port. Raises FolderUnavailable."""
        self._far[root] = self._is_far(root)
        line = self._line(root)
        return self._disk.root(root) if line is None else line.probe(lambda: self._disk.root(root))

    def scan(
        self,
        root: bytes,
        *,
        recursive: bool,
        descend: Callable[[bytes], bool],
        take: Callable[[bytes], bool],
    ) -> Iterator[Entry | Blind]:
        """See the port. Raises FolderUnavailable."""
        entries = self._disk.scan(root, recursive=recursive, descend=descend, take=take)
        line = self._line(root)
        return entries if line is None else _in_batches(entries, line)

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        """See the port. Raises Transient."""
        return self._ask(root, lambda: self._disk.look(root, path))

    def exists(self, root: bytes, path: bytes) -> bool:
        """See the port."""
        try:
            return self._ask(root, lambda: self._disk.exists(root, path))
        except FolderAway:
            return False

    def open(self, root: bytes, path: bytes) -> OpenFile:
        """See the port. Raises Vanished, Transient."""
        line = self._line(root)
        if line is None:
            return self._disk.open(root, path)
        file = line.ask(lambda: self._disk.open(root, path), late=lambda opened: opened.close())
        return PatientFile(file, line)

    def writer(self, root: bytes, path: bytes) -> Writer:
        """See the port."""
        try:
            return self._ask(root, lambda: self._disk.writer(root, path))
        except FolderAway:
            return Writer.UNASKED

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
        """See the port. Raises Transient; one that got no answer goes no further than the step that it is in."""
        beat, left = threading.Event(), threading.Event()

        def still() -> bool:
            beat.set()
            return go_on() and not left.is_set()

        def went_on() -> bool:
            went = beat.is_set()
            beat.clear()
            return went

        def act() -> Fate:
            return self._disk.put_away(
                root, path, known, aside=aside, to=to, ask=ask, rested=rested, go_on=still
            )

        if to is not None:
            self._far[to] = self._is_far(to)
        line = self._line(root) or (None if to is None else self._line(to))
        if line is None:
            return act()
        try:
            return line.ask(act, changes=True, went_on=went_on)
        except FolderAway:
            left.set()
            raise

    def bring_back(self, root: bytes, path: bytes, aside: bytes) -> None:
        """See the port. Raises Transient."""
        line = self._line(root)
        if line is None:
            self._disk.bring_back(root, path, aside)
        else:
            line.ask(lambda: self._disk.bring_back(root, path, aside), changes=True)

    def free_bytes(self, root: bytes) -> int | None:
        """See the port."""
        try:
            return self._ask(root, lambda: self._disk.free_bytes(root))
        except FolderAway:
            return None

    def _ask(self, root: bytes, what: Callable[[], T]) -> T:
        line = self._line(root)
        return what() if line is None else line.ask(what)

    def _line(self, root: bytes) -> Line | None:
        """None where the folder is near."""
        far = self._far.get(root)
        if far is None:
            far = self._far[root] = self._is_far(root)
        return self._lines.setdefault(root, Line(root, self._patience_s)) if far else None


def _in_batches(entries: Iterator[Entry | Blind], line: Line) -> Iterator[Entry | Blind]:
    """The walk, some entries for each call."""
    close = getattr(entries, "close", lambda: None)
    walking = False
    try:
        while True:
            walking = True
            batch = line.ask(lambda: _some(entries), late=lambda _: close())
            walking = False
            if not batch:
                return
            yield from batch
    finally:
        if not walking:
            close()


def _some(entries: Iterator[Entry | Blind]) -> list[Entry | Blind]:
    """A few of them; empty at the end."""
    return list(islice(entries, _BATCH))
