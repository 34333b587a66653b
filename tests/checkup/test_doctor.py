"""`syncd doctor` where all is well: every line says so, and one object is all that it leaves."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest
from support.rig import Rig

from syncd.decide.findings import Check

from .conftest import KEY, read


def test_where_all_is_well_every_line_says_so_and_one_object_is_all_that_is_left(rig: Rig) -> None:
    rig.start()
    told = rig.run("doctor")
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    checks = [check for check in Check if check is not Check.PROXY]
    assert [line[6:21].strip() for line in lines] == list(checks)
    assert "\x1b" not in told.stdout
    assert list(rig.store.objects()) == [KEY]
    assert rig.store.uploads() == []
    assert not [line for line in rig.events if line.get("level") in {"warning", "error"}]
    assert rig.stop() == 0


def test_json_is_one_document_and_nothing_else(rig: Rig) -> None:
    told = rig.run("doctor", "--json")
    assert (told.returncode, told.stderr) == (0, "")
    report = read(0, told.stdout)
    assert {each["verdict"] for each in report.checks} == {"ok"}
    assert rig.endpoint.issued == 1  # one set for all of it
    assert {tuple(each) for each in report.checks} == {("check", "verdict", "text", "hint")}


def test_a_broken_configuration_ends_with_78_and_its_line(rig: Rig) -> None:
    rig.config.write_text(rig.config.read_text() + "nonsense: 1\n")
    told = rig.run("doctor", "--json")
    assert (told.returncode, told.stdout) == (78, "")
    assert "nonsense" in told.stderr


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_the_verdict_has_a_colour_and_still_its_word(
    rig: Rig, environment: dict[str, str], coloured: bool
) -> None:
    rig.inbox.rmdir()
    usual = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    master, slave = os.openpty()
    with subprocess.Popen(rig.command("doctor"), stdout=slave, env=usual | environment) as child:
        os.close(slave)
        told = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while piece := os.read(master, 1 << 16):
                told += piece
    os.close(master)
    assert child.returncode == 1
    assert (b"\x1b[31m" in told) is coloured
    assert b"fail " in told
    assert b"      hint: create it" in told
