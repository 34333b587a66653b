"""What we ask of the world, as Protocols: adapters implement one each, tests bring fakes.

Every method raises only kinds of `syncd.errors`. Nothing here knows how it is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Protocol

from syncd.model import (
    AbortLater,
    Algorithm,
    Begun,
    Blind,
    Change,
    Condition,
    Counts,
    CredentialSet,
    Entry,
    Fate,
    Fingerprint,
    Happenings,
    HistoryEntry,
    OpenUpload,
    Part,
    Pause,
    RemoteObject,
    RootIdentity,
    Standing,
    State,
    Stored,
    Target,
    Totals,
    Transfer,
    Writer,
)


class Clock(Protocol):
    """The only source of time, and the only thing that waits."""

    def now(self) -> float:
        """Wall time: seconds since the epoch, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump and stop while the machine sleeps: for quiet times."""
        ...

    def boottime(self) -> float:
        """Seconds that never jump and count through suspend: for the age of credentials."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set (True) or the seconds are over (False)."""
        ...


TimeSource = Literal["api", "s3"]
"""Whose answer told the time."""


class ServerTime(Protocol):
    """What time it is where requests are judged. Our own clock may be hours off, and may jump."""

    def heard(self, date: float, *, source: TimeSource, asked_at: float) -> None:
        """An answer just came with this `Date`; its question went out at `asked_at` by boottime. Never raises."""
        ...

    def now(self) -> float:
        """Seconds since the epoch as the server counts them; the wall clock until it proved to be wrong."""
        ...

    def offset(self) -> float | None:
        """Seconds by which our wall clock is ahead of the server's now; None until something was heard."""
        ...


class OpenFile(Protocol):
    """A captured file, open for reading beneath its root. The one who opened it closes it."""

    def fingerprint(self) -> Fingerprint:
        """Whose bytes these are, by fstat on this very descriptor."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from the offset; fewer bytes only at the end of the file."""
        ...

    def close(self) -> None:
        """Let go of the descriptor; again is harmless."""
        ...


class Disk(Protocol):
    """The file system as a daemon may see it: beneath a root, regular files only, never through a symlink."""

    def root(self, root: bytes) -> RootIdentity:
        """Which directory is there now. Raises FolderUnavailable when missing, unreadable or no directory."""
        ...

    def scan(
        self,
        root: bytes,
        *,
        recursive: bool,
        descend: Callable[[bytes], bool],
        take: Callable[[bytes], bool],
    ) -> Iterator[Entry | Blind]:
        """Every regular file below the root in byte order of its relative path.

        `descend(b"a/b")` says whether to enter a directory, `take(b"a/b/c")` whether a file matters. Subtrees that
        cannot be read come as `Blind` in their place. Raises FolderUnavailable for the root itself.
        """
        ...

    def look(self, root: bytes, path: bytes) -> Fingerprint | None:
        """The fingerprint of the regular file at the path; None where there is none, or only through a symlink."""
        ...

    def exists(self, root: bytes, path: bytes) -> bool:
        """Whether anything is at the path (markers)."""
        ...

    def open(self, root: bytes, path: bytes) -> OpenFile:
        """Open for reading. Raises Vanished where there is no regular file, Transient on trouble of the device."""
        ...

    def writer(self, root: bytes, path: bytes) -> Writer:
        """Whether somebody has it open for writing (F_SETLEASE, set and cleared at once)."""
        ...

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
        """Delete the proven file, or move it below `to`: renamed to `aside` first, checked, then gone; never another one.

        Called twice: the first call leaves it aside, the second one, `rested` a moment later, checks again and lets it go. `ask`:
        only if the kernel says that nobody writes it. `go_on` says whether a long copy may continue. A file that a crash left
        aside is taken up there. Raises Transient on trouble of the device or without the right.
        """
        ...

    def bring_back(self, root: bytes, path: bytes, aside: bytes) -> None:
        """A file that a crash left aside gets its name again; harmless where there is none. Raises Transient."""
        ...

    def free_bytes(self, root: bytes) -> int | None:
        """Free bytes for unprivileged users on the folder's file system; None where it cannot be told."""
        ...


