"""The nouns of the house, frozen: what a file is to us, how far it has come, and what proves that it arrived.

Nothing here does anything. Paths are bytes, as the system has them; times are seconds since the epoch (UTC) unless
the name says `_ns`; sizes are bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypedDict


class State(enum.StrEnum):
    """How far a file has come. What holds it up is never a state: see `not_before` and `parked_reason`."""

    DISCOVERED = "discovered"
    SETTLED = "settled"
    PLANNED = "planned"
    CREATING = "creating"
    UPLOADING = "uploading"
    COMPLETING = "completing"
    VERIFIED = "verified"
    DONE = "done"
    SUPERSEDED = "superseded"
    VANISHED = "vanished"


class Standing(enum.StrEnum):
    """How files are counted: by state, those that are parked apart, and all that are still to be sent together."""

    DISCOVERED = "discovered"
    SETTLED = "settled"
    PLANNED = "planned"
    CREATING = "creating"
    UPLOADING = "uploading"
    COMPLETING = "completing"
    VERIFIED = "verified"
    DONE = "done"
    SUPERSEDED = "superseded"
    VANISHED = "vanished"
    PARKED = "parked"
    PENDING = "pending"  # before done and not parked


class Algorithm(enum.StrEnum):
    """The sum that goes with every body. CRCs are FULL_OBJECT over an upload's parts, sha256 is COMPOSITE."""

    CRC64NVME = "crc64nvme"
    CRC32 = "crc32"
    CRC32C = "crc32c"
    SHA256 = "sha256"
    MD5 = "md5"
    NONE = "none"


class ProofKind(enum.StrEnum):
    """What confirms that the object has our bytes, strongest first."""

    CHECKSUM = "checksum"
    MD5 = "md5"
    MD5_PARTS = "md5-parts"
    SIZE = "size"


class Writer(enum.Enum):
    """Whether somebody has the file open for writing, as far as we can tell."""

    NONE = "none"
    OPEN = "open"
    UNKNOWN = "unknown"  # the kernel does not say: not our file, or a file system without leases
    UNASKED = "unasked"  # it could not be opened to ask: not there, or trouble that may pass


