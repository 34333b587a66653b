"""Three faults planted on purpose, each caught by the very trials that correct code comes through.

A suite that has never failed proves nothing: this one shows that its oracle sees what it is there to see.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from support import scenes
from support.fake_store import FakeStore
from support.lives import Trial, failing

from syncd.act import upload, verify
from syncd.act.body import body_for
from syncd.decide.verify import Expected, Finding
from syncd.model import Part, RemoteObject, Transfer
from syncd.ports import OpenFile

pytestmark = [pytest.mark.sweep, pytest.mark.torture]


def save_the_row_first(job: upload._PartJob, buffer: memoryview) -> None:
    """The part's row is written with the ETag that the store is going to answer; then the part is sent."""
    world, span = job._world, job._span
    body = body_for(job._file, span, buffer, job._target.algorithm, world.sums)
    upload._check_same(job._transfer, job._file)
    etag = f'"{hashlib.md5(body.read_at(0, span.size)).hexdigest()}"'
    kept = Part(number=span.number, size=span.size, etag=etag, checksum=body.checksum or None)
    world.ledger.record_part(job._transfer.id, kept, sent=span.size, resent=0)
    world.store.upload_part(job._target, job._upload_id, span.number, body)


def an_object_exists(found: RemoteObject | None, expected: Expected) -> Finding:
    """An object under our key is taken for ours."""
    return Finding.ABSENT if found is None else Finding.OURS


def no_check_before_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint is compared before each part, and no more once all parts are there."""
    send_all, check_same = upload._send_all, upload._check_same
    all_there: set[int] = set()

    def sends_all(transfer: Transfer, *rest: Any) -> None:
        all_there.discard(transfer.id)
        send_all(transfer, *rest)
        all_there.add(transfer.id)

    def checks_before_parts(transfer: Transfer, file: OpenFile) -> None:
        if transfer.id not in all_there:
            check_same(transfer, file)

    monkeypatch.setattr(upload, "_send_all", sends_all)
    monkeypatch.setattr(upload, "_check_same", checks_before_parts)


def plain_world(place: Path) -> scenes.Maker:
    root = place / "inbox"
    root.mkdir(parents=True)
    (root / "film").write_bytes(scenes.FILM)
    return lambda number: Trial(root, place / f"trial-{number}", FakeStore())


def test_saving_the_part_row_before_the_answer_has_come_is_caught(
    fast_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload._PartJob, "__call__", save_the_row_first)
    failures = failing(plain_world(fast_directory))
    caught = [failure.split(":")[0] for failure in failures if "was never sent" in failure]
    assert [where.split(" ", 3)[3] for where in caught] == ["(record_part)", "(upload_part)"] * 3, failures
    assert {where.split()[0] for where in caught} == {"after", "before"}


@pytest.mark.parametrize(
    ("scene", "symptom"),
    [
        (scenes.strangers_object, "another one's object was taken for ours"),
        (scenes.other_size, "the object has not the bytes that it should have"),
        (scenes.other_checksum, "the object has not the bytes that it should have"),
        (scenes.other_token, "another one's object was taken for ours"),
    ],
)
def test_trusting_that_an_object_exists_after_a_lost_complete_is_caught(
    fast_directory: Path, monkeypatch: pytest.MonkeyPatch, scene: scenes.Scene, symptom: str
) -> None:
    monkeypatch.setattr(verify, "examine", an_object_exists)
    failures = failing(scene(fast_directory))
    assert any(symptom in failure for failure in failures), failures
    assert any(failure.startswith("without a crash") for failure in failures), failures


@pytest.mark.parametrize("restore_times", [False, True], ids=["later mtime", "restored mtime"])
def test_skipping_the_fingerprint_check_before_complete_is_caught(
    fast_directory: Path, monkeypatch: pytest.MonkeyPatch, restore_times: bool
) -> None:
    no_check_before_complete(monkeypatch)
    failures = failing(scenes.late_change(fast_directory, restore_times=restore_times))
    assert any("written 2 times" in failure for failure in failures), failures
    assert any(failure.startswith("without a crash") for failure in failures), failures
