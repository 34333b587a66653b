"""The kinds of failure, named for what to do next, each with a hint for the operator.

Adapters translate what the world raises into these at their border; nothing above ever sees a `ClientError` or an
`OSError`. `act.step` is the only place that catches them and decides what becomes of the transfer.
"""

from __future__ import annotations

import re


class SyncdError(Exception):
    """Something went wrong; `hint` says what an operator can do about it (None: nothing, it mends itself)."""

    status: int | None = None  # what an HTTP server answered, where that is what went wrong

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Transient(SyncdError):
    """Wait and try again. `retry_after` is the server's own wish in seconds, already capped.

    `unreachable` says that no answer came from the destination at all (no route, no name, refused, timed out), so that
    the outage costs no single file an attempt. `lost`: the request may have been carried out all the same.
    """

    lost = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.unreachable = unreachable


class Stale(SyncdError):
    """What we knew is no longer so: look again. Always one of the classes below."""


class Changed(Stale):
    """The file is not the one the transfer began with."""


class Vanished(Stale):
    """There is no regular file at the path (any more)."""


class RowMoved(Stale):
    """The ledger's row is no longer in the state that this step began with."""


class UploadGone(Stale):
    """The multipart upload is not there: aborted, expired or already completed (NoSuchUpload; NoSuchKey on RGW)."""


class PartsRejected(Stale):
    """Complete did not accept the list: a part is missing or differs (InvalidPart, InvalidPartOrder)."""


class ObjectExists(Stale):
    """A conditional write met another object under the key (412 PreconditionFailed)."""


class Conflict(Stale):
    """A conditional Complete raced another write (409): S3 wants a new upload, all parts."""


class Doubtful(Stale):
    """A Put or Complete was answered in a way that proves neither success nor failure: look at the object."""


class ChecksumIgnored(Stale):
    """The store does not honour the checksum we asked for. `etag`: of an object that was stored all the same."""

    def __init__(self, message: str, *, etag: str | None = None) -> None:
        super().__init__(message)
        self.etag = etag


class EncryptionIgnored(Stale):
    """The store does not encrypt as we asked for. `etag`: of an object that was stored all the same."""

    def __init__(self, message: str, *, etag: str | None = None) -> None:
        super().__init__(message)
        self.etag = etag


class LockedOut(SyncdError):
    """The whole destination refuses us: it waits and probes, no file loses an attempt.

    `code` is one of `credentials`, `clock`, `permission`, `bucket`, `region`, `checksum`, `tls`.
    """

    def __init__(
        self, message: str, *, code: str, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.retry_after = retry_after


class NoCredentials(LockedOut):
    """There is nothing to sign with, so nothing was asked of the destination; over as soon as a set comes."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, code="credentials", hint=hint, retry_after=retry_after)


class Refused(SyncdError):
    """This file cannot go as things stand: park it until a person looks."""


class FolderUnavailable(SyncdError):
    """A watched folder is missing, unreadable or not mounted: it waits, the others go on."""


class Fatal(SyncdError):
    """The process cannot go on. `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(Fatal):
    """The configuration is wrong: `problems` lists every mistake as `FILE:LINE:COL: KEY: what, expected what`."""

    exit_code = 78

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class LedgerHeld(Fatal):
    """Another daemon holds the ledger; the message names its pid."""

    exit_code = 3


class LedgerFull(Transient):
    """The disk that holds the ledger is full: nothing was written; wait for room."""


class LedgerFailure(Fatal):
    """The ledger cannot be read or written."""


class LedgerDamaged(LedgerFailure):
    """What is in the ledger's file cannot be what was written: it is set aside at the next start, and begun anew."""


class LedgerAway(LedgerFailure):
    """The ledger cannot be opened now, and nothing is wrong with it as far as we know: wait for its disk."""


class LedgerForeign(LedgerFailure):
    """The file is no ledger that this syncd can use: another program's, or a newer syncd's. A person must decide."""

    exit_code = 78


def kind_of(failure: BaseException) -> str:
    """One word for counting: a code of LockedOut, `network`, `store` (it asked to wait, or failed), `refused`, or what is stale."""
    match failure:
        case LockedOut():
            return failure.code
        case Transient() if failure.unreachable:
            return "network"
        case Transient():
            return "store"
        case Stale() | Refused():
            return re.sub(r"(?<!^)(?=[A-Z])", "_", type(failure).__name__).lower()
        case _:
            return "other"
