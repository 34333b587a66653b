"""`syncd verify` over the strict store: what agrees, and each way in which an object or a file can have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.asking import Ask, asking
from support.rig import Rig, noise

from syncd.inside import proven
from syncd.telemetry import logs

FILES = {"one.bin": noise(1000, 1), "two.bin": noise(11 << 20, 2), "empty": b"", "sub/x.bin": noise(50, 3)}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Four files uploaded, and nobody running: the ledger is read."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        for name, data in FILES.items():
            rig.drop(name, data)
        assert rig.run("run", "--once").returncode == 0
        yield rig


@pytest.fixture
def ask(rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    return asking(rig.config, capfd)


def test_all_agree_with_the_daemon_and_without(ask: Ask, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ask("verify")
    assert (told.code, told.out, told.err) == (0, "4 agree, 0 disagree\n", "")
    rig.start()
    monkeypatch.setattr(proven, "PAGE", 3)
    told = ask("verify", "--local", "--json")
    rig.stop()
    assert (told.code, told.err) == (0, "")
    document = told.document
    assert (document["agreed"], document["disagreed"], document["complete"]) == (4, 0, True)
    assert [each["local"] for each in document["files"]] == ["same"] * 4
    assert ask("verify", "--json").document["files"] == [
        {**each, "local": None} for each in document["files"]
    ]


def test_a_path_is_looked_at_alone_and_one_that_is_not_uploaded_is_told(ask: Ask, rig: Rig) -> None:
    told = ask("verify", str(rig.inbox / "one.bin"))
    assert (told.code, told.out) == (0, "1 agree, 0 disagree\n")
    told = ask("verify", str(rig.inbox / "one.bin"), str(rig.inbox / "never"))
    assert told.code == 1
    assert (
        told.out
        == f"{rig.inbox}/never: syncd does not know it; syncd explain says why\n1 agree, 1 disagree\n"
    )
    assert ask("verify", "").code == 2


def test_an_object_that_is_gone_or_another_disagrees(ask: Ask, rig: Rig) -> None:
    held = rig.store._buckets[rig.store.bucket]
    kept = dict(held.objects)
    try:
        del held.objects["cam/inbox/one.bin"]
        two, x = kept["cam/inbox/two.bin"], kept["cam/inbox/sub/x.bin"]
        held.objects["cam/inbox/two.bin"] = replace(x, key=two.key)  # another file's object
        document = ask("verify", "--json").document
    finally:
        held.objects.update(kept)
    problems = {each["key"]: each["problems"] for each in document["files"]}
    assert (document["agreed"], document["disagreed"]) == (2, 2)
    assert "there is no object under its key" in problems["cam/inbox/one.bin"][0]
    told = " ".join(problems["cam/inbox/two.bin"])
    assert "written by another upload" in told
    assert "has 50 bytes" in told
    assert "crc" in told
    assert ask("verify").code == 0


def test_local_bytes_that_are_others_disagree_and_a_local_file_that_is_gone_does_not(
    ask: Ask, rig: Rig
) -> None:
    two = rig.inbox / "two.bin"
    stat = two.stat()
    data = bytearray(FILES["two.bin"])
    data[-1] ^= 1
    two.write_bytes(data)  # the same size and time: only its bytes tell
    os.utime(two, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (rig.inbox / "one.bin").unlink()
    try:
        assert ask("verify").code == 0
        told = ask("verify", "--local", "--json")
    finally:
        two.write_bytes(FILES["two.bin"])
        rig.drop("one.bin", FILES["one.bin"])
    assert told.code == 1
    local = {each["key"]: each["local"] for each in told.document["files"]}
    assert local == {
        "cam/inbox/one.bin": "gone",
        "cam/inbox/two.bin": "differs",
        "cam/inbox/empty": "same",
        "cam/inbox/sub/x.bin": "same",
    }


def test_a_store_that_is_away_ends_it_with_1_and_no_document_that_looks_whole(rig: Rig) -> None:
    rig.pace.down = True
    try:
        told = rig.run("verify", "--json")
    finally:
        rig.pace.down = False
    assert (told.returncode, told.stdout) == (1, "")
    assert "syncd: head of s3://captures/cam/inbox/" in told.stderr


@pytest.mark.parametrize(
    "checksum", ["sha256", *(pytest.param(other, marks=pytest.mark.torture) for other in ("md5", "none"))]
)
def test_local_bytes_are_summed_as_they_were_sent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, checksum: str
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    with Rig(tmp_path) as rig:
        rig.config.write_text(
            rig.config.read_text().replace("destination: {", f"destination: {{checksum: {checksum}, ")
        )
        rig.drop("two.bin", FILES["two.bin"])
        assert rig.run("run", "--once").returncode == 0
        told = asking(rig.config, capfd)("verify", "--local", "--json")
        assert told.code == 0
        assert [each["local"] for each in told.document["files"]] == ["same"]