class Watcher(Protocol):
    """Brings looks forward. Losing every hint may cost time, never a file."""

    def tend(self, roots: dict[bytes, RootIdentity | None]) -> None:
        """Make the watches match the folders as they are now; called every few seconds, never raises.

        None: the root is not there, stop watching it. A changed identity: watch anew and ask for a scan.
        """
        ...

    def state(self, root: bytes) -> str:
        """`inotify`, `poll` (not watched: scans only) or `degraded` (some of the tree is not watched)."""
        ...

    def watches(self, root: bytes) -> int | None:
        """How many directories of the folder the kernel watches for us; None where that is not told."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


class Hints(Protocol):
    """Where a watcher drops what it noticed. Never blocks, never raises, may forget paths by asking for a scan."""

    def path(self, root: bytes, path: bytes) -> None:
        """Something happened to the file at this relative path."""
        ...

    def scan(self, root: bytes, why: str) -> None:
        """Something happened that only a scan can sort out."""
        ...


class Credentials(Protocol):
    """Temporary credentials as an immutable snapshot. Neither method is in the way of signing a request."""

    def current(self) -> CredentialSet:
        """The set in use. Raises LockedOut (code `credentials`) while there is none that is still valid."""
        ...

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:
        """A set other than the rejected one, fetched at once if need be; single flight. Raises LockedOut.

        Not `dead`: it is only suspected, and stays in use while no other can be had.
        """
        ...


class Sum(Protocol):
    """A running checksum."""

    def update(self, block: memoryview | bytes) -> None:
        """Take more bytes in."""
        ...

    def value(self) -> str:
        """As an S3 header carries it: base64 of the big-endian digest."""
        ...


class Sums(Protocol):
    """Checksum arithmetic, by whatever library is fast here."""

    def new(self, algorithm: Algorithm) -> Sum:
        """A running sum; for NONE one whose value is the empty string."""
        ...

    def automatic(self) -> Algorithm:
        """What `checksum: auto` means here: CRC64NVME, or CRC32 where awscrt is missing."""
        ...

    def whole(self, algorithm: Algorithm, parts: Iterable[tuple[str, int]], *, multipart: bool) -> str:
        """The object's sum out of its bodies' (value, size), in order, as S3 shows it for such an object.

        CRCs: FULL_OBJECT base64, combined. SHA256: base64 of the one body, else COMPOSITE `base64-N`. MD5: the ETag
        without quotes, hex of the one body, else `hex-N`. NONE: the empty string.
        """
        ...


class Body(Protocol):
    """What one request carries. May be read again from the start, any number of times."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def checksum(self) -> str:
        """Header value of the transfer's algorithm over exactly these bytes; empty for NONE."""
        ...

    def read_at(self, offset: int, size: int) -> memoryview:
        """Up to `size` bytes from the offset, at least one before the end; valid until the next call.

        Raises Changed when the bytes are no longer those that were summed.
        """
        ...

    def sent(self, count: int) -> None:
        """Told by the store after each attempt: so many bytes of it went out, in vain or not."""
        ...


class ObjectStore(Protocol):
    """The destination. Every answer is validated; every failure is one of our kinds.

    All methods may raise Transient, LockedOut and (ones that name a file's key) Refused.
    """

    def put(self, target: Target, body: Body, condition: Condition) -> Stored:
        """PutObject. Raises ObjectExists, Conflict, Doubtful (unvalidated 2xx), ChecksumIgnored."""
        ...

    def create(self, target: Target) -> str:
        """CreateMultipartUpload: the upload id. Raises ChecksumIgnored if the answer lacks our algorithm and type.

        Then the upload that was created all the same has been aborted, as far as that went.
        """
        ...

    def upload_part(self, target: Target, upload_id: str, number: int, body: Body) -> Part:
        """UploadPart; sending a number again replaces it. Raises UploadGone, ChecksumIgnored."""
        ...

    def list_parts(self, target: Target, upload_id: str) -> Iterator[Part]:
        """ListParts, all pages. Raises UploadGone."""
        ...

    def complete(
        self,
        target: Target,
        upload_id: str,
        parts: list[Part],
        *,
        size: int,
        checksum: str,
        condition: Condition,
    ) -> Stored:
        """CompleteMultipartUpload with every part's checksum, the whole sum and the size.

        Raises UploadGone, PartsRejected, ObjectExists, Conflict, Doubtful.
        """
        ...

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """AbortMultipartUpload; one that is gone already counts as aborted."""
        ...

    def head(self, bucket: str, key: str) -> RemoteObject | None:
        """What is under the key; None for 404, and for the 403 that stands for it where listing is not allowed."""
        ...

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        """Open uploads of exactly this key as (upload id, initiated at); None where we may not list them."""
        ...

    def uploads_below(self, bucket: str, prefix: str) -> list[OpenUpload] | None:
        """Every open upload whose key begins so; None where we may not list them."""
        ...


