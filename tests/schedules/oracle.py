"""What must hold after every step of a trial, and what must be so when all trouble is over.

As strict as the documented rules allow: a park must have one of their reasons, a second sending one of their excuses.
Every check says in its message what it found, so that a schedule can be read without being run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schedules.recordings import Recordings

from syncd.adapters.ledger import SqliteLedger
from syncd.decide.compare import Verdict, compare
from syncd.decide.states import UPLOAD_BEGUN
from syncd.model import Algorithm, Fingerprint, ProofKind, State, Transfer

SETTLED = {
    State.SETTLED,
    State.PLANNED,
    State.CREATING,
    State.UPLOADING,
    State.COMPLETING,
    State.VERIFIED,
    State.DONE,
}
SHOWN = {Algorithm.CRC64NVME, Algorithm.CRC32, Algorithm.CRC32C, Algorithm.SHA256}


PROOFS_BY_SIZE_UNDER_MD5_KNOW_THEIR_SUM = False
"""A Put in doubt whose MD5 is not the ETag is proven by size, for an ETag need not be an MD5; where the file changed slyly
in that moment, its new bytes are called done.
"""


@dataclass(frozen=True)
class Seen:
    """An object as the oracle sees it; `token` None: a stranger's."""

    data: bytes
    etag: str
    token: str | None
    checksum: str | None


