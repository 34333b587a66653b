"""Where a test may step between the store and its client: before a request takes effect, and before it is answered.

The store only asks and obeys; which request is hit by what is decided by the one who sets `Store.faults`.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

REMEMBERED = 200_000


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
    """What shall happen instead: wait `delay` seconds, then drop the connection, or answer with `status`.

    Without `drop` and `status` the request goes on after the delay. `body` replaces the error document of `code`.
    """

    delay: float = 0.0
    drop: bool = False
    status: int | None = None
    code: str = "InternalError"
    message: str = "We encountered an internal error. Please try again."
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


class Faults(Protocol):
    """Decides about every request, from any thread."""

    def before(self, record: Record) -> Fault | None:
        """Before anything of the request takes effect, its body not yet read; not even the signature was looked at."""

    def after(self, record: Record) -> Fault | None:
        """After the effect, before the answer: `record.status` is what would be answered."""


class Journal:
    """Remembers requests, the last 200,000, and appends them as JSON lines to a file while one is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[Record] = deque(maxlen=REMEMBERED)
        self._file: TextIO | None = None

    def open(self, path: Path) -> None:
        """Append to this file from now on."""
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, record: Record) -> None:
        """Remember a request whose outcome is known."""
        with self._lock:
            self._records.append(record)
            if self._file is not None:
                self._file.write(json.dumps(asdict(record)) + "\n")

    def records(self) -> list[Record]:
        """All that is remembered, in the order of their outcomes."""
        with self._lock:
            return list(self._records)

    def counts(self) -> Counter[str]:
        """How many requests per operation succeeded ("UploadPart"), or ended with a code ("UploadPart NoSuchUpload")."""
        return Counter(f"{each.operation} {each.code}".strip() for each in self.records())

    def close(self) -> None:
        """Close the file, if there is one."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
