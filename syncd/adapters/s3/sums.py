"""The sums that go with every body, by whatever library is fast on this machine.

CRC64NVME and CRC32C come from awscrt where it has a wheel (0.04 CPU seconds per GiB), CRC32 from zlib (faster here than
awscrt's), SHA-256 and MD5 from hashlib. Without awscrt the first two are refused with the remedy, and `auto` means
CRC32. All of them let other threads run meanwhile. Combining sums needs no library: see `combine`.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from syncd.adapters.s3 import combine
from syncd.errors import LockedOut
from syncd.model import Algorithm
from syncd.ports import Sum

CrcFunction = Callable[[Any, int], int]

_FIELDS: Mapping[Algorithm, combine.Field] = {
    Algorithm.CRC32: combine.CRC32,
    Algorithm.CRC32C: combine.CRC32C,
    Algorithm.CRC64NVME: combine.CRC64NVME,
}


def load_awscrt() -> Any | None:
    """The module `awscrt.checksums`, or None where it is missing or older than CRC64NVME."""
    try:
        checksums = importlib.import_module("awscrt.checksums")
    except (ImportError, OSError):  # OSError: a wheel whose shared library this system cannot load
        return None
    return checksums if hasattr(checksums, "crc64nvme") else None


def crc_functions(checksums: Any | None) -> dict[Algorithm, CrcFunction]:
    """The CRCs that can be computed here, as `function(block, previous)`, given `awscrt.checksums` or None."""
    functions: dict[Algorithm, CrcFunction] = {Algorithm.CRC32: zlib.crc32}
    if checksums is not None:
        functions[Algorithm.CRC32C] = checksums.crc32c
        functions[Algorithm.CRC64NVME] = checksums.crc64nvme
    return functions


class _Crc:
    """A running CRC."""

    __slots__ = ("_function", "_value", "_width")

    def __init__(self, function: CrcFunction, width: int) -> None:
        self._function = function
        self._width = width
        self._value = 0

    def update(self, block: memoryview | bytes) -> None:
        """Take more bytes in."""
        self._value = self._function(block, self._value)

    def value(self) -> str:
        """Base64 of the big-endian CRC."""
        return _as_header(self._value, self._width)


class _Digest:
    """A running hashlib digest."""

    __slots__ = ("_digest",)

    def __init__(self, name: str) -> None:
        # MD5 guards against accidents here, not against people; FIPS builds allow it only when told so.
        self._digest = hashlib.new(name, usedforsecurity=False)

    def update(self, block: memoryview | bytes) -> None:
        """Take more bytes in."""
        self._digest.update(block)

    def value(self) -> str:
        """Base64 of the digest."""
        return base64.b64encode(self._digest.digest()).decode()


class _Nothing:
    """The sum for `none`."""

    __slots__ = ()

    def update(self, block: memoryview | bytes) -> None:
        """Ignore the bytes."""

    def value(self) -> str:
        """Always empty."""
        return ""


class AwsSums:
    """The port `Sums`; by default with every CRC that this machine can compute."""

    def __init__(self, functions: Mapping[Algorithm, CrcFunction] | None = None) -> None:
        self._functions = crc_functions(load_awscrt()) if functions is None else functions

    def new(self, algorithm: Algorithm) -> Sum:
        """A running sum. Raises LockedOut (code `checksum`) for a CRC that needs awscrt where there is none."""
        if algorithm is Algorithm.NONE:
            return _Nothing()
        if algorithm in {Algorithm.SHA256, Algorithm.MD5}:
            return _Digest(algorithm.value)
        function = self._functions.get(algorithm)
        if function is None:
            raise LockedOut(
                f"the checksum {algorithm} needs the package awscrt, which is not installed here",
                code="checksum",
                hint="install awscrt, or set destination.checksum to auto or crc32",
            )
        return _Crc(function, _FIELDS[algorithm].width)

    def automatic(self) -> Algorithm:
        """CRC64NVME, or CRC32 where awscrt is missing."""
        return Algorithm.CRC64NVME if Algorithm.CRC64NVME in self._functions else Algorithm.CRC32

    def whole(self, algorithm: Algorithm, parts: Iterable[tuple[str, int]], *, multipart: bool) -> str:
        """The object's sum out of its bodies' (value, size), in order, as S3 shows it for such an object."""
        if algorithm is Algorithm.NONE:
            return ""
        if algorithm in _FIELDS:
            return _combined(_FIELDS[algorithm], parts)
        digests = [base64.b64decode(value) for value, _ in parts]
        if algorithm is Algorithm.MD5:
            return _md5_etag(digests, multipart=multipart)
        return _composite_sha256(digests, multipart=multipart)


def _combined(field: combine.Field, parts: Iterable[tuple[str, int]]) -> str:
    listed = list(parts)
    if len(listed) == 1:  # most files: one body, and its sum is the object's
        return listed[0][0]
    pieces = ((int.from_bytes(base64.b64decode(value), "big"), size) for value, size in listed)
    return _as_header(field.combine(pieces), field.width)


def _md5_etag(digests: list[bytes], *, multipart: bool) -> str:
    if not multipart:
        return digests[0].hex()
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def _composite_sha256(digests: list[bytes], *, multipart: bool) -> str:
    if not multipart:
        return base64.b64encode(digests[0]).decode()
    total = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    return f"{total}-{len(digests)}"


def _as_header(value: int, width: int) -> str:
    return base64.b64encode(value.to_bytes(width // 8, "big")).decode()
