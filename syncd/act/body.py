"""What one request carries: bytes held in a buffer, or a range of the file read in blocks twice.

A body that fits its buffer is read once, summed there and sent from there, so that the sum is of the very bytes that
go out. A larger one is read to be summed and again to be sent; the second reading is summed too, and a difference is
Changed, never a wrong object.
"""

from __future__ import annotations

from collections.abc import Callable

from syncd.errors import Changed
from syncd.model import Algorithm, PartSpan
from syncd.ports import OpenFile, Sum, Sums

BLOCK = 2**20


class _Counted:
    """Keeps count of what every attempt sent, so that sending again shows."""

    size: int

    def __init__(self) -> None:
        self._sent = 0

    def sent(self, count: int) -> None:
        """Another attempt put so many bytes on the line."""
        self._sent += count

    def resent(self, *, arrived: bool) -> int:
        """Bytes that went out in vain: all but the body itself, once it has arrived."""
        return max(self._sent - (self.size if arrived else 0), 0)


class HeldBody(_Counted):
    """Bytes in memory and their sum."""

    def __init__(self, data: memoryview, checksum: str) -> None:
        super().__init__()
        self.data = data
        self.checksum = checksum
        self.size = len(data)

    def read_at(self, offset: int, size: int) -> memoryview:
        """A slice, not a copy."""
        return self.data[offset : offset + size]


class StreamedBody(_Counted):
    """A range of the file, read in blocks; good for one reader at a time."""

    def __init__(
        self, file: OpenFile, span: PartSpan, block: memoryview, checksum: str, running: RunningSum
    ) -> None:
        super().__init__()
        self._file = file
        self._span = span
        self._block = block
        self._running = running
        self.checksum = checksum
        self.size = span.size

    def read_at(self, offset: int, size: int) -> memoryview:
        """The next block. Raises Changed when the file ends early or its sum is no longer the one announced."""
        wanted = min(size, len(self._block), self._span.size - offset)
        block = read_exactly(self._file, self._span.offset + offset, self._block[:wanted])
        self._running.take(offset, block)
        if offset + wanted == self._span.size and self._running.value() not in {None, self.checksum}:
            raise Changed("the file's bytes changed between being summed and being sent")
        return block


class RunningSum:
    """A sum over a range that begins anew when reading begins anew, and says nothing after a jump."""

    def __init__(self, sums: Sums, algorithm: Algorithm) -> None:
        self._sums = sums
        self._algorithm = algorithm
        self._sum: Sum | None = None
        self._next = 0

    def take(self, offset: int, block: memoryview) -> None:
        """Add a block that was read at this offset of the range."""
        if offset == 0:
            self._sum, self._next = self._sums.new(self._algorithm), 0
        if self._sum is None or offset != self._next:
            self._sum = None
            return
        self._sum.update(block)
        self._next += len(block)

    def value(self) -> str | None:
        """The sum so far; None after a jump."""
        return None if self._sum is None else self._sum.value()


def read_exactly(file: OpenFile, offset: int, buffer: memoryview) -> memoryview:
    """Fill the buffer. Raises Changed where the file is shorter than it was."""
    got = file.read_into(offset, buffer)
    if got != len(buffer):
        raise Changed(f"the file ends at byte {offset + got}, it was longer")
    return buffer


def body_for(
    file: OpenFile, span: PartSpan, buffer: memoryview, algorithm: Algorithm, sums: Sums
) -> HeldBody | StreamedBody:
    """The body of a span: held if it fits the buffer, else streamed through it. Raises Changed on a short file."""
    if span.size <= len(buffer):
        return _held(file, span, buffer, algorithm, sums)
    block = buffer[:BLOCK]
    checksum = sum_of_span(file, span, block, algorithm, sums)
    return StreamedBody(file, span, block, checksum, RunningSum(sums, algorithm))


def _held(file: OpenFile, span: PartSpan, buffer: memoryview, algorithm: Algorithm, sums: Sums) -> HeldBody:
    data = buffer[: span.size]
    running = sums.new(algorithm)
    for at in range(0, span.size, BLOCK):  # summed while the block is still in the cache
        running.update(read_exactly(file, span.offset + at, data[at : at + BLOCK]))
    return HeldBody(data, running.value())


def sum_of_span(
    file: OpenFile,
    span: PartSpan,
    block: memoryview,
    algorithm: Algorithm,
    sums: Sums,
    looked: Callable[[], None] = lambda: None,
) -> str:
    """The sum of a span as a header carries it, read through the block; `looked` hears each. Raises Changed on a short file."""
    running = sums.new(algorithm)
    for at in range(0, span.size, len(block)):
        wanted = min(len(block), span.size - at)
        running.update(read_exactly(file, span.offset + at, block[:wanted]))
        looked()
    return running.value()
