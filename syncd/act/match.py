"""What was seen against what is known: which row stands for which file, after renames, changes and swapped cards.

Pure bookkeeping over one batch of paths: it looks again at former paths, and makes the changes that `discover` commits.
A row that follows its file keeps its old ctime once bytes were sent, so that the bytes are compared before anybody believes
that it is the same file: an inode is soon used again, and size and time can be equal.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import structlog

from syncd.act.looks import Looks
from syncd.act.recheck import give_up, new_version
from syncd.act.world import FolderPolicy, World
from syncd.decide.compare import Verdict, compare, moved_here
from syncd.errors import FolderUnavailable, Transient
from syncd.model import Amend, Change, Columns, Discover, Fingerprint, Move, State, Transfer

log = structlog.get_logger()

UNSEEN = Fingerprint(dev=-1, inode=-1, size=-1, mtime_ns=-1, ctime_ns=-1)
"""Stands for a file that may be there but cannot be looked at now."""

_NOT_SENT = frozenset({State.DISCOVERED, State.SETTLED})


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a batch came to, for the clerk.

    `read_again`: done files whose bytes must be compared. `when_free`: paths to look at when a worker has let go of the
    transfer. `scan_soon`: something is missing that only a scan can sort out.
    """

    read_again: list[int] = field(default_factory=list)
    when_free: list[tuple[int, bytes]] = field(default_factory=list)
    scan_soon: bool = False

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            read_again=[*self.read_again, *other.read_again],
            when_free=[*self.when_free, *other.when_free],
            scan_soon=self.scan_soon or other.scan_soon,
        )


@dataclass(slots=True, kw_only=True)
class Batch:
    """Some paths of a folder: what was seen there, the rows that stand for them, and who is in a worker's hand.

    `replaced`: the folder's directory is another one than before. `later`: where paths go whose file was perhaps renamed
    from a path that is still to be seen; None: judge them now.
    """

    folder: FolderPolicy
    entries: dict[bytes, Fingerprint]
    rows: dict[bytes, Transfer]
    busy: AbstractSet[int]
    replaced: bool = False
    later: list[bytes] | None = None


