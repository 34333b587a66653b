from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.adapters.disk import LocalDisk, ignore_lease_signals

NOBODY = 65534
# Imports come first: nobody may have no right to read the project.
PRELUDE = f"""
import os, sys
import syncd.adapters.disk.local
from syncd.adapters.disk import LocalDisk, ignore_lease_signals
from syncd.errors import *
from syncd.model import *
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
disk = LocalDisk()
root = os.fsencode(sys.argv[1])
"""


@pytest.fixture
def disk() -> LocalDisk:
    return LocalDisk()


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can reach, unlike tmp_path."""
    directory = Path(tempfile.mkdtemp(prefix="syncd-test-"))
    directory.chmod(0o755)
    yield directory
    for path in directory.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(directory)


@pytest.fixture
def unprivileged() -> Callable[[Path, str], str]:
    """Run code with `disk` and `root` as a user whom permissions hold back: ourselves, or nobody if we are root."""

    def run(directory: Path, code: str) -> str:
        command = [sys.executable, "-c", PRELUDE + code, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def lease_signals_ignored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGIO)
    ignore_lease_signals()
    yield
    signal.signal(signal.SIGIO, before)
