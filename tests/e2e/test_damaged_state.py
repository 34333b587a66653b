"""A damaged, lost or unreachable ledger, with real processes: what was verified is not sent again, nothing loops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import structlog
from support.mounts import mounted_as
from support.rig import Rig, noise
from support.tally import count

from syncd.app import build
from syncd.config import Surroundings, load

Harm = Callable[[Path], None]


def flip(ledger: Path) -> None:
    """One bit in every thousandth byte."""
    data = bytearray(ledger.read_bytes())
    for at in range(500, len(data), 1000):
        data[at] ^= 0x10
    ledger.write_bytes(bytes(data))


def cut(ledger: Path) -> None:
    os.truncate(ledger, ledger.stat().st_size // 3)


def flip_in_the_wal(ledger: Path) -> None:
    """SQLite takes the frames before it for the whole: the ledger goes back in time."""
    flip(Path(f"{ledger}-wal"))


def lose_the_wal(ledger: Path) -> None:
    for beside in ("-wal", "-shm"):
        Path(f"{ledger}{beside}").unlink(missing_ok=True)


def change_the_schema(ledger: Path) -> None:
    connection = sqlite3.connect(ledger)
    connection.execute("ALTER TABLE transfer RENAME COLUMN etag TO label")
    connection.close()


HARMS: dict[str, Harm] = {
    "cut short": cut,
    "bits flipped": flip,
    "emptied": lambda ledger: os.truncate(ledger, 0),
    "deleted": Path.unlink,
    "deleted with all beside it": lambda ledger: shutil.rmtree(ledger.parent),
    "the WAL removed": lose_the_wal,
    "bits of the WAL flipped": flip_in_the_wal,
    "overwritten with zeros": lambda ledger: ledger.write_bytes(bytes(ledger.stat().st_size)) and None,  # type: ignore[func-returns-value]
    "its tables altered": change_the_schema,
}
AFTER_A_KILL = {"the WAL removed", "bits of the WAL flipped", "deleted with all beside it"}
"""After a clean end there is no WAL; with one, SQLite would mend from it what was done to the pages."""
IN_THE_DEFAULT_SUITE = {"bits flipped"}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, quiet="0s") as made:
        yield made


def ledger_of(rig: Rig) -> Path:
    return rig.place / "state" / "state.db"


def fill(rig: Rig, name: str) -> None:
    for number in range(6):
        rig.drop(f"{name}-{number}", noise(1000 + number, seed=crc32(name.encode()) + number))
    rig.drop(f"{name}-large", noise(12 << 20, seed=len(name)))


def status(rig: Rig) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(rig.run("status", "--json").stdout)
    return answer


@pytest.mark.parametrize(
    "harm",
    [pytest.param(name, marks=() if name in IN_THE_DEFAULT_SUITE else pytest.mark.torture) for name in HARMS],
)
def test_after_harm_to_the_ledger_nothing_verified_is_sent_again_and_the_rest_arrives(
    rig: Rig, harm: str
) -> None:
    rig.start()
    fill(rig, "before")
    rig.wait(lambda: rig.arrived() == 7, what="the upload")
    rig.wait(lambda: status(rig)["counts"]["pending"] == 0, what="the record of it")
    if harm in AFTER_A_KILL:
        rig.kill()
    else:
        rig.stop()
    HARMS[harm](ledger_of(rig))
    fill(rig, "after")
    rig.start()
    rig.wait(lambda: rig.arrived() == 14, what="the upload of what is new")
    rig.wait(lambda: status(rig)["counts"]["pending"] == 0, what="rest")
    known = status(rig)
    assert known["counts"]["parked"] == 0
    assert rig.stop() == 0
    rig.assert_everything_arrived_once()
    told = {reason["code"] for reason in known["reasons"]}
    # After those kills the ledger is an older one, or the first of its place: nothing seems lost.
    assert ("ledger_begun_anew" in told) is (harm not in AFTER_A_KILL)
    count("trials")


def test_a_newer_ledger_is_refused_for_good_and_left_alone(rig: Rig) -> None:
    rig.start()
    rig.stop()
    connection = sqlite3.connect(ledger_of(rig))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused = rig.run("run")
    assert refused.returncode == 78, "systemd does not start it again and again"
    assert "version 99" in refused.stderr
    assert "newer syncd" in refused.stderr


def said_at_the_start(rig: Rig) -> list[Any]:
    """What a daemon logs while it is built, in this process."""
    umask = os.umask(0o077)
    with structlog.testing.capture_logs() as logged:
        app = build(load(rig.config, Surroundings.from_system()))
    os.umask(umask)
    app.household.close()
    assert ledger_of(rig).exists()
    return list(logged)


@pytest.mark.parametrize(("kind", "warned"), [("nfs4", True), ("ext4", False)])
def test_a_ledger_on_a_network_file_system_is_used_and_the_log_warns(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str, warned: bool
) -> None:
    mounted_as(kind, rig.place, monkeypatch)
    told = [line for line in said_at_the_start(rig) if line["event"] == "ledger_on_network_file_system"]
    assert [(line["log_level"], line["state"], line["hint"]) for line in told] == [
        ("warning", str(ledger_of(rig)), "put it on a local disk")
    ] * warned


def test_the_log_says_which_sqlite_keeps_the_ledger(rig: Rig) -> None:
    told = [line for line in said_at_the_start(rig) if line["event"] == "ledger_opened"]
    assert [(line["state"], line["sqlite"]) for line in told] == [
        (str(ledger_of(rig)), sqlite3.sqlite_version)
    ]


def in_a_namespace(rig: Rig, script: str) -> subprocess.Popen[str]:
    """The daemon with mounts of its own; `$SYNCD` in the script is the command, `$STATE` the ledger's directory."""
    environment = {**os.environ, "STATE": str(ledger_of(rig).parent)}
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", *rig.command("run")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def may_unshare() -> bool:
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.torture
def test_a_ledger_on_a_disk_mounted_read_only_is_waited_for_and_status_says_so(rig: Rig) -> None:
    if not may_unshare():
        pytest.skip("user namespaces are not permitted here")
    ledger_of(rig).parent.mkdir(mode=0o700)
    rig.drop("film", noise(1000))
    script = 'mount -t tmpfs -o ro none "$STATE" && "$@" & wait $!; '
    script = (
        'mount -t tmpfs -o ro none "$STATE" || exit 9; '
        '"$@" & child=$!; trap "kill $child" TERM; '
        f'while [ ! -e {rig.place}/mended ]; do sleep 0.1; done; mount -o remount,rw "$STATE"; wait $child'
    )
    shell = in_a_namespace(rig, script)
    try:
        rig.wait(lambda: "ledger" in codes(rig), what="word of the ledger")
        known = status(rig)
        assert known["state"] == "blocked"
        assert "read-only" in known["reasons"][0]["text"].lower()
        assert rig.arrived() == 0
        explained = json.loads(rig.run("explain", "--json", str(rig.inbox / "film")).stdout)
        assert "waits for its ledger" in explained["sentence"]
        (rig.place / "mended").touch()
        rig.wait(lambda: rig.arrived() == 1, what="the upload after the disk was mended")
    finally:
        shell.send_signal(signal.SIGTERM)
        assert shell.wait(30) in {0, 128 + signal.SIGTERM}
        assert shell.stderr is not None
        told = shell.stderr.read()
        shell.stderr.close()
    assert "Traceback" not in told
    assert "ledger_away" in told


def codes(rig: Rig) -> set[str]:
    try:
        return {reason["code"] for reason in status(rig)["reasons"]}
    except (ValueError, KeyError):
        time.sleep(0.05)  # not yet there to be asked
        return set()


@pytest.mark.torture
def test_once_does_not_wait_for_its_ledger_longer_than_its_patience(rig: Rig) -> None:
    ledger_of(rig).parent.parent.mkdir(exist_ok=True)
    ledger_of(rig).parent.mkdir(mode=0o700, exist_ok=True)
    if not may_unshare():
        pytest.skip("user namespaces are not permitted here")
    command = rig.command("run", "--once", "--patience", "1s")
    script = 'mount -t tmpfs -o ro none "$0" || exit 9; exec "$@"'
    ended = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, str(ledger_of(rig).parent), *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "hint: free or mend the disk" in ended.stderr
