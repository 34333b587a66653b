"""The verbs that look in: against a daemon that runs, and against what it leaves when it is gone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.asking import Ask, asking
from support.rig import Rig

from syncd.adapters.clock import SystemClock
from syncd.adapters.ledger import open_ledger
from syncd.telemetry import logs

EVIL = b"evil\x1b]0;owned\x07\xff[red].bin"
TOO_DEEP = "/".join(["d" * 200] * 6)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon at rest: two files uploaded, one parked, one excluded."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.drop("a.bin", b"a" * 1000)
        Path(os.fsdecode(os.fsencode(rig.inbox) + b"/" + EVIL)).write_bytes(b"evil")
        rig.drop("x.tmp", b"no")
        rig.drop(f"{TOO_DEEP}/f", b"parked")
        rig.start()
        rig.wait(lambda: rig.arrived() == 2 and rig.has_told("transfer_parked"), what="the rest")
        yield rig


@pytest.fixture
def ask(rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)  # the tests' own log stays
    return asking(rig.config, capfd)


# -- while it runs


def test_status_begins_with_state_and_reason_in_one_sentence(ask: Ask) -> None:
    said = ask("status")
    assert said.code == 0
    first = said.out.splitlines()[0]
    assert first == "syncd on cam is idle: 2 files uploaded, nothing pending, 1 file parked."
    assert "hint: syncd explain PATH says why" in said.out
    assert "\x1b" not in said.out  # a pipe gets plain text


def test_status_in_json_is_one_document_and_nothing_else(ask: Ask, rig: Rig) -> None:
    said = ask("status", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.document["state"] == "idle"
    assert said.document["counts"]["parked"] == 1
    assert said.document["credentials"]["state"] == "ok"
    assert said.document["folders"][0]["path"] == str(rig.inbox)


def test_explain_answers_for_any_path(ask: Ask, rig: Rig) -> None:
    expected = {
        str(rig.inbox / "a.bin"): "done",
        str(rig.inbox / "x.tmp"): "excluded",
        str(rig.inbox / "never"): "unknown",
        str(rig.inbox): "unknown",
        f"{rig.inbox}/{TOO_DEEP}/f": "settled",
        "/etc/passwd": "outside",
    }
    for path, state in expected.items():
        said = ask("explain", path, "--json")
        assert (said.code, said.err, said.document["state"]) == (0, "", state), path


def test_explain_for_people_has_the_sentence_and_the_story(ask: Ask, rig: Rig) -> None:
    said = ask("explain", str(rig.inbox / "a.bin"))
    lines = said.out.splitlines()
    assert lines[0] == str(rig.inbox / "a.bin")
    assert lines[1].startswith("  It is uploaded, 1.0 kB as s3://captures/cam/inbox/a.bin at ")
    assert "  proof: checksum" in lines
    assert any(line.endswith("discovered  first seen") for line in lines)


def test_explain_takes_paths_relative_to_where_one_stands(
    ask: Ask, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rig.inbox)
    for path in ("a.bin", "./a.bin", "../inbox/a.bin"):
        said = ask("explain", path, "--json")
        assert (said.document["state"], said.document["path"]) == ("done", str(rig.inbox / "a.bin"))


def test_a_name_can_neither_move_the_cursor_nor_get_lost(ask: Ask, rig: Rig) -> None:
    path = os.fsdecode(os.fsencode(rig.inbox) + b"/" + EVIL)
    said = ask("explain", path)
    assert said.out.splitlines()[0] == rf"{rig.inbox}/evil\x1b]0;owned\x07\xff[red].bin"
    assert "It is uploaded" in said.out
    assert "\x1b" not in said.out
    assert "\x07" not in said.out
    assert ask("retry", path).out.startswith(
        rf"{rig.inbox}/evil\x1b]0;owned\x07\xff[red].bin: there is nothing"
    )


def test_on_a_terminal_the_status_is_a_table(rig: Rig) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200"}
    with subprocess.Popen(rig.command("status"), stdout=theirs, env=environment) as child:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the other end is closed: on Linux that reads as EIO
            pass
        finally:
            os.close(ours)
        assert child.wait(30) == 0
    text = shown.decode()
    assert "syncd on cam is idle" in text
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in text
    assert str(rig.inbox) in text


def test_retry_says_for_each_path_what_it_did(ask: Ask, rig: Rig) -> None:
    parked = f"{rig.inbox}/{TOO_DEEP}/f"
    said = ask("retry", parked)
    assert said.code == 0
    assert said.out.startswith(f"{parked}: no longer parked, tried now (was: its key would have ")
    rig.wait(lambda: ask("status", "--json").document["counts"]["parked"] == 1, what="parking it again")
    said = ask("retry", str(rig.inbox / "a.bin"), str(rig.inbox / "never"))
    assert said.code == 1
    assert said.out.splitlines() == [
        f"{rig.inbox}/a.bin: there is nothing to retry: it is done",
        f"{rig.inbox}/never: syncd does not know it; syncd explain says why",
    ]


@pytest.mark.parametrize("arguments", [(), ("--all", "/a"), ("",)])
def test_retry_needs_paths_or_all(ask: Ask, arguments: tuple[str, ...]) -> None:
    assert ask("retry", *arguments).code == 2


def test_explain_needs_a_path(ask: Ask) -> None:
    assert ask("explain").code == 2
    assert ask("explain", "").code == 2


# -- when it does not run


@pytest.fixture
def idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a daemon that never ran, with one file in its inbox."""
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a").write_bytes(b"123")
    (tmp_path / "config.yaml").write_text(f"""
device: cam
credentials: {{api: {{url: "http://127.0.0.1:9/v1", token_file: {tmp_path}/token}}}}
folders: [{{path: {tmp_path}/inbox}}]
state: {tmp_path}/state/state.db
""")
    return tmp_path / "config.yaml"


