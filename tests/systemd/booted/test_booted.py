"""The package on a real systemd: it starts when it is ready, comes back from death, ends in time, and may do what it must."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.booted import CAPTURE, CONFIG, STATE, TOKEN_FILE, Machine, as_user, run, shown, wait_until
from support.rig import Pace, noise
from support.visitor import Visitor
from support.whole import TOKEN

pytestmark = pytest.mark.booted

README = Path(__file__).parents[3] / "systemd" / "README.md"
EXAMPLES = [
    [line for line in block.splitlines() if line and not line.startswith(("#", "["))]
    for block in re.findall(r"```ini\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
]

MIB = 1 << 20


@pytest.fixture(scope="module")
def recorder() -> str:
    """Another user, who shares captures with syncd by their group."""
    run("useradd", "--groups", "captures", "recorder", check=False)
    return "recorder"


@pytest.fixture(autouse=True)
def _full_speed(installed: Machine) -> Iterator[None]:
    yield
    installed.store.faults = None


def test_installed_three_lines_edited_started_and_a_file_that_is_dropped_is_in_s3(installed: Machine) -> None:
    """First in the file: the configuration is still the one that was installed."""
    shipped = CONFIG.read_text()
    edited = shipped.replace("https://uploads.example.com/v1/credentials", installed.servers.endpoint.url)
    edited = edited.replace("region: us-east-1", f'endpoint_url: "{installed.store.url}"')
    edited = edited.replace("- path: /srv/capture", "- {path: /srv/capture, complete_when: {quiet: 1s}}")
    assert sum(a != b for a, b in zip(shipped.splitlines(), edited.splitlines(), strict=True)) == 3
    CONFIG.write_text(edited)
    TOKEN_FILE.write_text(TOKEN)
    run("systemd-tmpfiles", "--create", "syncd.conf")
    run("syncd", "check")
    run("systemctl", "start", "syncd")
    try:
        (CAPTURE / "film.mp4").write_bytes(noise(11 * MIB))
        host = os.uname().nodename
        wait_until(lambda: f"{host}/capture/film.mp4" in installed.store.objects(), what="the object")
        wait_until(lambda: installed.status()["state"] == "idle", what="rest")
        page = Visitor(8384)
        wait_until(lambda: "is idle." in page.get("/").text, what="the same on the page")
        assert "/srv/capture/film.mp4" in page.get("/").text
        assert page.get("/healthz").status == 200
    finally:
        run("systemctl", "stop", "syncd")
        run("sh", "-c", f"rm -rf {STATE}/* {CAPTURE}/*")


def test_a_folder_of_captures_that_was_there_before_keeps_its_owner_and_mode(installed: Machine) -> None:
    before = CAPTURE.stat()
    try:
        run("chown", "nobody:nogroup", str(CAPTURE))
        CAPTURE.chmod(0o755)
        run("dpkg", "--install", os.environ["SYNCD_DEB"])
        kept = CAPTURE.stat()
        assert (kept.st_mode & 0o7777, kept.st_uid) == (0o755, pwd.getpwnam("nobody").pw_uid)
    finally:
        os.chown(CAPTURE, before.st_uid, before.st_gid)
        CAPTURE.chmod(before.st_mode & 0o7777)


def test_the_shell_completes_the_verbs(installed: Machine) -> None:
    script = """
        . /usr/share/bash-completion/completions/syncd
        COMP_WORDS=(syncd rescan) COMP_CWORD=1
        COMP_WORDS[1]=resc
        _syncd_completion /usr/bin/syncd
        echo "${COMPREPLY[@]}"
    """
    assert run("bash", "-c", script).strip() == "rescan"


def test_start_returns_when_it_is_ready(machine: Machine) -> None:
    run("systemctl", "start", "syncd")
    assert shown("ActiveState") == "active"
    assert machine.status()["state"] in {"idle", "working"}
    wait_until(lambda: "idle" in shown("StatusText"), what="the line for systemctl status")


def test_killed_in_the_middle_of_an_upload_it_is_started_again_and_goes_on(machine: Machine) -> None:
    machine.store.faults = Pace(0.5)
    (CAPTURE / "film").write_bytes(noise(60 * MIB))
    run("systemctl", "start", "syncd")
    wait_until(lambda: parts_of(machine) >= 4, what="some parts")
    run("systemctl", "kill", "--signal=KILL", "syncd")
    machine.store.faults = None
    wait_until(lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", what="the restart")
    wait_until(lambda: machine.has("capture/film"), what="the object")
    status = machine.status()
    assert status["bytes"]["resent_total"] <= 4 * 5 * MIB, "only what was in flight"


def parts_of(machine: Machine) -> int:
    return sum(record.operation == "UploadPart" and record.status == 200 for record in machine.store.log)


def test_one_that_makes_no_progress_is_ended_by_the_watchdog_and_started_again(machine: Machine) -> None:
    machine.drop_in("dog", "WatchdogSec=3s", "TimeoutAbortSec=2s")
    run("systemctl", "start", "syncd")
    first = shown("MainPID")
    os.kill(int(first), signal.SIGSTOP)
    wait_until(lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", what="the restart")
    assert shown("MainPID") != first
    assert "watchdog" in run("journalctl", "-u", "syncd", "--no-pager").lower()


def test_stop_ends_in_time_and_what_was_acknowledged_is_kept(machine: Machine) -> None:
    machine.store.faults = Pace(1.0)
    (CAPTURE / "film").write_bytes(noise(60 * MIB))
    run("systemctl", "start", "syncd")
    before = parts_of(machine)
    wait_until(lambda: parts_of(machine) >= before + 4, what="some parts")
    began = time.monotonic()
    run("systemctl", "stop", "syncd")
    assert time.monotonic() - began < 30.0, "TimeoutStopSec"
    assert shown("Result") == "success"
    assert len(machine.store.uploads()) == 1
    machine.store.faults = None
    run("systemctl", "start", "syncd")
    wait_until(lambda: machine.has("capture/film"), what="the object")
    assert machine.status()["bytes"]["resent_total"] == 0


def test_reload_takes_another_configuration_and_a_broken_one_changes_nothing(machine: Machine) -> None:
    run("systemctl", "start", "syncd")
    pid = shown("MainPID")
    second = CAPTURE / "second"
    second.mkdir()
    machine.configure(folder={"name": "renamed"})
    run("systemctl", "reload", "syncd")
    wait_until(lambda: machine.status()["folders"][0]["name"] == "renamed", what="the new name")
    CONFIG.write_text("folders: nonsense")
    run("systemctl", "reload", "syncd")
    (CAPTURE / "film").write_bytes(b"abc")
    wait_until(lambda: machine.has("renamed/film"), what="the object")
    assert shown("MainPID") == pid


def test_a_wrong_configuration_is_not_tried_again_and_again(machine: Machine) -> None:
    CONFIG.write_text("folders: nonsense")
    run("systemctl", "start", "syncd", check=False)
    wait_until(lambda: shown("ActiveState") == "failed", what="the end")
    assert (shown("ExecMainStatus"), shown("NRestarts")) == ("78", "0")
    assert "config.yaml:1:" in run("journalctl", "-u", "syncd", "--no-pager", "-o", "cat")


def test_the_token_is_for_the_service_alone(machine: Machine, recorder: str) -> None:
    run("systemctl", "start", "syncd")
    status = TOKEN_FILE.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o640)
    for command in (f"cat {TOKEN_FILE}", f"cat {CONFIG}", f"ls {STATE}", "ls /run/syncd"):
        denied = subprocess.run(
            ["runuser", "-u", recorder, "--", *command.split()], capture_output=True, text=True, check=False
        )
        assert "Permission denied" in denied.stderr, command


def test_a_token_from_systemds_credentials_will_do(machine: Machine) -> None:
    secret = Path("/root/token")
    secret.write_text(TOKEN_FILE.read_text())
    secret.chmod(0o600)
    TOKEN_FILE.unlink()
    text = CONFIG.read_text().replace(f', "token_file": "{TOKEN_FILE}"', "")
    CONFIG.write_text(text)
    machine.drop_in("credential", f"LoadCredential=token:{secret}")
    run("systemctl", "start", "syncd")
    (CAPTURE / "film").write_bytes(b"abc")
    wait_until(lambda: machine.has("capture/film"), what="the object")


@pytest.mark.parametrize("fate", ["delete", "move"])
def test_captures_of_another_user_are_read_and_put_away_but_not_while_they_are_written(
    machine: Machine, recorder: str, fate: str
) -> None:
    sent = CAPTURE.parent / "sent"
    sent.mkdir(exist_ok=True)
    run("chown", "root:captures", str(sent))
    sent.chmod(0o2775)
    machine.drop_in("sent", f"ReadWritePaths=-{sent}")
    after = "delete" if fate == "delete" else {"move": {"to": str(sent)}}
    machine.configure(folder={"after_upload": after})
    run("systemctl", "start", "syncd")
    script = f"umask 027; exec 3>{CAPTURE}/slow; echo one >&3; read line; echo two >&3"
    with as_user(recorder, script) as writing:
        wait_until((CAPTURE / "slow").exists, what="the recorder")
        with as_user(recorder, f"umask 027; echo whole >{CAPTURE}/quick"):
            pass
        wait_until(lambda: machine.has("capture/quick"), what="the finished one")
        wait_until(lambda: not (CAPTURE / "quick").exists(), what="its going")
        slow = str(CAPTURE / "slow")
        wait_until(lambda: "open for writing" in run("syncd", "explain", slow), what="its being noticed")
        assert not machine.has("capture/slow")
        assert (CAPTURE / "slow").stat().st_uid == pwd.getpwnam(recorder).pw_uid
        writing.write(b"\n")
        writing.flush()
    wait_until(lambda: machine.has("capture/slow"), what="the slow one")
    wait_until(lambda: not (CAPTURE / "slow").exists(), what="its going")
    assert machine.store.read(f"{machine.device}/capture/slow") == b"one\ntwo\n"
    if fate == "move":
        wait_until(lambda: {path.name for path in sent.iterdir()} == {"quick", "slow"}, what="the move")


def test_a_disk_that_is_mounted_later_is_waited_for_and_taken_up_and_cleared(machine: Machine) -> None:
    disk = Path("/media/disk")
    disk.mkdir(parents=True, exist_ok=True)
    machine.configure(folder={"path": str(disk), "require_mount": True, "after_upload": "delete"})
    run("systemctl", "start", "syncd")
    wait_until(lambda: machine.status()["folders"][0]["state"] == "blocked", what="the waiting")
    run("mount", "-t", "tmpfs", "-o", "mode=2775,gid=captures", "tmpfs", str(disk))
    try:
        (disk / "film").write_bytes(b"abc")
        (disk / "film").chmod(0o664)
        wait_until(lambda: machine.has("disk/film"), what="the object")
        wait_until(lambda: not (disk / "film").exists(), what="its going")
        run("systemctl", "stop", "syncd")
    finally:
        run("umount", str(disk))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_of_a_drop_in_is_one_that_systemd_takes_and_the_daemon_lives_with(
    machine: Machine, number: int
) -> None:
    for path in ("/data/recordings", "/home/lab/recordings"):
        Path(path).mkdir(parents=True, exist_ok=True)
    run("groupadd", "--force", "microscope")
    machine.drop_in("example", *EXAMPLES[number])
    run("systemctl", "start", "syncd")
    assert shown("ActiveState") == "active"
    warned = run("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/syncd.service", check=False)
    assert "example.conf" not in warned


def test_removed_it_leaves_the_ledger_and_purged_nothing(machine: Machine) -> None:
    """Last in the file: the package is gone afterwards."""
    run("systemctl", "start", "syncd")
    wait_until((STATE / "state.db").exists, what="the ledger")
    run("dpkg", "--remove", "syncd")
    assert not Path("/opt/syncd").exists()
    assert (STATE / "state.db").exists()
    run("dpkg", "--purge", "syncd")
    assert not STATE.exists()
    assert not CONFIG.parent.exists()
    run("dpkg", "--install", os.environ["SYNCD_DEB"])  # for the fixture's tidying
