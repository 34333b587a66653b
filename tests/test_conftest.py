"""The suite's own rule and clock: a skip is a failure where nothing may lack, and waiting costs no time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from support.clock import START, FakeClock

HERE = Path(__file__).parent
SKIPS = {
    "a test that skips itself": "import pytest\ndef test_one():\n    pytest.skip('no such tool')\n",
    "a mark": "import pytest\n@pytest.mark.skip(reason='no such tool')\ndef test_one():\n    pass\n",
    "a condition": "import pytest\n@pytest.mark.skipif(True, reason='no such tool')\ndef test_one():\n    pass\n",
    "a fixture": (
        "import pytest\n@pytest.fixture\ndef tool():\n    pytest.skip('no such tool')\ndef test_one(tool):\n    pass\n"
    ),
    "a module": "import pytest\npytest.skip('no such tool', allow_module_level=True)\ndef test_one():\n    pass\n",
    "an import": "import pytest\npytest.importorskip('no_such_tool')\ndef test_one():\n    pass\n",
}
XFAIL = "import pytest\n@pytest.mark.xfail\ndef test_one():\n    assert False\n"


def run_suite(folder: Path, *, no_skip: bool) -> subprocess.CompletedProcess[str]:
    """Every way to skip in a file of its own, beside one expected failure."""
    (folder / "conftest.py").write_text((HERE / "conftest.py").read_text())
    for number, body in enumerate([*SKIPS.values(), XFAIL]):
        (folder / f"test_{number}.py").write_text(body)
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = --import-mode=importlib\npythonpath = {HERE}\n")
    environment = {name: value for name, value in os.environ.items() if name != "SYNCD_NO_SKIP"}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--continue-on-collection-errors",
            str(folder),
        ],
        cwd=folder,
        env=environment | ({"SYNCD_NO_SKIP": "1"} if no_skip else {}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_where_nothing_may_lack_every_skip_is_a_failure_that_tells_its_reason(tmp_path: Path) -> None:
    run = run_suite(tmp_path, no_skip=True)
    assert run.returncode == 1
    assert "1 failed, 1 xfailed, 5 errors" in run.stdout, run.stdout
    reasons = re.findall(r"^E? *skipped although SYNCD_NO_SKIP=1: .*no.such.tool", run.stdout, re.MULTILINE)
    assert len(reasons) == len(SKIPS), run.stdout


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    run = run_suite(tmp_path, no_skip=False)
    assert run.returncode == 0
    assert "6 skipped, 1 xfailed" in run.stdout, run.stdout


def test_the_clock_turns_while_waiting_and_only_the_wall_jumps(clock: FakeClock) -> None:
    before = clock.monotonic(), clock.boottime()
    assert clock.wait(threading.Event(), 30.0) is False
    clock.jump(-3600.0)
    clock.sleep(5.0)
    assert (clock.now() - START, clock.monotonic() - before[0], clock.boottime() - before[1]) == (
        -3565,
        30,
        35,
    )
    assert clock.waits == [30.0]


def test_a_driven_clock_wakes_those_who_wait_when_it_is_turned() -> None:
    clock, woke = FakeClock(driven=True), threading.Event()

    def wait() -> None:
        clock.wait(threading.Event(), 60.0)
        woke.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not clock.waits:
        threading.Event().wait(0.001)
    clock.advance(59.0)
    assert not woke.wait(0.05)
    clock.advance(1.5)
    assert woke.wait(10.0)
    thread.join()
