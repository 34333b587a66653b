"""A camera for the demo: writes a file of pseudo-random bytes over some seconds, as a recording grows.

The bytes are the same in every run; only the name tells when.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from pathlib import Path
from typing import Final

BLOCK: Final = 1 << 20
# The first box of an MP4 file, so that `file` knows what it is meant to be; the rest is noise.
_HEAD: Final = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42"
_SEED: Final = 20_260_128


class Recording:
    """One file that is being written, in a thread of its own. `seconds`: how long it takes at least."""

    def __init__(self, directory: Path, size: int, seconds: float) -> None:
        self.path = directory / f"recording-{time.strftime('%Y%m%d-%H%M%S')}.mp4"
        self.size = size
        self.written = 0
        self.sha256: str | None = None  # known when all is written
        self.failure: OSError | None = None
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, name="camera", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Leave off, finished or not."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _write(self) -> None:
        try:
            self._write_all()
        except OSError as failure:
            self.failure = failure

    def _write_all(self) -> None:
        noise, total = random.Random(_SEED), hashlib.sha256()  # noqa: S311 - content, not a secret
        began = time.monotonic()
        with self.path.open("xb") as file:
            while self.written < self.size and not self._stop.is_set():
                wanted = min(BLOCK, self.size - self.written)
                block = (b"" if self.written else _HEAD) + noise.randbytes(BLOCK)
                total.update(block[:wanted])
                file.write(block[:wanted])
                self.written += wanted
                ahead = self._seconds * self.written / self.size - (time.monotonic() - began)
                self._stop.wait(max(ahead, 0.0))
        if self.written == self.size:
            self.sha256 = total.hexdigest()
