"""What the kernel grants, as it says; and nothing that was asked for is kept."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from syncd.adapters import limits


def pretend(monkeypatch: pytest.MonkeyPatch, place: Path, **numbers: int) -> None:
    for name, number in numbers.items():
        path = place / {"fs": "sys/fs/inotify/max_user_watches", "user": "sys/user/max_inotify_watches"}[name]
        path.parent.mkdir(parents=True)
        path.write_text(f"{number}\n")
    monkeypatch.setattr(limits, "PROC", place)


def test_the_lower_of_two_limits_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, fs=100, user=7)
    assert limits.watches() == 7


def test_a_kernel_that_says_nothing_has_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path)
    assert limits.watches() is None


def test_an_instance_is_asked_for_and_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert limits.may_watch()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_kernel_without_another_instance_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        @staticmethod
        def inotify_init1(_: int) -> int:
            return -1

    monkeypatch.setattr(limits, "_libc", Full)
    assert not limits.may_watch()


def test_descriptors_are_those_of_the_process_that_is_asked_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert limits.open_files(os.getpid()) == own
    assert limits.open_files(None) == own
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "limits").write_text(
        "Max open files            64                   128                  files\n"
    )
    pretend(monkeypatch, tmp_path)
    assert limits.open_files(7) == 64
    assert limits.open_files(8) == own
