"""Where a test may step between a server and its client: before a request takes effect, and before it is answered.

The server only asks and obeys; which request is hit by what is decided by the one who sets `faults`. The words are the
same for the store and for the demo's credential API; `suffer` says what each does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

ALL = 1 << 62  # for `take`: the whole body


@dataclass(slots=True, kw_only=True)
class Record:
    """One request as the store saw it. Before the effect only what the request's head says is filled in.

    `length` is what the head announced, `received` what came of the body, `status` 0 where no answer was sent.
    """

    at: float
    request_id: str
    method: str
    operation: str = ""
    bucket: str = ""
    key: str = ""
    part_number: int | None = None
    upload_id: str | None = None
    access_key: str | None = None
    length: int = 0
    received: int = 0
    status: int = 0
    code: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What shall happen to a request, in this order; without an end (`hang` to `status`) it goes on.

    `abort`: the upload that it names is dropped first. `delay`: so many seconds pass. `pace`: its body is read no faster
    than so many bytes a second. `flip`: this bit of it (modulo its length) is the other way round. `take`: so many bytes of
    it are read before the end comes. Ends: `hang` reads and answers nothing until somebody goes away, `reset` ends the
    connection with RST, `drop` with FIN, `status` answers: with the error document of `code`, or with `body`,
    sent `repeat` times; `foreign` if none of our headers shall be in it, as from a proxy or a captive portal.
    Whatever is answered: `etag` stands in for every ETag in it, it takes `drip` seconds to come, and after `truncate` bytes
    of its content the connection ends.
    """

    abort: bool = False
    delay: float = 0.0
    pace: float | None = None
    flip: int | None = None
    take: int | None = None
    hang: bool = False
    reset: bool = False
    drop: bool = False
    status: int | None = None
    code: str = "InternalError"
    message: str = "We encountered an internal error. Please try again."
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeat: int = 1
    foreign: bool = False
    etag: str | None = None
    drip: float | None = None
    truncate: int | None = None

    @property
    def ends(self) -> bool:
        """Whether the request goes no further."""
        return self.hang or self.reset or self.drop or self.status is not None

    def __post_init__(self) -> None:
        """Refuse what would silently not happen."""
        if self.take is not None and not self.ends:
            raise ValueError("`take` needs an end: hang, reset, drop or status")


class Faults(Protocol):
    """Decides about every request, from any thread."""

    def before(self, record: Record) -> Fault | None:
        """Before anything of the request takes effect, its body not yet read; not even the signature was looked at."""

    def after(self, record: Record) -> Fault | None:
        """After the effect, before the answer: `record.status` is what would be answered."""
