"""The ledger over SQLite: WAL, synchronous=FULL, one connection, one lock, every method one transaction.

It knows rows and moves, not why they happen. It refuses what would make the queue lie: a move from a state the row is
not in, two live transfers for one key, two daemons on one file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from syncd.adapters.ledger.changes import apply_change
from syncd.adapters.ledger.damage import (
    OURS,
    condemn,
    examine,
    examine_pages,
    known_damage,
    set_aside,
    sync_directory,
    was_ours,
)
from syncd.adapters.ledger.group_commit import GroupCommit
from syncd.adapters.ledger.look_back import happened
from syncd.adapters.ledger.migrate import bring_up_to_date, refuse_foreign
from syncd.adapters.ledger.rows import seal, transfer_from, unwrapped, wrapped
from syncd.adapters.ledger.tally import count_all, count_in_folder, where, work_since
from syncd.adapters.ledger.trouble import translated, unopened
from syncd.errors import LedgerDamaged, LedgerFailure, LedgerForeign, LedgerHeld
from syncd.model import (
    AbortLater,
    Change,
    Counts,
    CountSent,
    Fingerprint,
    Happenings,
    HistoryEntry,
    Part,
    Pause,
    RootIdentity,
    Standing,
    State,
    Totals,
    Transfer,
)

if TYPE_CHECKING:
    from syncd.ports import Clock

log = structlog.get_logger()

EXAMINED_AT_ONCE = 64 << 20
"""A larger file's pages are looked over while it is in use already, so that a start with a million files is quick."""

FAR_FUTURE_S = 3600.0
"""A `not_before` further away was written under another clock: it counts as due."""

BULKY = 16 * 2**20
"""What counts as a large file: a term of the index that is the queue."""
_KINDS = (0, 1)
_WORK = "('settled', 'planned', 'creating', 'uploading', 'completing', 'verified')"
_QUEUE = f"FROM transfer WHERE parked_reason IS NULL AND state IN {_WORK}"
_ENDED = "('done', 'superseded', 'vanished')"
_NOWHERE = "('superseded', 'vanished')"


