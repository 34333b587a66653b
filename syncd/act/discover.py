"""The scan: what is on disk against what the ledger knows, batch by batch, many changes in one transaction.

Disk and ledger come in the same byte order, so that a batch of paths meets just the rows of its range and memory has a
bound. Nothing counts as missing before the whole folder was seen, and then only after another look. Rows that a worker
is busy with are left alone; a later look finds them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import structlog

from syncd.act.looks import Looks
from syncd.act.recheck import give_up, new_version
from syncd.act.world import FolderPolicy, World
from syncd.decide.compare import Verdict, compare, moved_here
from syncd.decide.states import LIVE
from syncd.errors import FolderUnavailable, Transient
from syncd.model import (
    Amend,
    Blind,
    Change,
    Columns,
    Discover,
    Entry,
    Fingerprint,
    Move,
    State,
    Transfer,
)

log = structlog.get_logger()

BATCH = 500

UNSEEN = Fingerprint(dev=-1, inode=-1, size=-1, mtime_ns=-1, ctime_ns=-1)
"""Stands for a file that may be there but cannot be looked at now."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a batch came to, for the clerk.

    `read_again`: done files whose bytes must be compared. `when_free`: paths to look at when a worker has let go of the
    transfer. `scan_soon`: something is missing that only a scan can sort out.
    """

    read_again: list[int] = field(default_factory=list)
    when_free: list[tuple[int, bytes]] = field(default_factory=list)
    scan_soon: bool = False


@dataclass(slots=True)
class Scan:
    """One pass over a folder, taken up batch by batch."""

    entries: Iterator[Entry | Blind]
    after: bytes = b""
    files: int = 0
    missing: array[int] = field(default_factory=lambda: array("q"))
    blind: list[Blind] = field(default_factory=list)


def begin_scan(folder: FolderPolicy, world: World) -> Scan:
    """Start a pass. Raises FolderUnavailable, here or at the first batch."""
    selection = folder.selection
    return Scan(
        world.disk.scan(
            folder.path, recursive=selection.recursive, descend=selection.descends, take=selection.takes
        )
    )


class Discoverer:
    """Compares entries with rows. `busy` tells which transfers a worker has in hand."""

    def __init__(self, world: World, looks: Looks, busy: Callable[[], Collection[int]]) -> None:
        self._world = world
        self._looks = looks
        self._busy = busy

    def advance(self, folder: FolderPolicy, scan: Scan) -> tuple[bool, Findings]:
        """The next batch of a scan; True when it was the last. Raises FolderUnavailable."""
        batch = list(islice(scan.entries, BATCH))
        entries = {item.path: item.fingerprint for item in batch if isinstance(item, Entry)}
        scan.blind.extend(item for item in batch if isinstance(item, Blind))
        scan.files += len(entries)
        last = len(batch) < BATCH
        upto = None if last else _last_path(batch)
        findings = Findings()
        rows = self._rows(folder, scan, upto, entries)
        self._apply(folder, entries, rows, findings)
        if upto is not None:
            scan.after = upto
        return last, findings

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
                elif row.gone_at is None and not any(
                    (row.path + b"/").startswith(item.prefix) for item in scan.blind
                ):
                    scan.missing.append(row.id)
            after = page[-1].path
        return met

    def look_at(self, folder: FolderPolicy, paths: Iterable[bytes]) -> Findings:
        """Look at some paths out of turn. What is missing is only a reason to scan."""
        findings = Findings()
        entries: dict[bytes, Fingerprint] = {}
        rows: dict[bytes, Transfer] = {}
        for path in paths:
            row = self._world.ledger.at(folder.path, path)
            standing = row if row is not None and (row.state in LIVE or row.state is State.DONE) else None
            waiting = (
                standing is not None and standing.state is State.DISCOVERED and standing.id in self._looks
            )
            if waiting or not folder.selection.takes(path):
                continue  # a file that grows is looked at when its quiet time is over, not at every write
            seen = self._look(folder, path)
            if seen is UNSEEN:
                continue
            if seen is not None:
                entries[path] = seen
            if standing is not None and seen is not None:
                rows[path] = standing
            elif standing is not None and standing.gone_at is None:
                findings.scan_soon = True
        self._apply(folder, entries, rows, findings)
        return findings

    def is_there(self, row: Transfer) -> bool:
        """Whether the row's file is at its path, as far as can be told."""
        folder = self._world.folders[row.folder]
        return self._look(folder, row.path) not in {None, UNSEEN}

    # -- entries against rows

    def _apply(
        self,
        folder: FolderPolicy,
        entries: dict[bytes, Fingerprint],
        rows: dict[bytes, Transfer],
        findings: Findings,
    ) -> None:
        """Renames first: a file that was renamed onto the path of another takes its row along."""
        busy = self._busy()
        changes: list[Change] = []
        strays: dict[bytes, Fingerprint] = {}
        for path, seen in entries.items():
            if path in rows and compare(rows[path], seen) is Verdict.SAME:
                changes.extend(self._same(folder, rows[path]))
            else:
                strays[path] = seen
        origins = self._origins(folder, strays, rows)
        in_hand = {path: row for path in strays for row in _concerned(path, origins, rows) if row.id in busy}
        findings.when_free.extend((row.id, path) for path, row in in_hand.items())
        for path in in_hand:
            strays.pop(path)
            origins.pop(path, None)
        moved, renames = self._renames(folder, origins, rows, strays)
        changes.extend(renames)
        for path, seen in strays.items():
            standing = rows.get(path)
            if standing is None or standing.id in moved:
                changes.append(Discover(folder=folder.path, path=path, fingerprint=seen, why="first seen"))
            else:
                changes.extend(self._changed(folder, standing, seen, findings))
        self._commit(folder, changes)

    def _origins(
        self, folder: FolderPolicy, strays: dict[bytes, Fingerprint], rows: dict[bytes, Transfer]
    ) -> dict[bytes, Transfer]:
        """For paths that a file was renamed to: the row that came with it."""
        found: dict[bytes, Transfer] = {}
        for path, seen in strays.items():
            if path not in rows or rows[path].fingerprint.inode != seen.inode:
                row = self._renamed_from(folder, path, seen)
                if row is not None and row.id not in {other.id for other in found.values()}:
                    found[path] = row
        return found

    def _renames(
        self,
        folder: FolderPolicy,
        origins: dict[bytes, Transfer],
        rows: dict[bytes, Transfer],
        strays: dict[bytes, Fingerprint],
    ) -> tuple[set[int], list[Change]]:
        """Let rows follow their files, those first whose new path is free; a circle of names is left as it is.

        What was placed is taken out of `strays`; returns the rows that went elsewhere, and the changes.
        """
        moved: set[int] = set()
        changes: list[Change] = []
        while origins:
            going = {row.id for row in origins.values()}
            ready = [path for path in origins if path not in rows or rows[path].id not in going]
            if not ready:
                break
            for path in ready:
                row, standing = origins.pop(path), rows.get(path)
                if standing is not None and standing.id not in moved:
                    why = "another file was renamed to its path"
                    makes_place = Move(id=standing.id, was=standing.state, to=State.SUPERSEDED, why=why)
                    changes.extend([*give_up(standing), makes_place])
                changes.extend(self._follow(folder, row, path, strays.pop(path)))
                moved.add(row.id)
        return moved, changes

    def _commit(self, folder: FolderPolicy, changes: list[Change]) -> None:
        if not changes:
            return
        now = self._world.clock.monotonic()
        for identity in self._world.ledger.commit(changes):
            self._looks.begin(identity, now, folder.settle.quiet_s)

    def _renamed_from(self, folder: FolderPolicy, path: bytes, seen: Fingerprint) -> Transfer | None:
        for row in self._world.ledger.like(seen):
            if row.folder != folder.path or row.path == path or not moved_here(row, seen):
                continue
            there = self._look(folder, row.path)
            if there is not UNSEEN and (there is None or there.inode != seen.inode):
                return row
        return None

    def _look(self, folder: FolderPolicy, path: bytes) -> Fingerprint | None:
        """What is at the path; UNSEEN where that cannot be told now, which is never the same as gone."""
        try:
            return self._world.disk.look(folder.path, path)
        except FolderUnavailable:
            raise
        except Transient as trouble:
            log.info("look_failed", path=folder.path + b"/" + path, error=str(trouble))
            return UNSEEN

    def _follow(self, folder: FolderPolicy, row: Transfer, path: bytes, seen: Fingerprint) -> list[Change]:
        """The row goes with its file; a key that is fixed stays."""
        sets = Columns(path=path, fingerprint=seen)
        if row.state is State.DONE:
            sets["gone_at"] = None
        else:
            sets["not_before"] = 0.0
        if row.state is State.DISCOVERED:
            self._looks.begin(row.id, self._world.clock.monotonic(), folder.settle.quiet_s)
        why = f"renamed from {row.path.decode('utf-8', 'backslashreplace')}"
        return [Amend(id=row.id, was=row.state, sets=sets, why=why)]

    def _changed(
        self, folder: FolderPolicy, row: Transfer, seen: Fingerprint, findings: Findings
    ) -> list[Change]:
        match compare(row, seen):
            case Verdict.UPDATE:
                return self._update(folder, row, seen)
            case Verdict.READ_AGAIN:
                # For an upload that is open, the step that goes on with it compares the parts.
                findings.read_again.extend([row.id] if row.state is State.DONE else [])
                return []
            case _:
                return new_version(row, seen, "the file changed")

    def _same(self, folder: FolderPolicy, row: Transfer) -> list[Change]:
        if row.state is State.DISCOVERED and row.id not in self._looks:
            self._looks.begin(row.id, self._world.clock.monotonic(), folder.settle.quiet_s)
        if row.gone_at is not None:
            return [Amend(id=row.id, was=row.state, sets=Columns(gone_at=None), why="it is back, unchanged")]
        return []

    def _update(self, folder: FolderPolicy, row: Transfer, seen: Fingerprint) -> list[Change]:
        """Not sent yet: only the fingerprint changes, and the quiet time begins anew."""
        self._looks.begin(row.id, self._world.clock.monotonic(), folder.settle.quiet_s)
        sets = Columns(fingerprint=seen, parked_reason=None, hint=None, attempts=0)
        if row.state is State.SETTLED:
            why = "it changed after it had settled"
            return [Move(id=row.id, was=State.SETTLED, to=State.DISCOVERED, why=why, sets=sets)]
        return [Amend(id=row.id, was=row.state, sets=sets)]

    # -- what was not seen

    def conclude(self, folder: FolderPolicy, scan: Scan, limit: int = BATCH) -> bool:
        """After the last batch: another look at some of the missing; True when none are left to look at."""
        busy = self._busy()
        changes: list[Change] = []
        for _ in range(min(limit, len(scan.missing))):
            row = self._world.ledger.get(scan.missing.pop())
            if row is not None and row.id not in busy:
                changes.extend(self._missing(folder, row))
        if changes:
            self._world.ledger.commit(changes)
        return not scan.missing

    def _missing(self, folder: FolderPolicy, row: Transfer) -> list[Change]:
        ended = row.state not in LIVE and row.state is not State.DONE
        if row.folder != folder.path or ended or row.gone_at is not None:
            return []
        if self._look(folder, row.path) is not None:
            return []  # back again, excluded now, or it cannot be told: not gone
        if row.state is State.DONE:
            return [Amend(id=row.id, was=State.DONE, sets=Columns(gone_at=self._world.clock.now()))]
        return self._vanished(row)

    def _vanished(self, row: Transfer) -> list[Change]:
        """Gone before it was sent. Where the object may be written already, the step asks the store first."""
        written_perhaps = row.state is State.COMPLETING and (row.part_size is not None or row.attempts == 0)
        if written_perhaps or row.state is State.VERIFIED:
            return []
        self._looks.forget(row.id)
        why = "its file is gone"
        return [*give_up(row), Move(id=row.id, was=row.state, to=State.VANISHED, why=why)]


def _concerned(path: bytes, origins: dict[bytes, Transfer], rows: dict[bytes, Transfer]) -> list[Transfer]:
    """The rows that a change at the path touches."""
    return [row for row in (origins.get(path), rows.get(path)) if row is not None]


def _last_path(batch: list[Entry | Blind]) -> bytes:
    """Up to where a batch has seen everything."""
    last = batch[-1]
    return last.path if isinstance(last, Entry) else last.prefix
