"""What an object and a local file show otherwise than was proven."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.decide.audit import Proven, disagreements, local_disagreement
from syncd.model import Algorithm, RemoteObject

CRC = Algorithm.CRC64NVME
PROVEN = Proven(token="t", size=9, algorithm=CRC, checksum="AAA=", etag='"e"')
OBJECT = RemoteObject(etag='"e"', size=9, token="t", checksums={CRC: "AAA="})


@pytest.mark.parametrize(
    ("proven", "found"),
    [
        (PROVEN, OBJECT),
        (PROVEN, replace(OBJECT, etag='"another, as after a copy in place"')),
        (PROVEN, replace(OBJECT, checksums={})),
        (replace(PROVEN, algorithm=Algorithm.MD5, checksum="e"), replace(OBJECT, checksums={})),
        (replace(PROVEN, algorithm=Algorithm.NONE, checksum=""), replace(OBJECT, checksums={})),
    ],
)
def test_what_agrees_has_nothing_to_say(proven: Proven, found: RemoteObject) -> None:
    assert disagreements(proven, found) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (None, "there is no object"),
        (replace(OBJECT, token="other"), "written by another upload"),
        (replace(OBJECT, token=None), "written by nobody of ours"),
        (replace(OBJECT, size=8), "the object has 8 bytes, 9 were uploaded"),
        (replace(OBJECT, checksums={CRC: "BBB="}), "the object's crc64nvme is BBB=, proven was AAA="),
        (replace(OBJECT, checksums={}, etag='"f"'), 'the object\'s ETag is "f"'),
    ],
)
def test_each_thing_that_differs_is_named(found: RemoteObject | None, told: str) -> None:
    [problem] = disagreements(PROVEN, found)
    assert told in problem


def test_local_bytes_are_judged_by_size_and_sum() -> None:
    assert local_disagreement(PROVEN, 9, "AAA=") is None
    assert "8 bytes" in (local_disagreement(PROVEN, 8, "AAA=") or "")
    assert "BBB=" in (local_disagreement(PROVEN, 9, "BBB=") or "")
    assert local_disagreement(replace(PROVEN, algorithm=Algorithm.NONE, checksum=""), 9, "") is None