class Fate(enum.Enum):
    """What became of a file that was to be put away."""

    ASIDE = "aside"  # it lies under another name and rests: whoever was just opening it has time to show
    GONE = "gone"  # deleted or moved, as was asked
    MISSING = "missing"  # there was none
    AWAY = "away"  # the directory that it lies in is not at its place, or a symlink is there instead
    CHANGED = "changed"  # it is another file than the one that was proven
    OPEN = "open"  # somebody has it open for writing
    UNKNOWN = "unknown"  # whether somebody writes it cannot be told
    OCCUPIED = "occupied"  # where it was to be moved another file lies


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Which bytes a path held: while an upload is open all five must stay equal."""

    dev: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file that a scan met: path relative to the folder's root, and its fingerprint by lstat."""

    path: bytes
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Blind:
    """A subtree that a scan could not read: nothing below `prefix` (ends in b"/") counts as missing."""

    prefix: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class RootIdentity:
    """Which directory a folder's path leads to.

    A file system mounted again may change `dev`, not `inode`; but every card has the same inode for its root, so
    `filesystem` (f_fsid of statvfs, 0 where there is none) tells two of them apart. `is_mount`: something is mounted
    there; no part of the identity.
    """

    dev: int
    inode: int
    filesystem: int = 0
    is_mount: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold at the destination for a write to happen: nothing there yet, or still our own object."""

    if_none_match: bool = False
    if_match: str | None = None  # the ETag of our own earlier object, in quotes as S3 gives it


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Everything about the object that is fixed when a transfer is planned."""

    bucket: str
    key: str
    algorithm: Algorithm
    token: str
    metadata: dict[str, str] = field(
        default_factory=dict
    )  # without the x-amz-meta- prefix; holds the token too
    content_type: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    encryption: str | None = None  # x-amz-server-side-encryption
    kms_key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpan:
    """One part of a plan: its number from 1, and the bytes it covers."""

    number: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that S3 acknowledged: `etag` in quotes as S3 gave it, `checksum` as the header carried it (or None)."""

    number: int
    size: int
    etag: str
    checksum: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a Put or Complete answered: quoted ETag, the full checksum if the answer echoed one, the version id."""

    etag: str
    checksum: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteObject:
    """What HEAD shows: quoted ETag, size, checksums by algorithm, whether ETags are MD5s.

    `token` and `device`: of the syncd that wrote it, None where it was none.
    """

    etag: str
    size: int
    token: str | None
    checksums: dict[Algorithm, str]
    device: str | None = None
    etag_is_md5: bool = True
    encryption: str | None = None  # by the server, as it says
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A multipart upload that was just created. `swept_at`: when a lifecycle rule of the bucket ends it, None: none does."""

    upload_id: str
    swept_at: float | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What showed that the object has our bytes: the kind, its value, and who said so."""

    kind: ProofKind
    value: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpload:
    """A multipart upload that is open at the destination; when it was begun by the store's clock."""

    key: str
    upload_id: str
    initiated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One version of one file on its way: a row of the ledger."""

    id: int
    folder: bytes
    path: bytes
    fingerprint: Fingerprint
    state: State
    discovered_at: float
    not_before: float = 0.0
    parked_reason: str | None = None
    hint: str | None = None
    attempts: int = 0
    # fixed at `planned`
    bucket: str | None = None
    key: str | None = None
    part_size: int | None = None  # None: one PutObject
    algorithm: Algorithm | None = None
    token: str | None = None
    condition: Condition = field(default_factory=Condition)
    # what came of it
    upload_id: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    etag: str | None = None
    checksum: str | None = None  # over the whole file by `algorithm`, as decide.verify writes it
    proof: Proof | None = None
    sent_bytes: int = 0
    resent_bytes: int = 0
    gone_at: float | None = None  # a done file that is no longer at its path
    strikes: int = 0  # how often in a row its handling ended the process


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a file's story."""

    at: float
    state: State
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of history with the file that it is about; `id` is its place among all lines, older ones have lower ones."""

    id: int
    at: float
    state: State
    why: str
    folder: bytes
    path: bytes

    @property
    def whole_path(self) -> bytes:
        """The file's place on the machine."""
        return self.folder + b"/" + self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Happenings:
    """A stretch of history, newest first, out of all whose paths hold what was looked for.

    `looked_at`: the last line that was looked at, whether it fits or not; None: the end was reached.
    """

    lines: tuple[Happening, ...]
    looked_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSet:
    """One set of temporary credentials; immutable, swapped whole. `expires_at`: by the issuer's clock."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    expires_at: float | None
    bucket: str | None = None
    prefix: str | None = None
    region: str | None = None
    role_arn: str | None = None  # whose session it is, where the issuer says so
    role_id: str | None = None


class Columns(TypedDict, total=False):
    """What a change may set in a transfer's row; see `Transfer` for the meanings."""

    path: bytes
    fingerprint: Fingerprint
    not_before: float
    parked_reason: str | None
    hint: str | None
    attempts: int
    bucket: str
    key: str
    part_size: int | None
    algorithm: Algorithm
    token: str
    condition: Condition
    upload_id: str | None
    started_at: float
    finished_at: float
    etag: str | None
    checksum: str | None
    proof: Proof
    gone_at: float | None
    strikes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Discover:
    """A new version of a file appears."""

    folder: bytes
    path: bytes
    fingerprint: Fingerprint
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transfer goes from one state to the next; only if it still is where we think."""

    id: int
    was: State
    to: State
    why: str
    sets: Columns = field(default_factory=Columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """Something about a transfer changes, not its state. With `why` it makes a line of history."""

    id: int
    was: State
    sets: Columns
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortLater:
    """An upload is given up; the janitor aborts it at the destination.

    With `since` (by the servers' clock) it is not known whether there is one, nor its id: `upload_id` is the transfer's token
    then, and meant are the uploads of this key that were opened since.
    """

    bucket: str
    key: str
    upload_id: str
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Aborted:
    """What `AbortLater` asked for is done, or nothing more can be done about it: forget it."""

    upload_id: str


@dataclass(frozen=True, slots=True)
class ForgetParts:
    """The parts recorded for a transfer no longer count."""

    id: int


@dataclass(frozen=True, slots=True)
class SuspectOrphan:
    """A crash lay between Create and its record, and we may not list uploads: one may have been left open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSent:
    """Bytes of a body that the store accepted, and bytes sent in vain before (this transfer's, all together)."""

    id: int
    sent: int
    resent: int = 0


Change = Discover | Move | Amend | AbortLater | Aborted | ForgetParts | SuspectOrphan | CountSent


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Numbers over the life of a ledger."""

    sent_bytes: int = 0
    resent_bytes: int = 0
    possible_orphans: int = 0
    last_success_at: float | None = None
    begun_at: float | None = None  # this ledger took the place of one that was damaged or lost
    begun_because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A person wants nothing to be sent, since then and until then; `until` None: until they say otherwise."""

    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Files by state (parked ones only in `parked`), and the bytes of those that are pending."""

    by_state: dict[State, int]
    parked: int
    pending: int
    pending_bytes: int
    oldest_pending_at: float | None