class TalkativeStore(ObjectStore, Protocol):
    """A destination that also tells what the daemon does not need to know; for those who look into trouble."""

    def begin(self, target: Target) -> Begun:
        """As `create`, with what else the answer says."""
        ...

    def address(self, bucket: str, key: str) -> str:
        """The URL that requests about this object go to; nothing is sent. Raises LockedOut, Refused."""
        ...


class Ledger(Protocol):
    """Our memory on disk. Every method is one transaction; what it returns is committed."""

    def commit(self, changes: Sequence[Change]) -> list[int]:
        """Make all the changes or none; the ids of the rows that `Discover` made, in order.

        Raises RowMoved when a row is not in the state the change names, Refused when another live transfer has the
        key, LedgerFailure when the disk does not take it.
        """
        ...

    def record_part(self, transfer: int, part: Part, *, sent: int, resent: int) -> None:
        """Remember an acknowledged part (again replaces it), and count what its bodies cost."""
        ...

    def get(self, transfer: int) -> Transfer | None:
        """One row."""
        ...

    def at(self, folder: bytes, path: bytes) -> Transfer | None:
        """The row that stands for this path now, else the last one that did."""
        ...

    def between(self, folder: bytes, after: bytes, upto: bytes | None, limit: int) -> list[Transfer]:
        """Rows that stand for paths in (after, upto] of a folder, in byte order; upto None: no end."""
        ...

    def due(
        self,
        now: float,
        limit: int,
        *,
        bulky: bool | None = None,
        busy: Iterable[int] = (),
        without: Iterable[bytes] = (),
    ) -> list[Transfer]:
        """Transfers to take up now, oldest due first: of each folder and of each kind (large or small) at most `limit`.

        `bulky`: large ones only, or small ones only. Without those in `busy` and without the folders in `without`.
        """
        ...

    def forget_waits(self) -> None:
        """What was put off without having failed is due again: the configuration may have changed."""
        ...

    def prune(self, before: float, limit: int) -> int:
        """Forget what ended before that time: rows of files that are gone, and lines of history but the last of a row.

        At most about `limit` of each; how many went. A row stays as long as its file is at its path.
        """
        ...

    def bring_forward(self, seconds: float) -> None:
        """The clock was set back by so much: whatever waits for a time to come waits that much less."""
        ...

    def next_due(
        self,
        now: float,
        *,
        bulky: bool | None = None,
        busy: Iterable[int] = (),
        without: Iterable[bytes] = (),
    ) -> float | None:
        """When the next transfer (of that kind) is due; None if none is waiting."""
        ...

    def discovered(self, after: int, limit: int) -> list[Transfer]:
        """Rows in `discovered` with an id above `after`, in order."""
        ...

    def like(self, fingerprint: Fingerprint) -> list[Transfer]:
        """Rows that stand for a path and have this inode, size and mtime (renames)."""
        ...

    def key_holder(self, bucket: str, key: str) -> Transfer | None:
        """The last transfer that was proven under this key."""
        ...

    def by_token(self, token: str) -> Transfer | None:
        """The transfer that an object's token names."""
        ...

    def parts(self, transfer: int) -> list[Part]:
        """The recorded parts, by number."""
        ...

    def history(self, folder: bytes, path: bytes, limit: int = 50) -> list[HistoryEntry]:
        """The story of a path, oldest first: the last `limit` lines."""
        ...

    def happened(
        self, limit: int, *, before: int | None = None, after: int | None = None, containing: bytes = b""
    ) -> Happenings:
        """History of all files: at most `limit` lines, before the line with that id, or after it, or the newest ones.

        `containing`: only of files with this in their path, ASCII letters in either case. Looks at no more than
        20,000 lines in one go.
        """
        ...

    def work_since(self, now: float) -> float | None:
        """When the oldest of the files that are to be sent, or failed and will be tried again, was ready; None: there is none."""
        ...

    def size_bytes(self) -> int:
        """How large the ledger's file is."""
        ...

    def live(self, limit: int, *, upto: int | None = None) -> list[Transfer]:
        """Transfers that have not ended, parked ones too, by id; `upto`: no id above."""
        ...

    def listed(self, standing: Standing | None, after: int, limit: int) -> list[Transfer]:
        """Rows with an id above `after` that stand so, in order; None: all that stand for a path."""
        ...

    def with_uploads(self) -> list[Transfer]:
        """Transfers that have not ended and have an upload open, or may have one that is not recorded yet."""
        ...

    def last_id(self) -> int:
        """The highest id given so far; 0 in an empty ledger."""
        ...

    def counts(self) -> Counts:
        """How many files stand where."""
        ...

    def files_in(self, folder: bytes) -> int:
        """How many files of a folder the ledger stands for."""
        ...

    def totals(self) -> Totals:
        """Numbers over the life of the ledger."""
        ...

    def aborts(self, now: float, limit: int) -> list[AbortLater]:
        """Uploads to abort that are due."""
        ...

    def key_in_use(self, bucket: str, key: str) -> bool:
        """Whether a transfer on its way has this key."""
        ...

    def abort_failed(self, upload: AbortLater, not_before: float) -> None:
        """Try again later."""
        ...

    def root_identity(self, folder: bytes) -> RootIdentity | None:
        """The directory that this folder's path led to when we last accepted it."""
        ...

    def accept_root(self, folder: bytes, identity: RootIdentity) -> None:
        """From now on this is the folder's directory."""
        ...

    def first_scan_upto(self, folder: bytes) -> int | None:
        """The last row that the first scan of a folder found, in the life of this ledger; None until it has ended."""
        ...

    def first_scan_ended(self, folder: bytes) -> None:
        """A scan of the folder came to its end; only the first time matters."""
        ...

    def pause(self) -> Pause | None:
        """What a person wants of us: that nothing is sent for a while. It may be over."""
        ...

    def set_pause(self, pause: Pause | None) -> None:
        """From now on that is so; None: go on."""
        ...

    def checksum_ignored(self, destination: str) -> bool:
        """Whether this destination is known to ignore the checksums we ask for."""
        ...

    def remember_checksum_ignored(self, destination: str, at: float) -> None:
        """The destination ignores checksums: use MD5 from now on."""
        ...

    def states_of(self, transfers: Sequence[int]) -> dict[int, State]:
        """Where these transfers stand."""
        ...

    def condemn(self, why: str) -> None:
        """It was found damaged: the next one to open it sets it aside."""
        ...

    def close(self) -> None:
        """Let go of the file and of the lock."""
        ...


class Hands(Protocol):
    """Which transfers are in hand, remembered beyond the end of the process, not beyond that of the machine."""

    def left(self) -> list[int]:
        """Transfers that the process before this one had in hand when it ended other than by itself."""
        ...

    def take(self, transfer: int) -> None:
        """From now on it is in hand."""
        ...

    def let_go(self, transfer: int) -> None:
        """It is not, or no longer."""
        ...


class Pace(Protocol):
    """How fast all bodies together may go out."""

    def block(self) -> int:
        """How many bytes to send at once."""
        ...

    def take(self, count: int) -> None:
        """Wait until so many bytes may go; not while the process is to stop."""
        ...
