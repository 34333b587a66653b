from __future__ import annotations

import io

from syncd.adapters.s3.body import BLOCK, BodyReader

from .conftest import BytesBody


def test_blocks_are_a_mebibyte_whatever_size_is_asked_for() -> None:
    body = BytesBody(bytes(BLOCK * 2 + 5))
    reader = BodyReader(body)
    sizes = [len(block) for block in iter(lambda: reader.read(16384), b"")]
    assert sizes == [BLOCK, BLOCK, 5]
    assert len(reader) == body.size
    assert reader.exhausted


def test_a_block_is_the_bodys_own_memory_and_no_copy() -> None:
    body = BytesBody(b"abc")
    assert BodyReader(body).read().obj is body.data


def test_it_can_be_rewound_and_is_then_not_exhausted() -> None:
    reader = BodyReader(BytesBody(b"abcdef"))
    reader.read()
    assert reader.seek(0) == reader.tell() == 0
    assert not reader.exhausted
    assert reader.seek(-2, io.SEEK_END) == 4
    assert bytes(reader.read()) == b"ef"
    assert reader.seek(-1, io.SEEK_CUR) == 5
