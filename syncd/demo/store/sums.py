"""Checksum arithmetic of the store's own: CRC-32, CRC-32C, CRC-64/NVME, SHA-1, SHA-256, as S3 headers carry them.

The CRCs come from zlib and, where it is installed, awscrt, which are fast and release the GIL; without awscrt the
two that zlib lacks are computed from a table, which is right and slow.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable
from typing import Protocol

try:
    from awscrt import checksums as _fast
except ImportError:
    _fast = None

ALGORITHMS = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")
FAST_CRC64 = _fast is not None
DIGEST_SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
# Which types an upload may have, the default first.
TYPES = {
    "crc32": (COMPOSITE, FULL_OBJECT),
    "crc32c": (COMPOSITE, FULL_OBJECT),
    "crc64nvme": (FULL_OBJECT,),
    "sha1": (COMPOSITE,),
    "sha256": (COMPOSITE,),
}

Block = bytes | bytearray | memoryview
_Crc = Callable[[Block, int], int]


class Sum(Protocol):
    """A running checksum."""

    def update(self, block: Block, /) -> None:
        """Take more bytes in."""

    def digest(self) -> bytes:
        """The sum of all bytes so far, big-endian."""


class CrcSum:
    """A running CRC by one of the functions below."""

    def __init__(self, step: _Crc, size: int) -> None:
        self._step = step
        self._size = size
        self._crc = 0

    def update(self, block: Block, /) -> None:
        """Take more bytes in."""
        self._crc = self._step(block, self._crc)

    def digest(self) -> bytes:
        """The sum of all bytes so far, big-endian."""
        return self._crc.to_bytes(self._size, "big")


def new_sum(algorithm: str) -> Sum:
    """A running sum by one of ALGORITHMS, or `md5`."""
    if algorithm in {"md5", "sha1", "sha256"}:
        return hashlib.new(algorithm, usedforsecurity=False)
    return CrcSum(_steps()[algorithm], DIGEST_SIZES[algorithm])


def header_value(digest: bytes) -> str:
    """The digest in base64, as an x-amz-checksum header has it."""
    return base64.b64encode(digest).decode()


def composite(algorithm: str, values: Iterable[str]) -> str:
    """The COMPOSITE checksum of an upload: the sum over its parts' digests, and how many they are."""
    digests = [base64.b64decode(value) for value in values]
    total = new_sum(algorithm)
    total.update(b"".join(digests))
    return f"{header_value(total.digest())}-{len(digests)}"


def table_crc(polynomial: int, size: int) -> _Crc:
    """A reflected CRC of `size` bytes over a table, initial value and final XOR all ones."""
    mask = (1 << (8 * size)) - 1
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register >> 1) ^ (polynomial if register & 1 else 0)
        table.append(register)

    def step(block: Block, previous: int) -> int:
        register = previous ^ mask
        for byte in block:
            register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
        return register ^ mask

    return step


@functools.cache
def _steps() -> dict[str, _Crc]:
    if _fast is None:
        return {
            "crc32": zlib.crc32,
            "crc32c": table_crc(0x82F63B78, 4),
            "crc64nvme": table_crc(0x9A6C9329AC4BC9B5, 8),
        }
    return {"crc32": zlib.crc32, "crc32c": _fast.crc32c, "crc64nvme": _fast.crc64nvme}
