"""A request body as botocore and http.client want it: a file-like object over `Body.read_at`.

Its `read` hands out blocks of 1 MiB whatever size the caller asks for: http.client asks for 16 KiB, which would cost
0.3 to 0.5 CPU seconds per GiB more. Nothing is copied; a block is valid until the next read, and its users (the socket,
hashlib) are done with it by then. What the body raises passes through (botocore wraps it, `faults` finds it again).
"""

from __future__ import annotations

import io

from syncd.ports import Body, Pace

BLOCK = 1 << 20


class BodyReader:
    """Reads one body from the start; may be rewound for a second pass.

    `pace` holds back what goes out; the first `signed` passes are only read to be signed.
    """

    def __init__(self, body: Body, pace: Pace | None = None, *, signed: int = 0) -> None:
        self._body = body
        self._position = 0
        self._pace = pace
        self._passes = -signed

    def __len__(self) -> int:
        return self._body.size

    @property
    def exhausted(self) -> bool:
        """Whether the last byte has been handed out: before that no server can have stored the body."""
        return self._position >= self._body.size

    def read(self, _size: int = -1) -> memoryview | bytes:
        """The next block, at most 1 MiB; empty at the end."""
        left = self._body.size - self._position
        if left <= 0:
            return b""
        if self._position == 0:
            self._passes += 1
        pace = self._pace if self._passes > 0 else None
        block = self._body.read_at(self._position, min(left, BLOCK if pace is None else pace.block()))
        if pace is not None:
            pace.take(len(block))
        self._position += len(block)
        return block

    def tell(self) -> int:
        """Bytes handed out so far."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on from elsewhere; the new position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._body.size}[whence]
        self._position = start + offset
        return self._position
