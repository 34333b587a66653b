"""Few descriptors, few or no watches, no room for the ledger, and a storm while it stood still: it says so, and goes on."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from support.rig import WATCH, Rig, noise
from support.tally import count, sized

MIB = 1 << 20
DIRECTORIES = 30
STORM = 20_000
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def in_a_shell(script: str, *arguments: str) -> list[str]:
    """What goes before the daemon's command line: a script, with the arguments as $1 and so on, then the daemon."""
    return ["sh", "-c", f'{script}; shift {len(arguments)}; exec "$@"', "sh", *arguments]


@pytest.mark.torture
def test_with_sixty_four_descriptors_everything_arrives(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        for number in range(4):
            rig.drop(f"large {number}", noise(11 * MIB + number, number))
        for number in range(100):
            rig.drop(f"{number % DIRECTORIES}/{number}", noise(number, number))
        rig.around = in_a_shell("ulimit -n 64")
        rig.start()
        assert "64" in Path(f"/proc/{rig.pid()}/limits").read_text().split("Max open files")[1].split()[:2]
        rig.wait(lambda: rig.arrived() == 104, what="all objects")
        rig.drop("late", b"abc")
        rig.wait(lambda: rig.arrived() == 105, what="the late object")
        assert rig.status()["state"] == "idle"
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
        assert not [event for event in rig.events if event.get("level") in {"error", "critical"}]


@pytest.mark.parametrize(
    ("limit", "value", "watch", "hint"),
    [
        pytest.param("watches", 5, "degraded", "fs.inotify.max_user_watches", marks=pytest.mark.torture),
        ("instances", 0, "poll", "fs.inotify.max_user_instances"),
    ],
)
def test_with_hardly_any_inotify_everything_arrives_and_status_says_what_is_degraded(
    tmp_path: Path, namespace: list[str], limit: str, value: int, watch: str, hint: str
) -> None:
    with Rig(tmp_path, rescan="1s", watch="auto") as rig:
        for number in range(DIRECTORIES):
            rig.drop(f"{number}/before", noise(100 + number, number))
        rig.around = [*namespace, *in_a_shell(f"echo {value} >/proc/sys/user/max_inotify_{limit}")]
        rig.start()
        rig.wait(lambda: rig.arrived() == DIRECTORIES, what="the objects from before")
        for number in range(DIRECTORIES):
            rig.drop(f"{number}/while", noise(200 + number, number))
        rig.wait(lambda: rig.arrived() == 2 * DIRECTORIES, what="the objects from meanwhile")
        rig.wait(lambda: rig.status()["folders"][0]["watch"] == watch, what="the word for it")
        status = rig.status()
        assert status["state"] == "idle"
        assert [reason["hint"] for reason in status["reasons"] if hint in (reason["hint"] or "")], status
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()


KEPT = """
mount -t tmpfs -o size=8m,mode=700 syncd "$1" || exit 99
state=$1 out=$2; shift 2
"$@"; code=$?
cp "$state"/state.db* "$out"; exit $code
"""


def fill(place: Path) -> None:
    """To the last byte."""
    with (place / "ballast").open("wb", buffering=0) as ballast:
        for block in (bytes(1 << 16), bytes(1 << 12), b"."):
            with contextlib.suppress(OSError):
                while ballast.write(block):
                    pass


@pytest.mark.torture
def test_while_the_ledgers_disk_is_full_it_waits_and_goes_on_when_there_is_room(
    tmp_path: Path, namespace: list[str]
) -> None:
    with Rig(tmp_path) as rig:
        state = tmp_path / "state"
        (tmp_path / "tmpfs").mkdir()
        state.mkdir(mode=0o700)
        rig.config.write_text(rig.config.read_text().replace(f"{state}/state", f"{tmp_path}/tmpfs/state"))
        rig.around = [*namespace, "sh", "-c", KEPT, "sh", f"{tmp_path}/tmpfs", str(state)]
        rig.start()
        rig.drop("first", b"abc")
        rig.wait(lambda: rig.arrived() == 1, what="the first object")
        inside = Path(f"/proc/{rig.pid()}/root{tmp_path}/tmpfs")
        fill(inside)
        for number in range(300):
            rig.drop(f"film {number}", noise(1000 + number, number))
        rig.drop("large", noise(11 * MIB))
        rig.wait(lambda: rig.has_told("ledger_full"), what="its complaint")
        (inside / "ballast").unlink()
        rig.wait(lambda: rig.arrived() == 302, what="all objects")
        rig.wait(lambda: rig.status()["state"] == "idle", what="rest")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()


def stand_still(rig: Rig) -> None:
    """SIGSTOP, and no thread of it runs any more."""
    rig.signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{rig.pid()}/task")
    rig.wait(
        lambda: all("\nState:\tT" in (task / "status").read_text() for task in tasks.iterdir()), what="a stop"
    )


def fill_the_queue(files: list[Path], events: int) -> None:
    """So many events on these files, which stay as they are: in turns, for equal events would be merged."""
    for number in range(events):
        os.close(os.open(files[number % len(files)], os.O_WRONLY))


@pytest.mark.torture
@pytest.mark.parametrize("queue", sized(["full"], ["full", "empty"]))
def test_a_storm_of_files_while_it_is_stopped_arrives_whole_and_the_log_tells_of_lost_events(
    tmp_path: Path, queue: str
) -> None:
    """In directories that are watched: more events than the kernel keeps. Of a full queue nothing of the storm gets through.

    The next scan by the clock is an hour away, unless there is no watching: then nothing is lost but time.
    """
    watched, limit = WATCH != "poll", int(QUEUE.read_text())
    if watched and limit >= STORM:
        pytest.skip("the kernel's queue is too long to be filled by this storm")
    with Rig(tmp_path, **({"rescan": "1h", "watch": "inotify"} if watched else {"rescan": "20s"})) as rig:
        directories = [rig.inbox, *(rig.inbox / f"{number}" for number in range(DIRECTORIES))]
        first = [rig.drop(f"{number}/first", b"%d" % number) for number in range(DIRECTORIES)]
        rig.start()
        rig.wait(lambda: rig.arrived() == DIRECTORIES, what="the objects from before")
        word = "inotify" if watched else "poll"
        rig.wait(lambda: rig.status()["folders"][0]["watch"] == word, what="every directory being watched")
        stand_still(rig)
        if queue == "full":
            fill_the_queue(first, limit)
        for number in range(STORM):
            (directories[number % len(directories)] / f"film {number}").write_bytes(b"%d" % number)
        rig.signal(signal.SIGCONT)
        if watched:
            rig.wait(lambda: rig.has_told("watch_overflow"), what="its word on the events that are lost")
        rig.wait(lambda: rig.arrived() == STORM + DIRECTORIES, seconds=900.0, what="the whole storm")
        rig.wait(lambda: rig.status()["state"] == "idle", what="rest")
        status = rig.status()
        assert (status["folders"][0]["watch"], status["reasons"]) == (word, [])  # the scan made up for it
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
        assert rig.has_told("watch_overflow") == watched
        count("trials")
