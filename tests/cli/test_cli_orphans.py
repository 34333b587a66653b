"""`syncd orphans` over the strict store: what is nobody's is shown and aborted, what is somebody's never."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.asking import Ask, asking
from support.rig import Rig, noise

from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
from syncd.config import load
from syncd.demo.store.objects import Description, Upload
from syncd.errands import abroad
from syncd.telemetry import logs

LIST = ("s3:ListBucketMultipartUploads",)
TWO_DAYS = 2 * 86_400


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, role_may=LIST) as rig:
        rig.endpoint.bucket_actions = LIST
        yield rig


@pytest.fixture
def ask(rig: Rig, capfd: pytest.CaptureFixture[str]) -> Ask:
    return asking(rig.config, capfd)


def begin(rig: Rig, key: str, age: float = 0.0) -> str:
    """An upload that somebody left open."""
    held = rig.store._buckets[rig.store.bucket]
    upload_id = f"left-open-{len(held.uploads)}"
    held.open_upload(
        Upload(
            upload_id=upload_id,
            key=key,
            initiated=time.time(),
            description=Description(),
            algorithm=None,
            checksum_type=None,
        )
    )
    grow_old(rig, upload_id, age)
    return upload_id


def grow_old(rig: Rig, upload_id: str, age: float) -> None:
    [upload] = [each for each in rig.store.uploads() if each.upload_id == upload_id]
    upload.initiated -= age


def open_ones(rig: Rig) -> set[str]:
    return {upload.upload_id for upload in rig.store.uploads()}


def a_ledger(rig: Rig) -> None:
    open_ledger(rig.place / "state" / "state.db", SystemClock()).close()


def test_orphans_are_shown_and_only_the_old_ones_below_our_prefix_are_aborted(ask: Ask, rig: Rig) -> None:
    a_ledger(rig)
    old, young = begin(rig, "cam/inbox/old", TWO_DAYS), begin(rig, "cam/inbox/young")
    others = begin(rig, "cam-2/inbox/old", TWO_DAYS)
    told = ask("orphans")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0] == f"cam/inbox/old  {old}  2 d 0 h old: nobody's"
    assert lines[1].startswith(f"cam/inbox/young  {young}  ")
    assert lines[1].endswith(": nobody's, but younger than a day: it may be somebody's who has not told yet")
    assert lines[2:] == ["2 without an owner below s3://captures/cam/, 0 on their way"]
    assert open_ones(rig) == {old, young, others}
    document = ask("orphans", "--abort", "--json").document
    assert (document["bucket"], document["prefix"], document["owned"]) == ("captures", "cam/", 0)
    assert [(each["upload_id"], each["aborted"], each["error"]) for each in document["orphans"]] == [
        (old, True, None),
        (young, False, None),
    ]
    assert document["orphans"][0]["age_s"] >= TWO_DAYS
    assert open_ones(rig) == {young, others}


@pytest.mark.torture
def test_an_upload_that_a_live_row_owns_is_never_aborted_however_old(ask: Ask, rig: Rig) -> None:
    rig.pace.seconds = 8.0
    rig.drop("film.bin", noise(16 << 20))
    rig.start()
    rig.wait(lambda: bool(rig.store.uploads()), what="the upload")
    [upload] = rig.store.uploads()
    grow_old(rig, upload.upload_id, TWO_DAYS)
    old = begin(rig, "cam/inbox/old", TWO_DAYS)
    document = ask("orphans", "--abort", "--json").document
    assert document["owned"] == 1
    assert [(each["upload_id"], each["aborted"]) for each in document["orphans"]] == [(old, True)]
    rig.kill()
    rig.pace.seconds = 0.0
    assert ask("orphans", "--abort", "--json").document["owned"] == 1  # from the ledger, when no daemon runs
    assert rig.run("run", "--once").returncode == 0
    rig.assert_everything_arrived_once()


def test_without_the_right_to_list_it_says_so(ask: Ask, rig: Rig) -> None:
    rig.endpoint.bucket_actions = ()
    told = ask("orphans", "--json")
    assert (told.code, told.out) == (1, "")
    assert "may not be listed" in told.err
    assert "hint: allow s3:ListBucketMultipartUploads" in told.err


def test_nothing_is_aborted_where_it_cannot_be_told_whose_it_is(ask: Ask, rig: Rig) -> None:
    old = begin(rig, "cam/inbox/old", TWO_DAYS)
    told = ask("orphans", "--abort")
    assert told.code == 1
    assert "there is no ledger at" in told.err
    a_ledger(rig)
    text = rig.config.read_text()
    rig.config.write_text(text.replace("destination: {", 'destination: {prefix: "all/", '))
    told = ask("orphans", "--abort")
    assert told.code == 1
    assert "others may have uploads too" in told.err
    rig.config.write_text(text)
    assert open_ones(rig) == {old}
    assert ask("orphans", "--abort").code == 0
    assert open_ones(rig) == set()


def test_an_abort_that_fails_is_told_and_ends_with_1(
    ask: Ask, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncd.adapters.s3.store import S3Store
    from syncd.errors import LockedOut

    def refuse(*_: object) -> None:
        raise LockedOut("AccessDenied", code="bucket")

    a_ledger(rig)
    begin(rig, "cam/inbox/old", TWO_DAYS)
    monkeypatch.setattr(S3Store, "abort", refuse)
    told = ask("orphans", "--abort", "--json")
    assert told.code == 1
    assert [(each["aborted"], each["error"]) for each in told.document["orphans"]] == [
        (False, "AccessDenied")
    ]


def test_a_listing_of_many_pages_has_every_upload_once(rig: Rig) -> None:
    made = {begin(rig, f"cam/{key}") for key in ("a", "a", "b", "b/c", "z")}
    begin(rig, "camera/a")
    with abroad(load(rig.config)) as there:
        for page in (1, 2, 3, 1000):
            there.store._store._page = page  # type: ignore[attr-defined]
            found = there.store.uploads_below(there.bucket, there.prefix)
            assert found is not None
            assert len(found) == 5
            assert {each.upload_id for each in found} == made
        assert all(abs(each.initiated_at - time.time()) < 100 for each in found)