class Matcher:
    """Owned by the clerk's thread."""

    def __init__(self, world: World, looks: Looks) -> None:
        self._world = world
        self._looks = looks

    def match(self, batch: Batch, findings: Findings) -> list[Change]:
        """The changes for a batch. Renames first: a file renamed onto the path of another takes its row along."""
        changes: list[Change] = []
        strays: dict[bytes, Fingerprint] = {}
        for path, seen in batch.entries.items():
            if path in batch.rows and compare(batch.rows[path], seen) is Verdict.SAME:
                changes.extend(self._same(batch.folder, batch.rows[path]))
            else:
                strays[path] = seen
        origins = self._origins(batch, strays)
        self._leave_to_workers(batch, strays, origins, findings)
        moved, renames = self._renames(batch, origins, strays)
        changes.extend(renames)
        for path, seen in strays.items():
            standing = batch.rows.get(path)
            if standing is None or standing.id in moved:
                changes.append(
                    Discover(folder=batch.folder.path, path=path, fingerprint=seen, why="first seen")
                )
            else:
                changes.extend(self._changed(batch, standing, seen, findings))
        return changes

    def look(self, folder: FolderPolicy, path: bytes) -> Fingerprint | None:
        """What is at the path; UNSEEN where that cannot be told now, which is never the same as gone."""
        try:
            return self._world.disk.look(folder.path, path)
        except FolderUnavailable:
            raise
        except Transient as trouble:
            log.info("look_failed", path=folder.path + b"/" + path, error=str(trouble))
            return UNSEEN

    # -- renames

    def _origins(self, batch: Batch, strays: dict[bytes, Fingerprint]) -> dict[bytes, Transfer]:
        """For paths that a file was renamed to: the row that came with it."""
        found: dict[bytes, Transfer] = {}
        for path, seen in strays.items():
            if path not in batch.rows or batch.rows[path].fingerprint.inode != seen.inode:
                row = self._renamed_from(batch.folder, path, seen)
                if row is not None and row.id not in {other.id for other in found.values()}:
                    found[path] = row
        return found

    def _renamed_from(self, folder: FolderPolicy, path: bytes, seen: Fingerprint) -> Transfer | None:
        for row in self._world.ledger.like(seen):
            if row.folder != folder.path or row.path == path or not moved_here(row, seen):
                continue
            there = self.look(folder, row.path)
            if there is not UNSEEN and (there is None or there.inode != seen.inode):
                return row
        return None

    @staticmethod
    def _leave_to_workers(
        batch: Batch, strays: dict[bytes, Fingerprint], origins: dict[bytes, Transfer], findings: Findings
    ) -> None:
        """What a worker has in hand is looked at when it is free; so is a Put of which nobody knows yet whether it arrived."""
        for path in list(strays):
            for row in (origins.get(path), batch.rows.get(path)):
                in_doubt = row is not None and row is origins.get(path) and row.state is State.COMPLETING
                if row is not None and (row.id in batch.busy or in_doubt):
                    findings.when_free.append((row.id, path))
                    strays.pop(path, None)
                    origins.pop(path, None)

    def _renames(
        self, batch: Batch, origins: dict[bytes, Transfer], strays: dict[bytes, Fingerprint]
    ) -> tuple[set[int], list[Change]]:
        """Let rows follow their files, those first whose new path is free; a circle of names is left as it is.

        What was placed is taken out of `strays`; returns the rows that went elsewhere, and the changes.
        """
        moved: set[int] = set()
        changes: list[Change] = []
        while origins:
            going = {row.id for row in origins.values()}
            ready = [path for path in origins if path not in batch.rows or batch.rows[path].id not in going]
            if not ready:
                break
            for path in ready:
                row, standing = origins.pop(path), batch.rows.get(path)
                if standing is not None and standing.id not in moved:
                    why = "another file was renamed to its path"
                    makes_place = Move(id=standing.id, was=standing.state, to=State.SUPERSEDED, why=why)
                    changes.extend([*give_up(standing), makes_place])
                changes.append(self._follow(batch.folder, row, path, strays.pop(path)))
                moved.add(row.id)
        return moved, changes

    def _follow(self, folder: FolderPolicy, row: Transfer, path: bytes, seen: Fingerprint) -> Change:
        """The row goes with its file; a key that is fixed stays."""
        why = f"renamed from {row.path.decode('utf-8', 'backslashreplace')}"
        if row.state in _NOT_SENT:
            self._looks.begin(row.id, self._world.clock.monotonic(), folder.settle.quiet_s)
            sets = Columns(path=path, fingerprint=seen, parked_reason=None, hint=None, attempts=0)
            if row.state is State.SETTLED:
                return Move(id=row.id, was=State.SETTLED, to=State.DISCOVERED, why=why, sets=sets)
            return Amend(id=row.id, was=row.state, sets=sets, why=why)
        # Its old ctime is kept: the bytes are compared before this counts as the same file.
        sets = Columns(path=path, fingerprint=replace(seen, ctime_ns=row.fingerprint.ctime_ns))
        sets |= Columns(gone_at=None) if row.state is State.DONE else Columns(not_before=0.0)
        return Amend(id=row.id, was=row.state, sets=sets, why=why)

    # -- the same path

    def _same(self, folder: FolderPolicy, row: Transfer) -> list[Change]:
        if row.state is State.DISCOVERED and row.id not in self._looks:
            self._looks.begin(row.id, self._world.clock.monotonic(), folder.settle.quiet_s)
        if row.gone_at is not None:
            return [Amend(id=row.id, was=row.state, sets=Columns(gone_at=None), why="it is back, unchanged")]
        return []

    def _changed(self, batch: Batch, row: Transfer, seen: Fingerprint, findings: Findings) -> list[Change]:
        if row.state in _NOT_SENT:
            return self._update(batch.folder, row, seen)
        if batch.replaced:
            return self._of_another_directory(row, seen)
        if seen.inode != row.fingerprint.inode and batch.later is not None:
            batch.later.append(row.path)  # perhaps it was renamed away, to a path further on
            return []
        if compare(row, seen) is Verdict.NEW_VERSION:
            return new_version(row, seen, "the file changed")
        # For an upload that is open, the step that goes on with it compares the parts.
        findings.read_again.extend([row.id] if row.state is State.DONE else [])
        return []

    def _update(self, folder: FolderPolicy, row: Transfer, seen: Fingerprint) -> list[Change]:
        """Not sent yet: only the fingerprint changes, and the quiet time begins anew."""
        self._looks.begin(row.id, self._world.clock.monotonic(), folder.settle.quiet_s)
        sets = Columns(fingerprint=seen, parked_reason=None, hint=None, attempts=0)
        if row.state is State.SETTLED:
            why = "it changed after it had settled"
            return [Move(id=row.id, was=State.SETTLED, to=State.DISCOVERED, why=why, sets=sets)]
        return [Amend(id=row.id, was=row.state, sets=sets)]

    def _of_another_directory(self, row: Transfer, seen: Fingerprint) -> list[Change]:
        """Another card with the same names: the file of the row is elsewhere, not changed. What is open waits for it."""
        if row.state is not State.DONE:
            return []
        why = "another file is at its path, in another directory than before"
        gone = Columns(gone_at=self._world.clock.now())
        return [
            Move(id=row.id, was=State.DONE, to=State.SUPERSEDED, why=why, sets=gone),
            Discover(folder=row.folder, path=row.path, fingerprint=seen, why=why),
        ]
