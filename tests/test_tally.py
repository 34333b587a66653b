"""The torture run's counts add up over processes, and one seed gives one run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import tally

HERE = Path(__file__).parent
PASSES = "import pytest\npytestmark = pytest.mark.torture\ndef test_one():\n    pass\n"
FAILS = PASSES.replace("pass\n", "assert False\n")
EXPECTED = FAILS.replace("def ", "@pytest.mark.xfail\ndef ")
SKIPS = PASSES.replace("pass\n", "pytest.skip('no strace')\n")
SKIPS_IN_A_FIXTURE = PASSES.replace("test_one()", "test_one(tool)") + (
    "@pytest.fixture\ndef tool():\n    pytest.skip('no namespaces')\n"
)
SKIPS_WHOLE = "import pytest\npytest.skip('no such module', allow_module_level=True)\n"
COUNT = "from support.tally import count\nfor _ in range(200): count('trials', 2)\ncount('kills')"


def test_counts_of_many_processes_add_up(tmp_path: Path) -> None:
    into = tmp_path / "tally"
    environment = os.environ | {"SYNCD_TALLY": str(into), "PYTHONPATH": str(HERE)}
    counters = [subprocess.Popen([sys.executable, "-c", COUNT], env=environment) for _ in range(3)]
    assert [counter.wait(30) for counter in counters] == [0, 0, 0]
    assert tally.counted(into) == {"trials": 1200, "kills": 3}


def test_the_same_seed_and_name_give_the_same_chance_and_others_another() -> None:
    first = [tally.chance("a", 1).random() for _ in range(3)]
    assert len(set(first)) == 1
    assert tally.chance("a", 2).random() != first[0]


@pytest.mark.parametrize(
    ("tests", "failures", "left_out"),
    [
        ((PASSES, EXPECTED), 0, ""),
        ((PASSES, SKIPS, SKIPS_IN_A_FIXTURE, SKIPS_WHOLE), 0, ", 3 skipped"),
        ((FAILS, SKIPS), 1, ", 1 skipped"),
    ],
    ids=["all there", "tools lack", "a failure besides"],
)
def test_the_last_line_of_a_torture_run_tells_what_was_left_out(
    tmp_path: Path, tests: tuple[str, ...], failures: int, left_out: str
) -> None:
    for number, body in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(body)
    command = [sys.executable, str(HERE / "torture" / "run.py"), "--ci", "--seed", "7", "-n1", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == int(failures > 0)
    said = rf"torture: 0 trials, 0 kills, 0 schedules, {failures} failures, seed 7, \d+\.\d min{left_out}"
    assert re.fullmatch(said, run.stdout.splitlines()[-1]), run.stdout