def test_what_is_left_behind_is_read_when_the_daemon_is_gone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    with Rig(tmp_path) as rig:
        rig.drop("a.bin", b"a" * 1000)
        rig.drop(f"{TOO_DEEP}/f", b"parked")
        rig.start()
        rig.wait(lambda: rig.arrived() == 1 and rig.has_told("transfer_parked"), what="the rest")
        assert rig.stop() == 0
        ask = asking(rig.config, capfd)
        said = ask("status")
        assert said.code == 1
        assert said.out.splitlines()[0] == "syncd on cam is not running: 0 files pending (0 B)."
        assert "not running" in said.err
        said = ask("status", "--json")
        assert (said.code, said.document["state"], said.document["counts"]["done"]) == (1, "stopped", 1)
        said = ask("explain", str(rig.inbox / "a.bin"), "--json")
        assert (said.code, said.document["state"], said.document["proof"]) == (0, "done", "checksum")
        said = ask("retry", "--all")
        assert said.code == 0
        assert "no longer parked, tried when syncd runs again" in said.out
        assert ask("status", "--json").document["counts"]["pending"] == 1


def test_before_the_first_run_there_is_an_answer_and_nothing_is_left_behind(
    idle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ask = asking(idle, capfd)
    said = ask("status", "--json")
    assert (said.code, said.document["state"], said.document["counts"]["pending"]) == (1, "stopped", 0)
    said = ask("explain", str(idle.parent / "inbox" / "a"))
    assert said.code == 0
    assert "no scan has met it yet, and syncd is not running" in said.out
    assert ask("retry", "--all").code == 0
    assert ask("retry", str(idle.parent / "inbox" / "a")).code == 1
    assert sorted(path.name for path in idle.parent.iterdir()) == ["config.yaml", "inbox"]


def test_a_daemon_that_holds_the_ledger_but_does_not_answer_is_not_called_stopped(
    idle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ask = asking(idle, capfd)
    ledger = open_ledger(idle.parent / "state" / "state.db", SystemClock())
    try:
        said = ask("status", "--json")
        assert (said.code, said.out) == (1, "")
        assert f"syncd runs (pid {os.getpid()}), but does not answer at " in said.err
        assert "console.socket" in said.err
        said = ask("retry", "--all")
        assert said.code == 3
        assert str(os.getpid()) in said.err
    finally:
        ledger.close()


def test_who_may_not_read_the_ledger_is_told_the_remedy(
    idle: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, look = str(idle.parent / "state" / "state.db"), Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:  # as the kernel does it to everybody but root
        if str(path) == state:
            raise PermissionError(13, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    said = asking(idle, capfd)("status", "--json")
    assert (said.code, said.out) == (1, "")
    assert "hint: run this as root or as syncd's own user" in said.err


def test_a_configuration_that_is_wrong_is_said_first(idle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    idle.write_text("folders: []\n")
    ask = asking(idle, capfd)
    for verb in (("status",), ("explain", "/a"), ("retry", "--all")):
        said = ask(*verb)
        assert (said.code, said.out) == (78, "")


def test_a_daemon_that_cannot_have_its_socket_ends_with_the_remedy(idle: Path) -> None:
    long = idle.parent / ("s" * 110)
    idle.write_text(f"{idle.read_text()}console: {{socket: {long}}}\n")
    (idle.parent / "token").write_text("t")
    (idle.parent / "token").chmod(0o600)
    command = [sys.executable, "-m", "syncd", "run", "-c", str(idle)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78
    assert "a control socket's path may have 107 bytes" in ended.stderr
    assert "hint: set console.socket to a shorter path" in ended.stderr
    assert "Traceback" not in ended.stderr
