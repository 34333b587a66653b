"""`syncd status --follow`: bars on a terminal, lines elsewhere, an end by Ctrl-C or with the daemon."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from support.rig import Rig, noise


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A daemon in the middle of a file that takes a while."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.pace.seconds = 120.0
        rig.drop("[film]\x1b[31m.bin", noise(11 << 20))
        rig.start()
        rig.wait(lambda: rig.status()["state"] == "working", what="the upload")
        yield rig


def shown(ours: int, *wanted: str) -> str:
    """What the terminal got, up to where all of that was seen."""
    seen = b""
    while not all(word.encode() in seen for word in wanted):
        ready, _, _ = select.select([ours], [], [], 20.0)
        assert ready, seen
        seen += os.read(ours, 65536)
        assert len(seen) < 1 << 20, seen[:5000]
    return seen.decode(errors="replace")  # the last read may have cut a letter in two


def drain(ours: int) -> None:
    """Until the other end is closed: who cannot write cannot end."""
    with contextlib.suppress(OSError):  # on Linux that reads as EIO
        while os.read(ours, 65536):
            pass
    os.close(ours)


@contextlib.contextmanager
def following(rig: Rig, **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """The verb in a process that does not outlive a test that failed."""
    with subprocess.Popen(rig.command("status", "--follow"), text=True, **pipes) as child:
        try:
            yield child
        finally:
            child.kill()


def test_a_terminal_shows_bars_until_ctrl_c(rig: Rig) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "60"}
    with following(rig, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        text = shown(
            ours,
            "syncd on cam is working",
            "on its way",
            "[film]",
            "0 %",
            "\N{BOX DRAWINGS HEAVY HORIZONTAL}",
        )
        shown(ours, "syncd on cam is working")  # and again
        child.send_signal(signal.SIGINT)
        drain(ours)
        assert child.wait(30) == 0
    assert "\\x1b[31m.bin" in text
    assert "Traceback" not in text


def test_elsewhere_each_change_is_a_line_until_the_daemon_ends(rig: Rig) -> None:
    with following(rig, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert (
            child.stdout.readline() == "syncd on cam is working: 1 on their way, 1 file pending (11.5 MB).\n"
        )
        rig.run("pause")
        assert child.stdout.readline() == "syncd on cam is paused by hand: 1 file pending (11.5 MB).\n"
        rig.kill()
        assert child.stdout.read() == ""
        assert child.stderr.read() == "syncd: not running\n"
        assert child.wait(30) == 1
    told = rig.run("status", "--follow", "--json")
    assert (told.returncode, told.stdout) == (2, "")
