"""`syncd files`, `plan`, `pause`, `resume` and `rescan`: what one sees of many files, and how one steps in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.asking import Ask, asking
from support.rig import Rig

from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
from syncd.inside import files
from syncd.telemetry import logs

EVIL = b"evil\x1b]0;owned\x07\xff[red].bin"
TOO_DEEP = "/".join(["d" * 200] * 6)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon at rest: two files uploaded, one parked, one excluded."""
    with Rig(tmp_path_factory.mktemp("rig"), rescan="1h") as rig:
        rig.drop("a.bin", b"a" * 1000)
        Path(os.fsdecode(os.fsencode(rig.inbox) + b"/" + EVIL)).write_bytes(b"evil")
        rig.drop("x.tmp", b"no")
        rig.drop(f"{TOO_DEEP}/f", b"parked")
        rig.start()
        rig.wait(lambda: rig.arrived() == 2 and rig.has_told("transfer_parked"), what="the rest")
        yield rig


@pytest.fixture(autouse=True)
def _quiet_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)  # the tests' own log stays


@pytest.fixture
def ask(rig: Rig, capfd: pytest.CaptureFixture[str]) -> Ask:
    return asking(rig.config, capfd)


# -- files


def test_files_for_people_are_one_line_each_and_no_name_moves_the_cursor(ask: Ask, rig: Rig) -> None:
    told = ask("files")
    assert (told.code, told.err) == (0, "")
    lines = sorted(told.out.splitlines())
    assert lines[0] == rf"done              4 B  {rig.inbox}/evil\x1b]0;owned\x07\xff[red].bin"
    assert lines[1] == f"done           1.0 kB  {rig.inbox}/a.bin"
    assert lines[2].startswith("parked            6 B  ")
    assert "(its key would have " in lines[2]
    assert len(lines) == 3


def test_files_in_json_are_one_document_and_may_be_chosen_by_state(ask: Ask) -> None:
    told = ask("files", "--json", "--state", "parked")
    assert (told.code, told.err) == (0, "")
    assert told.document["complete"] is True
    [file] = told.document["files"]
    assert (file["state"], file["key"], file["size"]) == ("settled", None, 6)
    assert ask("files", "--json", "--state", "uploading").document["files"] == []


def test_a_state_that_is_none_is_wrong_usage(ask: Ask) -> None:
    told = ask("files", "--state", "lost")
    assert told.code == 2
    assert "parked" in told.err


def test_files_without_a_daemon_come_from_the_ledger_however_many_pages_they_fill(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Rig(tmp_path) as rig:
        ask = asking(rig.config, capfd)
        assert ask("files", "--json").document == {"files": [], "complete": True}
        for number in range(3):
            rig.drop(f"{number}.bin", b"x")
        rig.start()
        # Not when the objects are there: when the ledger knows.
        rig.wait(lambda: rig.status()["counts"]["done"] == 3, what="the rest")
        with_daemon = ask("files", "--json")
        rig.stop()
        told = ask("files", "--json")
        assert (told.code, told.err) == (0, "syncd: not running\n")
        assert [file["state"] for file in told.document["files"]] == ["done"] * 3
        monkeypatch.setattr(files, "PAGE", 2)
        assert ask("files", "--json").document == told.document == with_daemon.document


# -- plan


def test_a_plan_names_what_is_not_uploaded_and_counts_the_rest(ask: Ask, rig: Rig) -> None:
    told = ask("plan")
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[-1] == "1 parked, 1 excluded, 2 uploaded already"
    assert [line.split()[0] for line in lines[:-1]] == ["parked", "excluded"]
    assert f"  {rig.inbox}/x.tmp  (the exclude pattern '*.tmp' matches)" in lines[1]
    document = ask("plan", "--json").document
    assert document["complete"] is True
    assert document["totals"]["known"] == {"files": 2, "bytes": 1004}
    assert {file["key"] for file in document["files"] if file["action"] == "known"} == {
        "cam/inbox/a.bin",
        "cam/inbox/evil%1B]0;owned%07%FF[red].bin",
    }


def test_a_plan_before_the_first_run_says_what_the_first_run_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Rig(tmp_path) as rig:
        rig.drop("film.bin", b"x" * (11 << 20))
        told = asking(rig.config, capfd)("plan")
        assert (told.code, told.err) == (0, "syncd: not running\n")
        assert told.out.splitlines() == [
            f"send        11.5 MB  {rig.inbox}/film.bin -> {{prefix}}inbox/film.bin in 3 parts  (it was never met)",
            "1 to send (11.5 MB)",
        ]
        assert not (tmp_path / "state").exists()


# -- pause, resume, rescan


def test_a_pause_holds_files_back_until_it_is_ended(ask: Ask, rig: Rig) -> None:
    told = ask("pause", "--for", "2h")
    assert (told.code, told.err) == (0, "")
    assert re.fullmatch(r"paused until \S+Z\n", told.out)
    rig.drop("later.bin", b"x" * 10)
    assert ask("rescan").code == 0  # without a watcher the next scan would be an hour away
    rig.wait(
        lambda: len(ask("files", "--json", "--state", "settled").document["files"]) == 1, what="settling"
    )
    status = ask("status")
    assert re.match(r"syncd on cam is paused by hand until \S+Z: 1 file pending \(10 B\)\.\n", status.out)
    assert "hint: syncd resume ends it" in status.out
    assert rig.arrived() == 2
    assert ask("resume").out == "resumed\n"
    rig.wait(lambda: rig.arrived() == 3, what="the upload")
    assert ask("resume").out == "it was not paused\n"
    (rig.inbox / "later.bin").unlink()


def test_a_rescan_looks_through_every_folder(ask: Ask, rig: Rig) -> None:
    def last_scan() -> str:
        return str(ask("status", "--json").document["folders"][0]["last_scan_at"])

    before = last_scan()
    told = ask("rescan")
    assert (told.code, told.out, told.err) == (0, "inbox: is scanned now\n", "")
    rig.wait(lambda: last_scan() > before, what="the scan")


@pytest.mark.parametrize("arguments", [("--for", "0s"), ("--for", "2"), ("--for", "-1h"), ("now",)])
def test_a_pause_of_no_length_is_wrong_usage(ask: Ask, arguments: tuple[str, ...]) -> None:
    assert ask("pause", *arguments).code == 2


def test_without_a_daemon_a_pause_is_written_down_and_a_rescan_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Rig(tmp_path) as rig:
        ask = asking(rig.config, capfd)
        for verb in ("pause", "resume"):  # a ledger that root made would not be the daemon's to open
            told = ask(verb)
            assert (told.code, told.out) == (1, "")
            assert "has no ledger yet" in told.err
        assert not (tmp_path / "state").exists()
        open_ledger(tmp_path / "state" / "state.db", SystemClock()).close()
        assert ask("pause").out == "paused until `syncd resume`\n"
        told = ask("rescan")
        assert (told.code, told.out) == (1, "")
        assert "syncd is not running" in told.err
        rig.drop("a.bin", b"x")
        run = rig.run("run", "--once", "--patience", "1s")
        assert run.returncode == 1
        assert "syncd is paused by hand" in run.stderr
        assert rig.arrived() == 0
        assert ask("resume").out == "resumed\n"
