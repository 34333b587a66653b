"""The scan: what is on disk against what the ledger knows, batch by batch, many changes in one transaction.

Disk and ledger come in the same byte order, so that a batch of paths meets just the rows of its range and memory has a
bound. Nothing counts as missing before the whole folder was seen, and then only after another look. Rows that a worker
is busy with are left alone; a later look finds them. `match` says what to make of what was seen.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

from syncd.act.looks import Looks
from syncd.act.match import UNSEEN, Batch, Findings, Matcher
from syncd.act.recheck import give_up
from syncd.act.world import FolderPolicy, World
from syncd.decide.states import LIVE
from syncd.errors import RowMoved
from syncd.model import Amend, Blind, Change, Columns, Entry, Fingerprint, Move, State, Transfer

BATCH = 500
KNOWN_FILES_ASKED = 20


@dataclass(slots=True)
class Scan:
    """One pass over a folder, taken up batch by batch. `later`: paths to judge when all of it was seen."""

    entries: Iterator[Entry | Blind]
    replaced: bool = False
    after: bytes = b""
    files: int = 0
    missing: array[int] = field(default_factory=lambda: array("q"))
    later: list[bytes] = field(default_factory=list)
    blind: list[Blind] = field(default_factory=list)


def begin_scan(folder: FolderPolicy, world: World, *, replaced: bool = False) -> Scan:
    """Start a pass. Raises FolderUnavailable, here or at the first batch."""
    selection = folder.selection
    entries = world.disk.scan(
        folder.path, recursive=selection.recursive, descend=selection.descends, take=selection.takes
    )
    return Scan(entries, replaced)


class Discoverer:
    """Compares entries with rows. `busy` tells which transfers a worker has in hand; only this thread adds to them."""

    def __init__(self, world: World, looks: Looks, busy: Callable[[], AbstractSet[int]]) -> None:
        self._world = world
        self._looks = looks
        self._busy = busy
        self._matcher = Matcher(world, looks)

    def advance(self, folder: FolderPolicy, scan: Scan) -> tuple[bool, Findings]:
        """The next batch of a scan; True when it was the last. Raises FolderUnavailable."""
        busy = self._busy()  # before the rows are read: whoever ends meanwhile is still taken for busy
        items = list(islice(scan.entries, BATCH))
        entries = {item.path: item.fingerprint for item in items if isinstance(item, Entry)}
        scan.blind.extend(item for item in items if isinstance(item, Blind))
        scan.files += len(entries)
        upto = None if len(items) < BATCH else _last_path(items)
        rows = self._rows(folder, scan, upto, entries)
        batch = Batch(
            folder=folder, entries=entries, rows=rows, busy=busy, replaced=scan.replaced, later=scan.later
        )
        findings = self._apply(batch)
        if upto is not None:
            scan.after = upto
        return upto is None, findings

    def _rows(
        self, folder: FolderPolicy, scan: Scan, upto: bytes | None, entries: dict[bytes, Fingerprint]
    ) -> dict[bytes, Transfer]:
        """The rows of the batch's range that were seen; those that were not are kept in mind as missing."""
        met: dict[bytes, Transfer] = {}
        after = scan.after
        while page := self._world.ledger.between(folder.path, after, upto, 1000):
            for row in page:
                if row.path in entries:
                    met[row.path] = row
                elif row.gone_at is None and not _hidden(row.path, scan.blind):
                    scan.missing.append(row.id)
            after = page[-1].path
        return met

    def look_at(
        self,
        folder: FolderPolicy,
        paths: Iterable[bytes],
        *,
        replaced: bool = False,
        later: list[bytes] | None = None,
    ) -> Findings:
        """Look at some paths out of turn. What is missing is only a reason to scan; so is what is put off to `later`."""
        batch = Batch(folder=folder, entries={}, rows={}, busy=self._busy(), replaced=replaced, later=later)
        missing = False
        for path in paths:
            row = self._world.ledger.at(folder.path, path)
            standing = row if row is not None and (row.state in LIVE or row.state is State.DONE) else None
            if self._is_looked_at_anyway(standing) or not folder.selection.takes(path):
                continue
            seen = self._matcher.look(folder, path)
            if seen is UNSEEN:
                continue
            if seen is not None:
                batch.entries[path] = seen
            if standing is not None and seen is not None:
                batch.rows[path] = standing
            missing = missing or (seen is None and standing is not None and standing.gone_at is None)
        findings = self._apply(batch)
        findings.scan_soon = findings.scan_soon or missing or bool(later)
        return findings

    def _is_looked_at_anyway(self, row: Transfer | None) -> bool:
        """A file that grows is looked at when its quiet time is over, not at every write."""
        return row is not None and row.state is State.DISCOVERED and row.id in self._looks

    def _apply(self, batch: Batch) -> Findings:
        findings = Findings()
        changes = self._matcher.match(batch, findings)
        if changes:
            try:
                made = self._world.ledger.commit(changes)
            except RowMoved:  # somebody else was at a row after all: see it all again
                findings.scan_soon = True
                return findings
            now = self._world.clock.monotonic()
            for identity in made:
                self._looks.begin(identity, now, batch.folder.settle.quiet_s)
        return findings

    # -- after all was seen

    def conclude(self, folder: FolderPolicy, scan: Scan) -> tuple[bool, Findings]:
        """Judge some of what was left for the end; True when nothing is left. Raises FolderUnavailable."""
        if scan.later:
            paths, scan.later = scan.later[:BATCH], scan.later[BATCH:]
            return False, self.look_at(folder, paths, replaced=scan.replaced)
        findings = Findings()
        if not scan.replaced:
            self._judge_missing(folder, scan, findings)
        return scan.replaced or not scan.missing, findings

    def _judge_missing(self, folder: FolderPolicy, scan: Scan, findings: Findings) -> None:
        busy = self._busy()
        changes: list[Change] = []
        for _ in range(min(BATCH, len(scan.missing))):
            row = self._world.ledger.get(scan.missing.pop())
            if row is not None and row.id not in busy:
                changes.extend(self._missing(folder, row))
        try:
            self._world.ledger.commit(changes)
        except RowMoved:
            findings.scan_soon = True

    def _missing(self, folder: FolderPolicy, row: Transfer) -> list[Change]:
        ended = row.state not in LIVE and row.state is not State.DONE
        if row.folder != folder.path or ended or row.gone_at is not None:
            return []
        if self._matcher.look(folder, row.path) is not None:
            return []  # back again, excluded now, or it cannot be told: not gone
        if row.state is State.DONE:
            return [Amend(id=row.id, was=State.DONE, sets=Columns(gone_at=self._world.clock.now()))]
        if row.state in {State.COMPLETING, State.VERIFIED}:
            return []  # its object may be there: the step asks the store, and says if it is not
        self._looks.forget(row.id)
        return vanished(row)

    # -- whose directory it is

    def recognizes(self, folder: FolderPolicy) -> bool:
        """Whether files that we know are in the folder, where we know them; also if we know none."""
        known = [
            row
            for row in self._world.ledger.between(folder.path, b"", None, KNOWN_FILES_ASKED)
            if row.gone_at is None
        ]
        return not known or any(self.has(folder, row) for row in known)

    def has(self, folder: FolderPolicy, row: Transfer) -> bool:
        """Whether the row's file is at its path in the directory that is there now, as far as can be told."""
        seen, known = self._matcher.look(folder, row.path), row.fingerprint
        if seen is None:
            return False
        return (seen.inode, seen.size, seen.mtime_ns) == (known.inode, known.size, known.mtime_ns)


def vanished(row: Transfer) -> list[Change]:
    """Its file is gone before it was sent; an open upload is given up."""
    return [*give_up(row), Move(id=row.id, was=row.state, to=State.VANISHED, why="its file is gone")]


def _hidden(path: bytes, blind: list[Blind]) -> bool:
    return any((path + b"/").startswith(item.prefix) for item in blind)


def _last_path(items: list[Entry | Blind]) -> bytes:
    """Up to where a batch has seen everything."""
    last = items[-1]
    return last.path if isinstance(last, Entry) else last.prefix
