"""`syncd run` as a process: signals, locks, `--once` and what it leaves over, bars on a terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rig import Pace, Rig, noise

from syncd.demo.store.faults import Fault, Record


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        yield rig


def on_a_terminal(command: list[str]) -> tuple[int, str]:
    """Run it on a terminal of its own; the exit code and all that was drawn."""
    master, slave = pty.openpty()
    drawn: list[bytes] = []

    def read() -> None:
        try:
            while block := os.read(master, 65536):
                drawn.append(block)
        except OSError:  # the other side is closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as child:
        os.close(slave)
        code = child.wait(60)
    reader.join(10)
    os.close(master)
    return code, b"".join(drawn).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_that_is_told_to_stop_ends_with_0(rig: Rig, number: signal.Signals) -> None:
    rig.start()
    rig.signal(number)
    assert rig.ended() == 0
    assert rig.has_told("stopped")


def test_a_daemon_that_is_told_to_stop_while_it_begins_ends_with_0_too(rig: Rig) -> None:
    early = """if True:
        import os, signal, sys
        import syncd.config
        from syncd.cli import main

        load = syncd.config.load

        def told_to_stop(path):
            os.kill(os.getpid(), signal.SIGTERM)
            return load(path)

        syncd.config.load = told_to_stop
        sys.exit(main(sys.argv[1:]))
    """
    told = subprocess.run(
        [sys.executable, "-c", early, "run", "-c", str(rig.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert '"stopped"' in told.stderr


def test_the_second_one_on_a_ledger_ends_with_3_and_names_the_first(rig: Rig) -> None:
    rig.start()
    assert rig.child is not None
    for options in ([], ["--once"]):
        told = rig.run("run", *options)
        assert told.returncode == 3
        assert f"pid {rig.child.pid}" in told.stderr
        assert "Traceback" not in told.stderr


def test_a_broken_configuration_ends_with_78_before_anything_is_touched(rig: Rig) -> None:
    rig.config.write_text("folders: 7\n")
    told = rig.run("run")
    assert told.returncode == 78
    assert told.stderr.startswith(f"{rig.config}:1:")
    assert not (rig.place / "state").exists()


def test_once_sends_what_is_there_and_ends_with_0(rig: Rig) -> None:
    rig.drop("empty", b"")
    rig.drop("deep/small", b"small")
    rig.drop("large", noise(11_000_000))
    told = rig.run("run", "--once")
    assert told.returncode == 0, told.stderr
    assert told.stdout == ""
    rig.assert_everything_arrived_once()
    again = rig.run("run", "--once")
    assert again.returncode == 0
    rig.assert_everything_arrived_once()


def test_once_names_what_it_leaves_over_and_ends_with_1(rig: Rig) -> None:
    rig.write_config(quiet="1s")
    rig.drop("good", b"good")
    (rig.place / "token").write_text("wrong")
    told = rig.run("run", "--once", "--patience", "2s")
    assert told.returncode == 1
    named = [line for line in told.stderr.splitlines() if not line.startswith("{")]
    assert len(named) == 1
    assert named[0].startswith(f"{rig.inbox}/good: the destination takes nothing: ")
    assert "401" in named[0]


def test_once_that_is_interrupted_says_what_is_left_and_ends_with_1(rig: Rig) -> None:
    rig.pace.seconds = 1.0
    rig.drop("large", noise(30_000_000))
    rig.start("--once")
    rig.wait(lambda: bool(rig.successes("CreateMultipartUpload")), what="the upload")
    assert rig.stop() == 1
    lines = [each["line"] for each in rig.events if each["event"] == "no json"]
    assert [line.partition(":")[0] for line in lines] == [f"{rig.inbox}/large"]
    assert len(rig.store.uploads()) == 1, "what is open stays open for the next time"


def test_on_a_terminal_it_draws_bars_and_keeps_the_log_to_trouble(rig: Rig) -> None:
    rig.write_config(quiet="0s")
    rig.config.write_text(rig.config.read_text().replace("format: json", "format: auto"))
    rig.pace.seconds = 0.3
    rig.drop("large\x1b[31m.bin", noise(22_000_000))
    code, drawn = on_a_terminal(rig.command("run", "--once"))
    assert code == 0
    assert "1 of 1 files done" in drawn
    assert re.search(r"of 22\.0 MB", drawn)
    assert "large\\x1b[31m.bin" in drawn
    assert "large\x1b[31m" not in drawn
    assert "transfer_done" not in drawn
    assert "━" in drawn


def test_off_a_terminal_there_are_no_bars(rig: Rig) -> None:
    rig.drop("a", b"a")
    told = rig.run("run", "--once")
    assert "━" not in told.stdout + told.stderr
    assert "\x1b" not in told.stdout + told.stderr
    assert "transfer_done" in told.stderr


class Stuck(Pace):
    """A store in which no part gets through for a while; `holds` is set when it has the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = threading.Event()

    def before(self, record: Record) -> Fault | None:
        if record.operation != "UploadPart":
            return None
        self.holds.set()
        return Fault(delay=15.0)


def test_a_second_signal_ends_it_at_once_in_the_middle_of_a_part_and_nothing_is_lost(rig: Rig) -> None:
    stuck = Stuck()
    rig.store.faults = stuck
    rig.drop("large", noise(11_000_000))
    rig.start()
    assert stuck.holds.wait(30.0)
    rig.signal(signal.SIGTERM)
    rig.wait(lambda: rig.has_told("stopping"), what="the beginning of the end")
    rig.signal(signal.SIGTERM)
    assert rig.ended(patience=5.0) == 0
    assert not rig.has_told("stopped"), "it did not wait for the part"
    assert len(rig.store.uploads()) == 1
    rig.store.faults = rig.pace
    assert rig.run("run", "--once").returncode == 0
    rig.assert_everything_arrived_once()


def test_usr1_shows_where_every_thread_is_and_it_goes_on(rig: Rig) -> None:
    rig.start()
    rig.signal(signal.SIGUSR1)
    rig.wait(lambda: any("in _clerk_life" in line for line in rig.said), what="the stacks")
    assert any("in _wait" in line and "daemon.py" in line for line in rig.said), "the main thread"
    rig.drop("film", b"abc")
    rig.wait(lambda: rig.arrived() == 1, what="the object")
    assert rig.stop() == 0
    rig.assert_no_secret_was_told()


def test_a_clerk_that_fails_as_nobody_foresaw_ends_the_process_so_that_it_is_started_again(rig: Rig) -> None:
    """A thread that died unnoticed would leave a daemon that does nothing and looks well."""
    broken = """if True:
        import sys
        from syncd.clerk import Clerk
        from syncd.cli import main

        def tick(self):
            raise ZeroDivisionError("planted")

        Clerk.tick = tick
        sys.exit(main(sys.argv[1:]))
    """
    told = subprocess.run(
        [sys.executable, "-c", broken, "run", "-c", str(rig.config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert told.returncode == 1
    assert '"unexpected_failure"' in told.stderr
    assert "syncd: unexpected failure: ZeroDivisionError" in told.stderr.splitlines()
    assert "Traceback" not in told.stderr
