"""What the store remembers of its requests, for tests to judge and for a file beside it."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from syncd.demo.store.faults import Record

REMEMBERED = 200_000


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