class SqliteLedger:
    """See `syncd.ports.Ledger` for the promises."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        lock_fd: int | None = None,
        path: Path | None = None,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._lock_fd = lock_fd
        self._path = path
        self._lock = threading.RLock()
        self._writer = GroupCommit(connection, self._lock)
        self._closing = threading.Event()
        self._damage: str | None = None
        self._examiner: threading.Thread | None = None

    # -- writing

    def commit(self, changes: Sequence[Change]) -> list[int]:
        if self._damage is not None:
            raise LedgerDamaged(f"the ledger is damaged: {self._damage}")

        def work(connection: sqlite3.Connection) -> list[int]:
            now = self._clock.now()
            made = [apply_change(connection, change, now) for change in changes]
            return [identity for identity in made if identity is not None]

        return self._writer.write(work)

    def record_part(self, transfer: int, part: Part, *, sent: int, resent: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO part (transfer, number, size, etag, checksum) VALUES (?, ?, ?, ?, ?)",
                (transfer, part.number, part.size, part.etag, part.checksum),
            )
            apply_change(connection, CountSent(id=transfer, sent=sent, resent=resent), self._clock.now())

        self._writer.write(work)

    def abort_failed(self, upload: AbortLater, not_before: float) -> None:
        self._execute(
            "UPDATE abort_queue SET not_before = ? WHERE upload_id = ?", not_before, upload.upload_id
        )

    def forget_waits(self) -> None:
        now = self._clock.now()
        waits = f"{_QUEUE} AND state IN ('settled', 'planned') AND attempts = 0 AND not_before > ?"
        if self._query(f"SELECT 1 {waits} LIMIT 1", now):
            self._execute(
                f"UPDATE transfer SET not_before = 0, hint = NULL WHERE id IN (SELECT id {waits})", now
            )

    def prune(self, before: float, limit: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            rows = connection.execute(
                "SELECT id FROM transfer INDEXED BY gone WHERE gone_at IS NOT NULL AND gone_at < ? LIMIT ?",
                (before, limit),
            ).fetchall()
            rows += connection.execute(
                f"SELECT id FROM transfer INDEXED BY over WHERE state IN {_NOWHERE} "
                "AND (SELECT max(at) FROM history WHERE transfer = transfer.id) < ? LIMIT ?",
                (before, limit),
            ).fetchall()
            gone = _numbers(row["id"] for row in rows)
            connection.execute(f"DELETE FROM transfer WHERE id IN ({gone})")
            lines = connection.execute(
                "DELETE FROM history WHERE id IN (SELECT id FROM history AS line WHERE at < ? AND EXISTS "
                "(SELECT 1 FROM history WHERE transfer = line.transfer AND id > line.id) ORDER BY id LIMIT ?)",
                (before, limit),
            ).rowcount
            return len(rows) + lines

        return self._writer.write(work)

    def bring_forward(self, seconds: float) -> None:
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> None:
            waits = f"SELECT id {_QUEUE} AND not_before > ?"
            forward = "not_before = max(not_before - ?, 0)"
            connection.execute(f"UPDATE transfer SET {forward} WHERE id IN ({waits})", (seconds, now))
            connection.execute(f"UPDATE abort_queue SET {forward} WHERE not_before > ?", (seconds, now))
            connection.execute("UPDATE pause SET since = since - ?, until = until - ?", (seconds, seconds))

        self._writer.write(work)

    def accept_root(self, folder: bytes, identity: RootIdentity) -> None:
        self._execute(
            "INSERT INTO folder (path, dev, inode, filesystem) VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE "
            "SET dev = excluded.dev, inode = excluded.inode, filesystem = excluded.filesystem",
            folder,
            wrapped(identity.dev),
            wrapped(identity.inode),
            wrapped(identity.filesystem),
        )

    def first_scan_ended(self, folder: bytes) -> None:
        self._execute(
            "UPDATE folder SET first_scan_upto = (SELECT coalesce(max(id), 0) FROM transfer) "
            "WHERE path = ? AND first_scan_upto IS NULL",
            folder,
        )

    def set_pause(self, pause: Pause | None) -> None:
        if pause is None:
            self._execute("DELETE FROM pause")
        else:
            self._execute(
                "INSERT OR REPLACE INTO pause (id, since, until) VALUES (1, ?, ?)", pause.since, pause.until
            )

    def remember_checksum_ignored(self, destination: str, at: float) -> None:
        self._execute(
            "INSERT OR REPLACE INTO destination (name, checksum_ignored_at) VALUES (?, ?)", destination, at
        )

    # -- reading

    def get(self, transfer: int) -> Transfer | None:
        return self._one("SELECT * FROM transfer WHERE id = ?", transfer)

    def at(self, folder: bytes, path: bytes) -> Transfer | None:
        return self._one(
            "SELECT * FROM transfer WHERE folder = ? AND path = ? "
            f"ORDER BY state IN {_NOWHERE}, id DESC LIMIT 1",
            folder,
            path,
        )

    def between(self, folder: bytes, after: bytes, upto: bytes | None, limit: int) -> list[Transfer]:
        # Two statements: with `? IS NULL OR` SQLite would walk on to the folder's last row.
        end, ends = ("", ()) if upto is None else ("AND path <= ?", (upto,))
        return self._many(
            f"SELECT * FROM transfer WHERE folder = ? AND path > ? {end} AND state NOT IN {_NOWHERE} "
            "ORDER BY path LIMIT ?",
            folder,
            after,
            *ends,
            limit,
        )

    def due(
        self,
        now: float,
        limit: int,
        *,
        bulky: bool | None = None,
        busy: Iterable[int] = (),
        without: Iterable[bytes] = (),
    ) -> list[Transfer]:
        busy = list(busy)
        found: list[Transfer] = []
        for folder in self._queued_folders(without):
            for kind in _KINDS if bulky is None else (int(bulky),):
                queue = (
                    f"{_QUEUE} AND folder = ? AND (size >= {BULKY}) = {kind} AND id NOT IN ({_numbers(busy)})"
                )
                order = "ORDER BY not_before, id LIMIT ?"
                # Two searches of the index: one with OR would walk all that wait in between.
                found += self._many(f"SELECT * {queue} AND not_before <= ? {order}", folder, now, limit)
                far = now + FAR_FUTURE_S
                found += self._many(f"SELECT * {queue} AND not_before > ? {order}", folder, far, limit)
        return sorted(found, key=lambda row: (row.not_before, row.id))

    def next_due(
        self,
        now: float,
        *,
        bulky: bool | None = None,
        busy: Iterable[int] = (),
        without: Iterable[bytes] = (),
    ) -> float | None:
        busy = list(busy)
        times: list[float] = []
        for folder in self._queued_folders(without):
            for kind in _KINDS if bulky is None else (int(bulky),):
                queue = (
                    f"{_QUEUE} AND folder = ? AND (size >= {BULKY}) = {kind} AND id NOT IN ({_numbers(busy)})"
                )
                if self._query(f"SELECT 1 {queue} AND not_before > ? LIMIT 1", folder, now + FAR_FUTURE_S):
                    return now
                row = self._query(f"SELECT not_before {queue} ORDER BY not_before LIMIT 1", folder)
                times.extend(float(found[0]) for found in row)
        return min(times, default=None)

    def _queued_folders(self, without: Iterable[bytes]) -> list[bytes]:
        """The folders that have something in the queue; one step of the index each."""
        rows = self._query(
            f"WITH RECURSIVE queued(folder) AS (SELECT min(folder) {_QUEUE} UNION ALL "
            f"SELECT (SELECT min(folder) {_QUEUE} AND folder > queued.folder) FROM queued "
            "WHERE queued.folder IS NOT NULL) SELECT folder FROM queued WHERE folder IS NOT NULL"
        )
        away = set(without)
        return [row["folder"] for row in rows if row["folder"] not in away]

    def discovered(self, after: int, limit: int) -> list[Transfer]:
        return self._many(
            f"SELECT * FROM transfer INDEXED BY live WHERE state NOT IN {_ENDED} AND state = 'discovered' "
            "AND id > ? ORDER BY id LIMIT ?",
            after,
            limit,
        )

    def like(self, fingerprint: Fingerprint) -> list[Transfer]:
        return self._many(
            "SELECT * FROM transfer WHERE inode = ? AND size = ? AND mtime_ns = ? "
            f"AND state NOT IN {_NOWHERE} ORDER BY id DESC LIMIT 20",
            wrapped(fingerprint.inode),
            fingerprint.size,
            wrapped(fingerprint.mtime_ns),
        )

    def key_holder(self, bucket: str, key: str) -> Transfer | None:
        return self._one(
            "SELECT * FROM transfer WHERE bucket = ? AND key = ? AND proof_kind IS NOT NULL ORDER BY id DESC LIMIT 1",
            bucket,
            key,
        )

    def by_token(self, token: str) -> Transfer | None:
        return self._one("SELECT * FROM transfer WHERE token = ? ORDER BY id DESC LIMIT 1", token)

    def parts(self, transfer: int) -> list[Part]:
        rows = self._query("SELECT * FROM part WHERE transfer = ? ORDER BY number", transfer)
        return [
            Part(number=row["number"], size=row["size"], etag=row["etag"], checksum=row["checksum"])
            for row in rows
        ]

    def history(self, folder: bytes, path: bytes, limit: int = 50) -> list[HistoryEntry]:
        rows = self._query(
            "SELECT history.at, history.state, history.why FROM history JOIN transfer ON transfer.id = transfer "
            "WHERE folder = ? AND path = ? ORDER BY history.id DESC LIMIT ?",
            folder,
            path,
            limit,
        )
        return [HistoryEntry(row["at"], State(row["state"]), row["why"]) for row in reversed(rows)]

    def happened(
        self, limit: int, *, before: int | None = None, after: int | None = None, containing: bytes = b""
    ) -> Happenings:
        with self._lock, translated():
            return happened(self._connection, limit, before, after, containing)

    def work_since(self, now: float) -> float | None:
        with self._lock, translated():
            return work_since(self._connection, now)

    def size_bytes(self) -> int:
        rows = self._query("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(rows[0][0])

    def live(self, limit: int, *, upto: int | None = None) -> list[Transfer]:
        return self._many(
            f"SELECT * FROM transfer INDEXED BY live WHERE state NOT IN {_ENDED} AND id <= ? ORDER BY id LIMIT ?",
            2**63 - 1 if upto is None else upto,
            limit,
        )

    def listed(self, standing: Standing | None, after: int, limit: int) -> list[Transfer]:
        return self._many(
            f"SELECT * FROM transfer {where(standing)} AND id > ? ORDER BY id LIMIT ?", after, limit
        )

    def with_uploads(self) -> list[Transfer]:
        return self._many(
            f"SELECT * FROM transfer INDEXED BY live WHERE state NOT IN {_ENDED} "
            "AND (upload_id IS NOT NULL OR state = 'creating') ORDER BY id"
        )

    def last_id(self) -> int:
        return int(self._query("SELECT coalesce(max(id), 0) FROM transfer")[0][0])

    def counts(self) -> Counts:
        with self._lock, translated():
            return count_all(self._connection)

    def files_in(self, folder: bytes) -> int:
        with self._lock, translated():
            return count_in_folder(self._connection, folder)

    def totals(self) -> Totals:
        row = self._query("SELECT * FROM totals")[0]
        return Totals(
            sent_bytes=row["sent_bytes"],
            resent_bytes=row["resent_bytes"],
            possible_orphans=row["possible_orphans"],
            last_success_at=row["last_success_at"],
            begun_at=row["begun_at"],
            begun_because=row["begun_because"],
        )

    def aborts(self, now: float, limit: int) -> list[AbortLater]:
        rows = self._query(
            "SELECT * FROM abort_queue WHERE not_before <= ? OR not_before > ? ORDER BY not_before LIMIT ?",
            now,
            now + FAR_FUTURE_S,
            limit,
        )
        return [
            AbortLater(bucket=row["bucket"], key=row["key"], upload_id=row["upload_id"], since=row["since"])
            for row in rows
        ]

    def key_in_use(self, bucket: str, key: str) -> bool:
        return bool(
            self._query(
                "SELECT 1 FROM transfer WHERE bucket = ? AND key = ? "
                "AND state IN ('planned', 'creating', 'uploading', 'completing', 'verified') "
                "AND (parked_reason IS NULL OR upload_id IS NOT NULL)",
                bucket,
                key,
            )
        )

    def root_identity(self, folder: bytes) -> RootIdentity | None:
        rows = self._query("SELECT dev, inode, filesystem FROM folder WHERE path = ?", folder)
        if not rows:
            return None
        dev, inode, filesystem = (unwrapped(number) for number in rows[0])
        return RootIdentity(dev, inode, filesystem)

    def first_scan_upto(self, folder: bytes) -> int | None:
        rows = self._query("SELECT first_scan_upto FROM folder WHERE path = ?", folder)
        return rows[0][0] if rows else None

    def pause(self) -> Pause | None:
        rows = self._query("SELECT since, until FROM pause")
        return Pause(since=rows[0]["since"], until=rows[0]["until"]) if rows else None

    def checksum_ignored(self, destination: str) -> bool:
        return bool(self._query("SELECT 1 FROM destination WHERE name = ?", destination))

    def states_of(self, transfers: Sequence[int]) -> dict[int, State]:
        rows = self._query(f"SELECT id, state FROM transfer WHERE id IN ({_numbers(transfers)})")
        return {row["id"]: State(row["state"]) for row in rows}

    def condemn(self, why: str) -> None:
        if self._path is not None:
            condemn(self._path, why)

    def examine_in_passing(self) -> None:
        """Look over the pages of a large file in a thread of its own; damage fails the next commit."""
        if self._path is not None and self._path.stat().st_size > EXAMINED_AT_ONCE:
            self._examiner = threading.Thread(target=self._examine, name="ledger-pages", daemon=True)
            self._examiner.start()

    def _examine(self) -> None:
        if self._path is not None:
            self._damage = examine_pages(self._path, self._closing)

    def close(self) -> None:
        self._closing.set()
        if self._examiner is not None:
            self._examiner.join(1.0)  # it may be deep in a page; it only reads
        with self._lock:
            self._connection.close()
            if self._lock_fd is not None:
                os.close(self._lock_fd)
                self._lock_fd = None

    # -- underneath

    def _execute(self, sql: str, *values: Any) -> None:
        self._writer.write(lambda connection: connection.execute(sql, values))

    def _query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, translated():
            return self._connection.execute(sql, values).fetchall()

    def _many(self, sql: str, *values: Any) -> list[Transfer]:
        return [transfer_from(row) for row in self._query(sql, *values)]

    def _one(self, sql: str, *values: Any) -> Transfer | None:
        found = self._many(sql, *values)
        return found[0] if found else None


def _numbers(numbers: Iterable[int]) -> str:
    return ",".join(str(int(number)) for number in numbers)


def open_ledger(path: Path, clock: Clock) -> SqliteLedger:
    """Open for writing, made if missing, 0600 in a directory 0700; one that is damaged is set aside and begun anew.

    Raises LedgerHeld when another daemon has it, LedgerForeign for what is no ledger of ours, LedgerAway or LedgerFull
    while its disk does not let us.
    """
    lock_fd: int | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = _lock(path)
        ledger = SqliteLedger(_open_or_begin_anew(path, clock), clock, lock_fd, path)
        _mark_ours(lock_fd)
        ledger.examine_in_passing()
    except BaseException as error:
        if lock_fd is not None:
            os.close(lock_fd)
        if isinstance(error, OSError):
            raise unopened(error, str(path)) from error
        raise
    return ledger


def _open_or_begin_anew(path: Path, clock: Clock) -> sqlite3.Connection:
    why = known_damage(path)
    if why is None:
        try:
            return _open_locked(path)
        except LedgerDamaged as damaged:
            if not was_ours(path):
                raise _foreign(path) from damaged
            why = " ".join(str(damaged).split())[:200]
    aside = set_aside(path, clock.now())
    connection = _open_locked(path)
    log.error("ledger_begun_anew", why=why, set_aside=None if aside is None else str(aside))
    because = f"{why}; it lies at {aside}" if aside is not None else why
    with translated(f"the ledger {path}"):
        connection.execute("UPDATE totals SET begun_at = ?, begun_because = ?", (clock.now(), because))
    return connection


def _foreign(path: Path) -> LedgerForeign:
    return LedgerForeign(f"{path} is no ledger of syncd", hint="set `state` to a path of its own")


def _open_locked(path: Path) -> sqlite3.Connection:
    # Made here and not by SQLite, so that it is at no moment readable by others. One that exists is not opened: to
    # close it again would drop the locks of another connection (https://www.sqlite.org/howtocorrupt.html, 2.2).
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = _connect(path, "rw")
    try:
        path.chmod(0o600)
        with translated(f"the ledger {path}"):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            bring_up_to_date(connection)
            examine(connection, pages=path.stat().st_size <= EXAMINED_AT_ONCE)
        sync_directory(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def open_readonly(path: Path, clock: Clock) -> SqliteLedger:
    """Open to look only, beside a daemon or without one. Raises LedgerFailure where there is none or no right."""
    why: str | None = None if os.access(path, os.R_OK) else "you may not read it"
    try:
        path.stat()
    except OSError as error:
        why = error.strerror
    if why is not None:
        raise LedgerFailure(
            f"{path}: no ledger to look into: {why}",
            hint="run this as root or as syncd's own user, with the daemon's configuration",
        )
    return SqliteLedger(_connect(path, "ro"), clock)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to a ledger, never to another program's database; nothing is written yet."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with translated(f"the ledger {path}"):
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0
        )
        try:
            connection.create_function("seal", -1, seal, deterministic=True)
            refuse_foreign(connection)
        except BaseException:
            connection.close()
            raise
    connection.row_factory = sqlite3.Row
    return connection


def _lock(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").split("\n")[0].strip() or "unknown"
        os.close(descriptor)
        raise LedgerHeld(
            f"another syncd (pid {pid}) holds the ledger {path}", hint="stop it first, or use another `state`"
        ) from None
    return descriptor


def _mark_ours(lock_fd: int) -> None:
    """Who holds it, and that a ledger is kept here: should the file be found broken or gone, it was one."""
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()}\n{OURS}\n".encode(), 0)
