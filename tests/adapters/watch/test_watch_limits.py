"""What the kernel will not watch: limits, mounts that come and go, file systems of other machines."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.adapters.mounts import file_system_type, is_remote, lies_on_another_machine
from syncd.adapters.watch import InotifyWatcher
from syncd.adapters.watch import inotify as inotify_module
from syncd.adapters.watch.census import count_unwatched
from syncd.adapters.watch.observer import Observer

Tend = Callable[..., None]


def in_own_namespace(script: str, code: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run code in a user namespace of its own, whose limits and mounts are not the host's; skip where not permitted."""
    unshare = ["unshare", "-Ur", *flags, "sh", "-c"]
    if subprocess.run([*unshare, "exit 0"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not permitted here")
    command = [*unshare, f'{script} exec "$@"', "sh", sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("code", "sysctl"), [(errno.EMFILE, "instances"), (errno.ENOSPC, "watches")])
def test_a_limit_means_polling_said_once_and_tried_again_each_minute(
    folder: Path,
    root: bytes,
    mailbox: Any,
    clock: Any,
    watcher: InotifyWatcher,
    tend: Tend,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    sysctl: str,
) -> None:
    tries: list[int] = []

    def refuse(*_: object, **__: object) -> None:
        tries.append(code)
        raise OSError(code, "inotify limit reached")

    with monkeypatch.context() as patch:
        if code == errno.EMFILE:
            patch.setattr(inotify_module, "Observer", refuse)
        else:
            patch.setattr(Observer, "watch", refuse)
        for _ in range(12):
            tend()
            clock.time += 11
    assert len(tries) == 2
    assert mailbox.reasons() == ["watching begins"] * 2
    assert watcher.state(root) == "poll"
    assert capsys.readouterr().out.count(f"fs.inotify.max_user_{sysctl}") == 1
    clock.time += 60
    tend()
    assert watcher.state(root) == "inotify"
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


LIMITED = """
import os, sys
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.disk import LocalDisk
from syncd.adapters.watch import InotifyWatcher
class Hints:
    def path(self, root, path): pass
    def scan(self, root, why): pass
class Clock(SystemClock):
    later = 0
    def monotonic(self): return super().monotonic() + self.later
root, clock = os.fsencode(sys.argv[1]), Clock()
watcher = InotifyWatcher(Hints(), {}, clock, is_remote=lambda _: False)
states = []
for later in (0, 5, 700, 705, 1400, 1405):
    clock.later = later
    if later == 1400:
        for limit in ("watches", "instances"):
            Path(f"/proc/sys/user/max_inotify_{limit}").write_text("1000")
    watcher.tend({root: LocalDisk().root(root)})
    states.append(watcher.state(root))
watcher.close()
print(*states)
"""


@pytest.mark.parametrize(
    ("limit", "value", "states"),
    [
        ("watches", 5, "inotify degraded degraded degraded inotify inotify"),
        ("watches", 0, "poll poll poll poll inotify inotify"),
        ("instances", 0, "poll poll poll poll inotify inotify"),
    ],
)
def test_the_kernels_own_limits_are_noticed_and_recovered_from(
    folder: Path, limit: str, value: int, states: str
) -> None:
    for number in range(10):
        (folder / f"sub{number}").mkdir()
    done = in_own_namespace(f"echo {value} > /proc/sys/user/max_inotify_{limit} &&", LIMITED, folder)
    *logged, said = done.stdout.splitlines()
    assert said == states, done.stderr
    assert sum(f"fs.inotify.max_user_{limit}" in line for line in logged) == 1


def test_the_census_counts_readable_directories_without_a_watch(
    folder: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("a/b", "c", "closed", "sick"):
        (folder / path).mkdir(parents=True)
    (folder / "link").symlink_to("a")
    watched = {root: 1, root + b"/a": 2, root + b"/c": -1}
    look = os.scandir

    def scandir(path: bytes) -> object:
        if path.endswith(b"closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        if path.endswith(b"sick"):
            raise OSError(errno.EIO, "Input/output error")
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    # a/b has none, c was refused, sick cannot be told; closed is the scan's business.
    assert count_unwatched(root, watched, recursive=True) == 3
    assert count_unwatched(root, watched, recursive=False) == 0
    assert count_unwatched(root, {}, recursive=False) == 1


MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
36 22 0:31 / /srv/cap\040ture rw,relatime master:1 propagate_from:2 - nfs4 server:/export rw,vers=4.2
37 22 0:32 / /srv/usb rw - fuseblk /dev/sda1 rw
"""


def test_a_file_system_of_other_machines_is_told_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system_type(os.makedev(0, 31), mounts) == "nfs4"
    assert is_remote(os.makedev(0, 31), mounts)
    assert not is_remote(os.makedev(0, 32), mounts)
    assert not is_remote(os.makedev(254, 0), mounts)
    assert not is_remote(os.makedev(9, 9), mounts)
    assert not is_remote(0, tmp_path / "missing")


def test_a_place_that_is_yet_to_be_made_lies_where_the_one_above_it_lies(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 22 {os.major(device)}:{os.minor(device)} / / rw - nfs4 server:/export rw\n")
    assert lies_on_another_machine(tmp_path / "not" / "yet", mounts)
    mounts.write_text(MOUNTS)
    assert not lies_on_another_machine(tmp_path / "not" / "yet", mounts)


def test_a_remote_folder_is_watched_but_called_degraded(
    folder: Path,
    root: bytes,
    mailbox: Any,
    watcher: InotifyWatcher,
    tend: Tend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher, "_is_remote", lambda _: True)
    tend()
    assert watcher.state(root) == "degraded"
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


MOUNTED = """
import os, subprocess, sys, threading
from pathlib import Path
from syncd.adapters.clock import SystemClock
from syncd.adapters.disk import LocalDisk
from syncd.adapters.watch import InotifyWatcher
class Hints:
    def __init__(self): self.came = {}
    def path(self, root, path): self.came.setdefault(path, threading.Event()).set()
    def scan(self, root, why): pass
hints, folder = Hints(), Path(sys.argv[1])
root = os.fsencode(folder)
watcher = InotifyWatcher(hints, {}, SystemClock(), is_remote=lambda _: False)
def noticed(name):
    watcher.tend({root: LocalDisk().root(root)})
    came = hints.came.setdefault(name.encode(), threading.Event())
    (folder / name).touch()
    return came.wait(10)
heard = [noticed("below")]
subprocess.run(["mount", "-t", "tmpfs", "one", folder], check=True)
heard.append(noticed("mounted over"))
subprocess.run(["umount", folder], check=True)
heard.append(noticed("below again"))
subprocess.run(["mount", "-t", "tmpfs", "two", folder], check=True)
heard.append(noticed("mounted again"))
watcher.close()
print(*heard)
"""


def test_a_root_that_is_mounted_over_and_unmounted_is_heard_each_time(folder: Path) -> None:
    done = in_own_namespace("", MOUNTED, folder, "-m")
    assert done.stdout.splitlines()[-1:] == ["True True True True"], done.stderr


CLOSED = """
import os, sys
import syncd.adapters.watch.inotify
from syncd.adapters.clock import SystemClock
from syncd.adapters.watch import InotifyWatcher
from syncd.model import RootIdentity
class Hints:
    def path(self, root, path): pass
    def scan(self, root, why): pass
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
root, closed = (os.fsencode(path) for path in sys.argv[1:])
watcher = InotifyWatcher(Hints(), {}, SystemClock(), is_remote=lambda _: False)
watcher.tend({path: RootIdentity(os.stat(path).st_dev, os.stat(path).st_ino) for path in (root, closed)})
print(watcher.state(root), watcher.state(closed))
watcher.close()
"""


def test_a_root_that_may_not_be_listed_is_not_taken_for_a_watched_one() -> None:
    """Watchdog registers it without a word, and then says nothing for ever."""
    place = Path(tempfile.mkdtemp(prefix="syncd-test-"))  # where every user may go, unlike tmp_path
    try:
        place.chmod(0o755)
        for name, mode in (("open", 0o755), ("closed", 0o311)):
            (place / name).mkdir()
            (place / name).chmod(mode)
        if os.geteuid() != 0:
            (place / "closed").chmod(0o300)
        command = [sys.executable, "-c", CLOSED, str(place / "open"), str(place / "closed")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.splitlines()[-1:] == ["inotify poll"], done.stderr
        assert "Permission denied" in done.stdout
    finally:
        (place / "closed").chmod(0o755)
        shutil.rmtree(place)