@dataclass
class Oracle:
    """`prefix`: of all keys; the rest of a key is the path that its file had when it was planned.

    `strangers`: contents whose file cannot be told from a new one: its names go in a circle with those of others, or its
    name and its date changed between two looks. They may be sent again.
    """

    recordings: Recordings
    prefix: str
    quiet_s: float
    strangers: set[bytes] = field(default_factory=set)
    unknown: dict[str, bytes] = field(default_factory=dict)
    """What stood under a key when the ledger was lost: only the same bytes at the same path are recognized."""

    # -- at every step

    def step(
        self,
        ledger: SqliteLedger,
        objects: Mapping[str, Seen],
        written: Sequence[tuple[str, bytes]],
        bodies: set[tuple[str, int, int]],
    ) -> None:
        """`written`: every successful write, as (token, content); `bodies`: (upload, number, size) of every part received."""
        assert self.recordings.untouched(), "the daemon touched a source file"
        self._objects_were_versions(ledger, objects)
        self._written_once(written)
        rows = standing(ledger)
        for row in rows:
            if row.state in UPLOAD_BEGUN:
                kept = {(row.upload_id or "", part.number, part.size) for part in ledger.parts(row.id)}
                assert kept <= bodies, f"{row.path!r}: parts are recorded that never arrived: {kept - bodies}"
            if row.state is State.DONE:
                self._proof_is_true(row, objects)
        self._rows_fit_the_disk(rows, objects)
        check = ledger._connection.execute("PRAGMA quick_check").fetchall()
        assert [tuple(line) for line in check] == [("ok",)], check

    def _written_once(self, written: Sequence[tuple[str, bytes]]) -> None:
        """One write for each token; a second for bytes that came slyly while the first was on its way."""
        again = [
            (token, data)
            for number, (token, data) in enumerate(written)
            if token in {former for former, _ in written[:number]}
            and not (data in self.recordings.sly and (token, data) not in written[:number])
        ]
        assert not again, f"written again: {again}"

    def _objects_were_versions(self, ledger: SqliteLedger, objects: Mapping[str, Seen]) -> None:
        for key, seen in objects.items():
            hidden = key.removeprefix(self.prefix).startswith(".")
            assert seen.token is None or not hidden, f"{key} was sent, which is excluded"
            held = self.recordings.held[key.removeprefix(self.prefix)]
            if seen.token is None or seen.data in held or self._taken_over(ledger, seen):
                continue
            raise AssertionError(f"{key} has {seen.data!r}, which its file never was: {held}")

    def _taken_over(self, ledger: SqliteLedger, seen: Seen) -> bool:
        """Sent under a key that was fixed before the file was renamed, and then exchanged for one of its size and date.

        As long as no part is recorded, nothing tells the two apart; the open upload goes on with the bytes that are there.
        """
        row = ledger.by_token(seen.token or "")
        return row is not None and seen.data in self.recordings.held[row.path.decode()] & self.recordings.sly

    @staticmethod
    def _proof_is_true(row: Transfer, objects: Mapping[str, Seen]) -> None:
        seen = objects.get(row.key or "")
        assert seen is not None, f"{row.path!r} is done and proven, {row.key} is not there"
        told = (row.token, row.etag, row.fingerprint.size)
        assert (seen.token, seen.etag, len(seen.data)) == told, f"{row.path!r}: {told}, the store has {seen}"
        if row.algorithm in SHOWN and row.checksum is not None:
            assert seen.checksum == row.checksum, f"{row.path!r}: {row.checksum}, the store has {seen}"

    def _rows_fit_the_disk(self, rows: list[Transfer], objects: Mapping[str, Seen]) -> None:
        by_path = {row.path.decode(): row for row in rows}
        now = self.recordings.monotonic()
        for path, file in self.recordings.watched().items():
            row = by_path.get(path)
            if row is None or row.fingerprint != self.fingerprint(path):
                continue
            if row.state is State.DONE and not self._by_size_alone(row, file.content):
                data = objects[row.key or ""].data
                assert data == file.content, (
                    f"{path} is called done; it has {file.content!r}, {row.key} {data!r}"
                )
            if row.state in SETTLED and file.changed_at is not None:
                rest = now - file.changed_at
                assert rest >= self.quiet_s, f"{path} settled {rest:.1f} s after it was changed"

    def _by_size_alone(self, row: Transfer, content: bytes) -> bool:
        known = PROOFS_BY_SIZE_UNDER_MD5_KNOW_THEIR_SUM or row.algorithm is not Algorithm.MD5
        by_size = row.proof is not None and row.proof.kind is ProofKind.SIZE
        return by_size and not known and content in self.recordings.sly

    def fingerprint(self, path: str) -> Fingerprint:
        status = self.recordings.stat(path)
        return Fingerprint(
            dev=status.st_dev,
            inode=self.recordings.files[path].inode,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
        )

    def changed(self, ledger: SqliteLedger) -> None:
        """After each change on the disk: what the daemon need not recognize any more is excused from being sent once only."""
        rows = {row.fingerprint.inode: row for row in standing(ledger)}
        goes: dict[str, str] = {}
        for path in self.recordings.there():
            file = self.recordings.files[path]
            if file.content in self.unknown.values() and self.unknown.get(self.prefix + path) != file.content:
                self.strangers.add(file.content)
            row = rows.get(file.inode)
            if row is None or row.path == path.encode():
                continue
            goes[row.path.decode()] = path
            redated = row.fingerprint.mtime_ns != self.recordings.stat(path).st_mtime_ns
            if redated:
                self.strangers.add(file.content)
        self._excuse_circles(goes)

    def ledger_lost(self, objects: Mapping[str, Seen]) -> None:
        """What is where its path says must be recognized by its bytes; what is elsewhere may be sent again."""
        self.unknown |= {key: seen.data for key, seen in objects.items() if seen.token is not None}
        for path, file in self.recordings.files.items():
            if self.unknown.get(self.prefix + path) != file.content:
                self.strangers.add(file.content)

    def _excuse_circles(self, goes: dict[str, str]) -> None:
        for start, first in goes.items():
            seen, at = [start], first
            while at in goes and at not in seen:
                seen.append(at)
                at = goes[at]
            if at == start:
                self.strangers |= {self.recordings.files[path].content for path in seen}

    # -- at the end

    def rest(
        self,
        ledger: SqliteLedger,
        objects: Mapping[str, Seen],
        written: Sequence[tuple[str, bytes]],
        *,
        foreign: set[str],
        kills: int,
    ) -> None:
        """All trouble is over and nothing is left to do. `written`: every successful write, as (token, content)."""
        by_path = {row.path.decode(): row for row in standing(ledger)}
        for path in self.recordings.watched():
            row = by_path.get(path)
            assert row is not None, f"{path} is not known"
            if row.parked_reason is not None:
                self._park_is_documented(path, row, foreign, kills)
            else:
                self._arrived(path, row, objects, written)

    def _park_is_documented(self, path: str, row: Transfer, foreign: set[str], kills: int) -> None:
        why = f"{path} is parked: {row.parked_reason}"
        assert row.hint, f"{why}: without a hint"
        reused = (
            path in self.recordings.left or (row.key or "").removeprefix(self.prefix) in self.recordings.left
        )
        reason = row.parked_reason or ""
        if "is already under its key" in reason:
            key = row.key or f"{self.prefix}{path}"
            assert key in foreign or key in self.unknown or reused, f"{why}: nobody else put one there"
        elif "already holds what was" in reason or "which is on its way" in reason:
            assert reused, f"{why}: its file stayed at its path"
        elif "process" in reason:
            assert kills >= 5, f"{why}: {kills} kills in all"
        else:
            raise AssertionError(f"{why}: that is no documented reason here")
        about = compare(
            row, self.fingerprint(path)
        )  # its mode may have changed: the step that takes it up will see
        assert about in {Verdict.SAME, Verdict.READ_AGAIN}, f"{why}: as an earlier version"

    def _arrived(
        self, path: str, row: Transfer, objects: Mapping[str, Seen], written: Sequence[tuple[str, bytes]]
    ) -> None:
        content = self.recordings.files[path].content
        assert row.state is State.DONE, f"{path} ended as {row.state}, {row.hint}"
        assert row.gone_at is None, f"{path} is there and called gone"
        same = compare(row, self.fingerprint(path)) is Verdict.SAME
        assert same, f"{path}: the ledger knows an earlier version only"
        if self._by_size_alone(row, content):
            return
        assert objects[row.key or ""].data == content, f"{path}: {row.key} has other bytes"
        if self.recordings.anonymous(content) or content in self.strangers:
            return
        keys = [key for key, seen in objects.items() if seen.data == content]
        assert len(keys) == 1, f"{path} {content!r} is under {keys}"
        tokens = [token for token, data in written if data == content]
        assert len(tokens) == 1, f"{path} {content!r} was written {len(tokens)} times: {tokens}"


def standing(ledger: SqliteLedger) -> list[Transfer]:
    """The rows that stand for a path."""
    return ledger._many("SELECT * FROM transfer WHERE state NOT IN ('superseded', 'vanished') ORDER BY id")


def story(ledger: SqliteLedger, limit: int = 60) -> str:
    """The last lines of history, for messages."""
    rows = ledger._query(
        "SELECT history.at, transfer.id, path, history.state, why FROM history JOIN transfer ON transfer.id = transfer "
        "ORDER BY history.id DESC LIMIT ?",
        limit,
    )
    return "\n".join(
        f"{row['at']:.1f} {row['id']} {row['path'].decode()} {row['state']}: {row['why']}"
        for row in reversed(rows)
    )
