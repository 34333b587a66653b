"""What an object is said to be, by its name alone."""

from __future__ import annotations

import pytest

from syncd.act.content_type import content_type_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"run 7/film.mp4", "video/mp4"),
        (b"FILM.MP4", "video/mp4"),
        (b"film.mkv", "video/x-matroska"),
        (b"film.ts", "video/mp2t"),
        (b"scan.tif", "image/tiff"),
        (b"notes.txt", "text/plain"),
        (b"table.csv.gz", "application/gzip"),
        (b"raw.tar.zst", "application/zstd"),
        (b"sound.wav", "audio/wav"),
        (b"film", "application/octet-stream"),
        (b"film.", "application/octet-stream"),
        (b".mp4", "application/octet-stream"),
        (b"movies.mp4/film", "application/octet-stream"),
        (b"film.unheard-of", "application/octet-stream"),
        (b"caf\xe9.mp4", "video/mp4"),
        (b"film.m\xff4", "application/octet-stream"),
    ],
)
def test_the_suffix_tells_the_type(name: bytes, kind: str) -> None:
    assert content_type_of(name) == kind
