"""What every test may use; and what the environment may ask of the suite.

SYNCD_NO_SKIP=1: nothing may lack, a skip is a failure. SYNCD_HIDE_AWSCRT=1: as on a machine without awscrt.
SYNCD_TEST_WATCH=poll: the daemon processes run without inotify; SYNCD_TEST_PAGE=1: with the page on (see support/rig.py).
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import pytest
import structlog
from hypothesis import settings
from support.clock import FakeClock

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
if os.environ.get("SYNCD_HIDE_AWSCRT") == "1":
    sys.modules["awscrt"] = None  # type: ignore[assignment]  # as on machines that have no wheel of it

NO_SKIP = os.environ.get("SYNCD_NO_SKIP") == "1"

# A deadline would judge the other programs on the machine; a database would need a tree that we may write to.
settings.register_profile("suite", deadline=None, database=None, print_blob=True)
settings.load_profile("suite")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test turns it; waiting on it costs no time."""
    return FakeClock()


@pytest.fixture
def namespace() -> list[str]:
    """What goes before a command for a user namespace of its own, whose limits and mounts are not the host's."""
    alone = ["unshare", "-Urm"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not permitted here")
    return alone


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """What one test configures of the log ends with it."""
    root, watchdog = logging.getLogger(), logging.getLogger("watchdog")
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    watchdog.handlers.clear()
    watchdog.propagate = True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _fail_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _fail_skipped((yield))


def _fail_skipped(report: Report) -> Report:
    """Turn a skip into a failure; an expected failure (`xfail`) stays what it is."""
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although SYNCD_NO_SKIP=1: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: Any) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
