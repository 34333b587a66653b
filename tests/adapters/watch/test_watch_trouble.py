"""What watchdog and the kernel do not tell must end in a scan and a new watch, or in honest polling."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from watchdog.observers.inotify_c import inotify_rm_watch

from syncd.adapters.watch import InotifyWatcher
from syncd.adapters.watch.observer import Observer

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


def test_an_overflow_right_after_another_scan_is_told_too_and_its_scan_comes_when_it_is_due(
    mailbox: Any, clock: Any, tend: Tend
) -> None:
    tend()
    mailbox.wait_for_scan("watching begins")
    with capture_logs() as told:
        logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
    assert [each["event"] for each in told] == ["watch_overflow"]
    assert mailbox.reasons() == []
    clock.time += 10
    tend()
    assert mailbox.reasons() == ["overflow"]


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
    files = [folder / "a", folder / "b"]
    for file in files:
        file.touch()
    begun(mailbox, clock, tend)
    reader = watcher._observer._observer._inotify_fd  # type: ignore[union-attr]
    with reader._lock:  # it stops reading after what it has in hand
        for number in range(limit + 4000):  # closed after writing, in turns: equal events would be merged
            os.close(os.open(files[number % 2], os.O_WRONLY))
    mailbox.wait_for_scan("overflow")
    clock.time += 20
    tend()
    # Once more; on a busy machine watchdog may not have put its watches right by then, which is as good a reason.
    assert {"overflow", "its watch died"} & set(mailbox.reasons())
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
    for number in range(
        100
    ):  # the new one may have the old one's inode: then the event tells, perhaps after a look
        tend()
        (folder / f"{number}").touch()
        with contextlib.suppress(queue.Empty):
            if mailbox.paths.get(timeout=0.2)[1].isdigit():
                return
    pytest.fail("it is not watched again")


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


@pytest.mark.usefixtures("folder")
def test_watchdogs_warnings_do_not_flood_and_do_not_kill_its_threads(tend: Tend) -> None:
    tend()
    with pytest.raises(RuntimeWarning, match="another"):
        warnings.warn_explicit("another", RuntimeWarning, "x.py", 1, module="elsewhere")
    warnings.warn_explicit("Callback with id", RuntimeWarning, "x.py", 1, module="watchdog.observers.inotify")


def test_nothing_of_the_watcher_is_left_after_close(watcher: InotifyWatcher, root: bytes, tend: Tend) -> None:
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    tend()
    watcher.close()
    watcher.close()
    tend()
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before
    assert watcher.state(root) == "poll"
