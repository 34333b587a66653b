"""The torture run's counts add up over processes, and one seed gives one run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import tally

HERE = Path(__file__).parent
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
