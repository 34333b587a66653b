"""What watchdog and the kernel do not tell must end in a scan and a new watch, or in honest polling."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.inotify_c import inotify_rm_watch

from syncd.adapters.watch import InotifyWatcher
from syncd.adapters.watch import inotify as inotify_module
from syncd.adapters.watch.census import count_unwatched
from syncd.adapters.watch.observer import Observer
from syncd.adapters.watch.remote import file_system_type, is_remote

Tend = Callable[..., None]


def begun(mailbox: Any, clock: Any, tend: Tend) -> None:
    """Watching has begun, and the next request for a scan is due at once."""
    tend()
    mailbox.wait_for_scan("watching begins")
    clock.time += 20


def test_an_overflow_asks_for_a_scan_of_every_root_now_and_once_more(
    tmp_path: Path, root: bytes, mailbox: Any, clock: Any, tend: Tend, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    other = os.fsencode(tmp_path / "other")
    tend(other)
    mailbox.reasons()
    clock.time += 20
    speaker = logging.getLogger("watchdog.observers.inotify_c")
    for _ in range(100):
        speaker.warning("Inotify queue overflowed; filesystem events were lost")
    assert {mailbox.scans.get_nowait() for _ in range(2)} == {(root, "overflow"), (other, "overflow")}
    assert mailbox.reasons() == []
    clock.time += 10
    tend(other)
    assert mailbox.reasons() == ["overflow", "overflow"]
    assert "queue overflowed" not in capfd.readouterr().err


def test_a_logging_setup_that_disables_loggers_does_not_make_us_deaf(
    mailbox: Any, clock: Any, tend: Tend
) -> None:
    begun(mailbox, clock, tend)
    speaker = logging.getLogger("watchdog.observers.inotify_c")
    speaker.disabled = True
    logging.getLogger("watchdog").handlers.clear()
    tend()
    speaker.warning("Inotify queue overflowed; filesystem events were lost")
    assert mailbox.reasons() == ["overflow"]


def test_watches_that_were_not_put_back_after_an_overflow_are_built_anew(
    folder: Path, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    begun(mailbox, clock, tend)
    before = watcher._observer
    speaker = logging.getLogger("watchdog.observers.inotify")
    speaker.error("Unable to rebuild recursive inotify watches below %r", b"/x")
    tend()
    assert watcher._observer is not before
    assert "could not be put back" in mailbox.reasons()[0]
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def test_a_real_overflow_of_the_kernels_queue_is_noticed(
    folder: Path, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip("the kernel's queue is too long to fill it here")
    begun(mailbox, clock, tend)
    reader = watcher._observer._observer._inotify_fd  # type: ignore[union-attr]
    with reader._lock:  # it stops reading after what it has in hand
        for number in range(limit // 2 + 2000):  # created and closed: two events each
            (folder / str(number)).touch()
    mailbox.wait_for_scan("overflow")
    clock.time += 20
    tend()
    assert "overflow" in mailbox.reasons()
    assert watcher.state(os.fsencode(folder)) == "inotify"


@pytest.mark.parametrize("victim", ["observer", "reader"])
def test_a_dead_thread_is_replaced_with_a_scan(
    folder: Path, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend, victim: str
) -> None:
    begun(mailbox, clock, tend)
    observer = watcher._observer
    assert observer is not None
    thread: Any = observer._observer if victim == "observer" else observer._observer._inotify_fd
    threading.Thread.join(kill(thread), 10)
    assert not observer.is_alive()
    tend()
    assert watcher._observer is not observer
    assert any("died" in reason for reason in mailbox.reasons())
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def kill(thread: Any) -> threading.Thread:
    """Let the thread end as if its loop had: without anything being cleaned up."""
    thread._stopped_event.set()
    wake = getattr(thread, "_kill_w", None)
    if wake is None:
        thread.event_queue.put(type(thread).stop_event)
    else:
        os.write(wake, b"!")
    assert isinstance(thread, threading.Thread)
    return thread


def test_a_descriptor_that_was_closed_under_the_observer_counts_as_dead() -> None:
    observer = Observer()
    reader = observer._observer._inotify_fd
    assert observer.is_alive()
    descriptor, reader._inotify_fd = reader._inotify_fd, 1 << 20
    assert not observer.is_alive()
    reader._inotify_fd = descriptor
    observer.stop()


def test_a_folder_whose_own_thread_ended_is_watched_anew(
    folder: Path, root: bytes, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    begun(mailbox, clock, tend)
    (emitter,) = watcher._observer._observer.emitters  # type: ignore[union-attr]
    emitter.stop()
    emitter.join()
    tend()
    assert mailbox.reasons() == ["its watch died"]
    assert watcher.state(root) == "inotify"
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def lose_watch(watcher: InotifyWatcher, path: bytes) -> None:
    """Let the kernel drop one watch, and wait until watchdog has taken note."""
    observer = watcher._observer
    assert observer is not None
    (emitter,) = observer._observer.emitters
    group: Any = emitter._inotify  # type: ignore[attr-defined]
    noted, take_note = threading.Event(), group.on_watch_deleted

    def on_watch_deleted(descriptor: int) -> None:
        take_note(descriptor)
        noted.set()

    group.on_watch_deleted = on_watch_deleted
    inotify_rm_watch(observer._observer._inotify_fd._inotify_fd, group._active_callbacks_by_path[path])
    assert noted.wait(10)


def test_a_watch_that_the_kernel_dropped_is_set_anew(
    folder: Path, root: bytes, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    """As after an unmount, where the same file system then comes back under the same numbers."""
    begun(mailbox, clock, tend)
    lose_watch(watcher, root)
    tend()
    assert mailbox.reasons() == ["its watch died"]
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def test_a_root_deleted_and_made_again_is_watched_again(
    folder: Path, root: bytes, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    begun(mailbox, clock, tend)
    folder.rmdir()
    tend()
    assert watcher.state(root) == "poll"
    folder.mkdir()
    clock.time += 20
    tend()
    assert "watching begins" in mailbox.reasons()
    assert watcher.state(root) == "inotify"
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def test_a_root_deleted_and_made_again_between_two_looks_is_watched_again(
    folder: Path, mailbox: Any, clock: Any, tend: Tend
) -> None:
    begun(mailbox, clock, tend)
    shutil.rmtree(folder)
    folder.mkdir()
    tend()
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def test_another_directory_in_the_roots_place_is_watched_and_the_old_one_no_longer(
    folder: Path, tmp_path: Path, mailbox: Any, clock: Any, tend: Tend
) -> None:
    begun(mailbox, clock, tend)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    tend()
    assert mailbox.reasons() == ["root changed"]
    (tmp_path / "away/old").touch()
    (folder / "new").touch()
    mailbox.wait_for_path(b"new")
    assert mailbox.seen == {b"new"}


def test_a_symlinked_root_that_is_pointed_elsewhere_is_followed(
    tmp_path: Path, mailbox: Any, tend: Tend
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alias = tmp_path / "alias"
    alias.symlink_to("one")
    tend(os.fsencode(alias))
    alias.unlink()
    alias.symlink_to("two")
    tend(os.fsencode(alias))
    (tmp_path / "one/old").touch()
    (tmp_path / "two/new").touch()
    mailbox.wait_for_path(b"new")
    assert mailbox.seen == {b"new"}


def test_one_folder_in_trouble_does_not_cost_the_others_their_watch(
    tmp_path: Path, folder: Path, root: bytes, mailbox: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    missing = os.fsencode(tmp_path / "missing")
    tend(missing)
    assert (watcher.state(missing), watcher.state(root)) == ("poll", "inotify")
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def test_a_folder_that_is_not_named_any_more_is_let_go(
    root: bytes, mailbox: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    tend()
    mailbox.wait_for_scan("watching begins")
    watcher.tend({})
    assert watcher.state(root) == "poll"
    assert watcher._observer._observer.emitters == set()  # type: ignore[union-attr]


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


def test_anything_unexpected_from_watchdog_means_polling_for_a_while(
    root: bytes,
    mailbox: Any,
    clock: Any,
    watcher: InotifyWatcher,
    tend: Tend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun(mailbox, clock, tend)
    with monkeypatch.context() as patch:
        patch.setattr(Observer, "is_alive", lambda _: 1 // 0)
        tend()
    assert watcher.state(root) == "poll"
    assert "ZeroDivisionError" in mailbox.reasons()[0]
    tend()
    assert watcher.state(root) == "poll"
    clock.time += 60
    tend()
    assert watcher.state(root) == "inotify"


def test_directories_that_lost_their_watch_get_it_back(
    folder: Path, root: bytes, mailbox: Any, clock: Any, watcher: InotifyWatcher, tend: Tend
) -> None:
    (folder / "sub").mkdir()
    begun(mailbox, clock, tend)
    lose_watch(watcher, root + b"/sub")
    clock.time += 600
    tend()
    tend()
    assert mailbox.reasons() == ["some directories were not watched"]
    assert watcher.state(root) == "inotify"
    (folder / "sub/f").touch()
    mailbox.wait_for_path(b"sub/f")


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
watcher = InotifyWatcher(Hints(), {}, clock)
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
    # In a user namespace of its own: its limits count there, the host's stay as they are.
    inside = f'echo {value} > /proc/sys/user/max_inotify_{limit} && exec "$@"'
    unshare = ["unshare", "-Ur", "sh", "-c"]
    if subprocess.run([*unshare, "exit 0"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not permitted here")
    done = subprocess.run(
        [*unshare, inside, "sh", sys.executable, "-c", LIMITED, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    *logged, said = done.stdout.splitlines()
    assert said == states, done.stderr
    assert sum(f"fs.inotify.max_user_{limit}" in line for line in logged) == 1


@pytest.mark.usefixtures("folder")
def test_watchdogs_warnings_do_not_flood_and_do_not_kill_its_threads(tend: Tend) -> None:
    tend()
    with pytest.raises(RuntimeWarning, match="another"):
        warnings.warn_explicit("another", RuntimeWarning, "x.py", 1, module="elsewhere")
    warnings.warn_explicit("Callback with id", RuntimeWarning, "x.py", 1, module="watchdog.observers.inotify")


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


def test_a_remote_folder_is_watched_but_called_degraded(
    folder: Path,
    root: bytes,
    mailbox: Any,
    watcher: InotifyWatcher,
    tend: Tend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inotify_module, "is_remote", lambda _: True)
    tend()
    assert watcher.state(root) == "degraded"
    (folder / "f").touch()
    mailbox.wait_for_path(b"f")


def test_nothing_of_the_watcher_is_left_after_close(watcher: InotifyWatcher, root: bytes, tend: Tend) -> None:
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    tend()
    watcher.close()
    watcher.close()
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before
    assert watcher.state(root) == "poll"
