"""What may be wrong on this machine is found there, and the remedy named: real limits, real mounts."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.rig import Rig
from support.script import KINDS, Script

from .conftest import Examine, Report, amend, read

pytestmark = pytest.mark.torture


def test_a_folder_that_is_missing(rig: Rig, examine: Examine) -> None:
    rig.inbox.rmdir()
    report = examine()
    report.found("folder", "fail", f"{rig.inbox} does not exist", "create it", "folders[].path")
    report.skipped("after_upload", "folder")


def test_a_folder_where_something_must_be_mounted(rig: Rig, examine: Examine) -> None:
    amend(rig, folder={"require_mount": True})
    examine().found("folder", "fail", "nothing is mounted", "require_mount: false")


def test_a_place_to_move_to_that_is_missing(rig: Rig, examine: Examine) -> None:
    amend(rig, folder={"after_upload": {"move": {"to": f"{rig.place}/away"}}})
    examine().found("after_upload", "fail", "no such directory", f"make {rig.place}/away", "move.to")
    (rig.place / "away").mkdir()
    assert examine().of("after_upload")["verdict"] == "ok"


def test_a_proof_that_lets_nothing_go(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"checksum": "none"}, folder={"after_upload": "delete"})
    report = examine()
    report.found("checksum", "warn", "nothing is summed", "destination.checksum: auto")
    report.found("after_upload", "warn", "only the size", "destination.checksum to auto or md5")


def test_a_store_that_shows_no_sum_lets_nothing_go(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_checksums = True
    rig.store.faults = Script([KINDS["wrong ETag"](operation="HeadObject")])
    amend(rig, folder={"after_upload": "delete"})
    report = examine()
    report.found("proof", "warn", "no sum of the bytes", "destination.checksum: auto", "after_upload: keep")
    report.found("after_upload", "warn", "only the size", "destination.checksum to auto or md5")


def elsewhere(rig: Rig, namespace: list[str], script: str, *arguments: object) -> Report:
    """The verb in a namespace in which a script has changed something before."""
    before = f'{script} || exit 99; shift {len(arguments)}; exec "$@"'
    told = subprocess.run(
        [*namespace, "sh", "-c", before, "sh", *map(str, arguments), *rig.command("doctor", "--json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    return read(told.returncode, told.stdout)


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'


def test_a_folder_out_of_which_nothing_can_be_deleted(rig: Rig, namespace: list[str]) -> None:
    amend(rig, folder={"after_upload": "delete"})
    report = elsewhere(rig, namespace, READ_ONLY, rig.inbox)
    report.found("after_upload", "fail", "mounted read-only", "remount,rw", "after_upload: keep")
    assert report.failed() == ["after_upload"]


def test_a_folder_that_is_read_only_for_the_daemon_alone(
    rig: Rig, namespace: list[str], examine: Examine
) -> None:
    """As under ProtectSystem=strict without ReadWritePaths=."""
    amend(rig, folder={"after_upload": "delete"})
    rig.around = [*namespace, "sh", "-c", f'{READ_ONLY}; shift; exec "$@"', "sh", str(rig.inbox)]
    rig.start()
    report = examine()
    report.found("after_upload", "fail", "mounted read-only", f"ReadWritePaths={rig.inbox}")
    assert rig.stop() == 0


def test_a_kernel_with_too_few_watches(rig: Rig, namespace: list[str]) -> None:
    for number in range(9):
        (rig.inbox / str(number)).mkdir()
    amend(rig, folder={"watch": "auto"})
    report = elsewhere(rig, namespace, "echo 5 >/proc/sys/user/max_inotify_watches")
    report.found("watches", "warn", "10 directories", "sysctl fs.inotify.max_user_watches=20", "watch: poll")
    assert report.code == 0


def test_a_kernel_without_an_inotify_instance(rig: Rig, namespace: list[str]) -> None:
    amend(rig, folder={"watch": "auto"})
    report = elsewhere(rig, namespace, "echo 0 >/proc/sys/user/max_inotify_instances")
    report.found("watches", "warn", "no inotify instance", "fs.inotify.max_user_instances")


def test_too_few_descriptors(rig: Rig) -> None:
    report = elsewhere(rig, [], "ulimit -n 40")
    report.found("descriptors", "warn", "40 files", "LimitNOFILE=1024")


def test_a_full_disk_for_the_ledger(rig: Rig, namespace: list[str]) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    report = elsewhere(rig, namespace, 'mount -t tmpfs -o size=1m,mode=700 full "$1"', state)
    report.found("ledger space", "fail", "nothing can be recorded", f"free some space at {state}", "`state`")


def test_a_ledger_that_cannot_be_written(rig: Rig, namespace: list[str]) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    report = elsewhere(rig, namespace, READ_ONLY, state)
    report.found("ledger", "fail", f"{state} cannot be written", "StateDirectory=syncd")


def test_a_ledger_that_others_may_read(rig: Rig, examine: Examine) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    (state / "state.db").write_bytes(b"")
    (state / "state.db").chmod(0o644)
    examine().found("ledger", "warn", "mode 0644", f"chmod go= {state}/state.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_whoever_is_not_the_daemons_user_is_told_so(rig: Rig, examine: Examine) -> None:
    state = rig.place / "state"
    state.mkdir(mode=0o700)
    (state / "state.db").write_bytes(b"")
    os.chown(state / "state.db", 65534, 65534)
    examine().found(
        "user", "warn", "this runs as root, the ledger is nobody's", "sudo -u nobody syncd doctor"
    )
