from __future__ import annotations

import base64
import hashlib
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.adapters.s3 import combine
from syncd.adapters.s3.sums import AwsSums, crc_functions, load_awscrt
from syncd.errors import LockedOut
from syncd.model import Algorithm

CHECK = b"123456789"
HIDDEN = AwsSums(crc_functions(None))
HERE = AwsSums()
FOUND_HERE = [a for a in Algorithm if a is Algorithm.CRC32 or load_awscrt() is not None]
CRCS = [a for a in FOUND_HERE if a.value.startswith("crc")]


def value_of(algorithm: Algorithm, *blocks: bytes, sums: AwsSums = HERE) -> str:
    running = sums.new(algorithm)
    for block in blocks:
        running.update(block)
    return running.value()


def number(value: str) -> int:
    return int.from_bytes(base64.b64decode(value), "big")


@pytest.mark.parametrize("algorithm", CRCS)
def test_each_crc_gives_the_catalogues_check_value(algorithm: Algorithm) -> None:
    catalogue = {
        Algorithm.CRC32: 0xCBF43926,
        Algorithm.CRC32C: 0xE3069283,
        Algorithm.CRC64NVME: 0xAE8B14860A799888,
    }
    assert number(value_of(algorithm, CHECK[:4], memoryview(CHECK)[4:])) == catalogue[algorithm]


def test_digests_are_base64_of_the_digest() -> None:
    assert value_of(Algorithm.SHA256, CHECK) == base64.b64encode(hashlib.sha256(CHECK).digest()).decode()
    assert value_of(Algorithm.MD5, CHECK) == base64.b64encode(hashlib.md5(CHECK).digest()).decode()


def test_none_has_no_sum() -> None:
    assert value_of(Algorithm.NONE, CHECK) == ""
    assert HERE.whole(Algorithm.NONE, [("", 3)], multipart=True) == ""


pieces = st.lists(st.binary(max_size=300), max_size=12)


@pytest.mark.parametrize("algorithm", CRCS)
@given(blocks=pieces)
def test_a_combined_crc_is_the_crc_of_the_concatenation(algorithm: Algorithm, blocks: list[bytes]) -> None:
    parts = [(value_of(algorithm, block), len(block)) for block in blocks]
    whole = b"".join(blocks)
    assert HIDDEN.whole(algorithm, parts, multipart=True) == value_of(algorithm, whole)


@pytest.mark.parametrize("field", [combine.CRC32C, combine.CRC64NVME])
@given(left=st.binary(max_size=40), right=st.binary(max_size=40))
def test_the_fields_without_a_library_combine_bitwise_crcs_too(
    field: combine.Field, left: bytes, right: bytes
) -> None:
    def bitwise(data: bytes) -> int:
        ones = (1 << field.width) - 1
        value = ones
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = (value >> 1) ^ (field.polynomial if value & 1 else 0)
        return value ^ ones

    parts = [(bitwise(left), len(left)), (bitwise(right), len(right))]
    assert field.combine(parts) == bitwise(left + right)


@given(blocks=st.lists(st.binary(max_size=50), min_size=1, max_size=8))
@settings(max_examples=30)
def test_sha256_and_md5_of_parts_look_as_s3_shows_them(blocks: list[bytes]) -> None:
    sha = [hashlib.sha256(block).digest() for block in blocks]
    md5 = [hashlib.md5(block).digest() for block in blocks]
    count = len(blocks)
    assert (
        HERE.whole(
            Algorithm.SHA256, [(value_of(Algorithm.SHA256, b), len(b)) for b in blocks], multipart=True
        )
        == f"{base64.b64encode(hashlib.sha256(b''.join(sha)).digest()).decode()}-{count}"
    )
    assert (
        HERE.whole(Algorithm.MD5, [(value_of(Algorithm.MD5, b), len(b)) for b in blocks], multipart=True)
        == f"{hashlib.md5(b''.join(md5)).hexdigest()}-{count}"
    )


def test_of_a_single_body_the_sum_is_its_own() -> None:
    for algorithm in [*CRCS, Algorithm.SHA256]:
        value = value_of(algorithm, CHECK)
        assert HERE.whole(algorithm, [(value, 9)], multipart=False) == value
    md5 = value_of(Algorithm.MD5, CHECK)
    assert HERE.whole(Algorithm.MD5, [(md5, 9)], multipart=False) == hashlib.md5(CHECK).hexdigest()


def test_ten_thousand_parts_are_combined_within_two_seconds() -> None:
    parts = [(value_of(Algorithm.CRC32, b"%d" % n), 16 << 20) for n in range(9_999)] + [("AAAAAA==", 12345)]
    begun = time.process_time()
    HIDDEN.whole(Algorithm.CRC32, parts, multipart=True)
    assert time.process_time() - begun < 2


def test_sizes_of_terabytes_cost_no_more_than_bytes() -> None:
    # 2^40 zero bytes in one piece or in two halves: the sums must agree.
    half = combine.CRC32.combine([(zlib.crc32(b"x"), 1), (0, 1 << 39), (0, 1 << 39)])
    assert half == combine.CRC32.combine([(zlib.crc32(b"x"), 1), (0, 1 << 40)])


def test_without_awscrt_automatic_is_crc32_and_the_others_are_refused_with_the_remedy() -> None:
    assert HIDDEN.automatic() is Algorithm.CRC32
    assert value_of(Algorithm.CRC32, CHECK, sums=HIDDEN) == value_of(Algorithm.CRC32, CHECK)
    for algorithm in (Algorithm.CRC64NVME, Algorithm.CRC32C):
        with pytest.raises(LockedOut) as caught:
            HIDDEN.new(algorithm)
        assert caught.value.code == "checksum"
        assert "awscrt" in (caught.value.hint or "")


def test_with_awscrt_automatic_is_crc64nvme() -> None:
    class Checksums:
        crc32c = crc64nvme = staticmethod(lambda block, previous=0: previous)

    assert AwsSums(crc_functions(Checksums)).automatic() is Algorithm.CRC64NVME
