"""How a file is cut: one PutObject, or parts of a size that is fixed before the first byte is sent.

S3 takes 1 to 10,000 parts of 5 MiB to 5 GiB, only the last may be smaller; that makes 48.8 TiB
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from syncd.errors import Refused
from syncd.model import PartSpan

MIB = 2**20
MAX_PARTS = 10_000
MAX_PART_SIZE = 5 * 2**30
MAX_SIZE = MAX_PARTS * MAX_PART_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPolicy:
    """`upload.part_size` and `upload.multipart_threshold`, in bytes."""

    part_size: int = 16 * MIB
    multipart_threshold: int = 16 * MIB


def part_size_for(size: int, policy: PlanPolicy) -> int | None:
    """The part size for a file of this size; None for one PutObject. Raises Refused above what S3 can hold."""
    if size > MAX_SIZE:
        raise Refused(f"it has {size} bytes, S3 holds at most {MAX_SIZE}", hint="split the recording")
    if size == 0 or size < policy.multipart_threshold:
        return None
    needed = -(-size // MAX_PARTS)
    return policy.part_size if needed <= policy.part_size else min(-(-needed // MIB) * MIB, MAX_PART_SIZE)


def part_count(size: int, part_size: int | None) -> int:
    """How many bodies carry the file."""
    return 1 if part_size is None else max(1, -(-size // part_size))


def spans(size: int, part_size: int | None) -> Iterator[PartSpan]:
    """The bodies in order; together they are the file. A file without a part size is one body."""
    if part_size is None:
        yield PartSpan(number=1, offset=0, size=size)
        return
    for number in range(1, part_count(size, part_size) + 1):
        offset = (number - 1) * part_size
        yield PartSpan(number=number, offset=offset, size=min(part_size, size - offset))
