"""CRC arithmetic over GF(2): the sum of a whole out of the sums of its pieces, without touching a byte again.

A CRC is a remainder of polynomials, so appending `n` bytes multiplies the sum before them by x^(8n); the sums' initial
and final inversions cancel out. One multiplication per piece, and square-and-multiply once per distinct size, keep
10,000 parts at a fraction of a second. Refuses nothing; knows nothing of S3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """The polynomials modulo one CRC's own, bits reflected as the CRC has them (bit `width`-1 is x^0)."""

    width: int
    polynomial: int

    def multiply(self, left: int, right: int) -> int:
        """The product of two remainders."""
        product = 0
        one = 1 << (self.width - 1)
        while left:
            if left & one:
                product ^= right
            left = (left << 1) & ((one << 1) - 1)
            right = (right >> 1) ^ self.polynomial if right & 1 else right >> 1
        return product

    def shift(self, size: int) -> int:
        """x^(8 * size): what `size` more bytes multiply a sum with."""
        result, square, left = 1 << (self.width - 1), 1 << (self.width - 1 - 8), size
        while left:
            if left & 1:
                result = self.multiply(result, square)
            square = self.multiply(square, square)
            left >>= 1
        return result

    def combine(self, pieces: Iterable[tuple[int, int]]) -> int:
        """The CRC of the concatenation of pieces, given as (CRC, bytes) in order; 0 for none."""
        total = 0
        shifts: dict[int, int] = {}
        for value, size in pieces:
            if size not in shifts:
                shifts[size] = self.shift(size)
            total = self.multiply(total, shifts[size]) ^ value
        return total


CRC32 = Field(32, 0xEDB88320)
CRC32C = Field(32, 0x82F63B78)
CRC64NVME = Field(64, 0x9A6C9329AC4BC9B5)
