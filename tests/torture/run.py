"""`make torture`: the long proof, and its one last line of counts, of what was left out too.

Runs what is marked `torture` (and what is marked `sweep`, of which the default suite runs a part) under one seed. `--ci` is
CI's smaller set, `--seed N` goes through the same run again, anything else goes to pytest as it is.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

import pytest

# ruff: noqa: T201 - a program: what it prints is for the one who started it

TESTS = Path(__file__).parent.parent
TIMEOUT = {"ci": "1200", "full": "7200"}


class Outcomes:
    """Counts what failed in whichever phase, and what was left out, workers included."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.skipped: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._take(report)
        if report.failed:
            # at once: who watches a run of an hour need not wait for its end
            print(f"\ntorture: failed in {report.when}: {report.nodeid}\n{report.longreprtext}", flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._take(report)

    def _take(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.add(report.nodeid)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__, allow_abbrev=False)
    parser.add_argument("--ci", action="store_true", help="the smaller set")
    parser.add_argument("--seed", type=int, default=None, help="go through this run again")
    chosen, others = parser.parse_known_args(arguments)
    size, seed = (
        "ci" if chosen.ci else "full",
        secrets.randbelow(10**9) if chosen.seed is None else chosen.seed,
    )
    with tempfile.TemporaryDirectory() as place:
        tally = Path(place) / "tally"
        tally.touch()
        os.environ |= {"SYNCD_TORTURE": size, "SYNCD_SEED": str(seed), "SYNCD_TALLY": str(tally)}
        return run(size, seed, tally, others)


def run(size: str, seed: int, tally: Path, others: list[str]) -> int:
    print(f"torture: the {size} set, seed {seed}", flush=True)
    began, outcomes = time.monotonic(), Outcomes()
    options = ["-m", "torture or sweep", f"--timeout={TIMEOUT[size]}", f"--hypothesis-seed={seed}"]
    where = [] if any(not each.startswith("-") for each in others) else [str(TESTS)]
    code = pytest.main([*options, *others, *where], plugins=[outcomes])
    sys.path.insert(0, str(TESTS))
    from support.tally import counted

    sums = counted(tally)
    failed = max(len(outcomes.failed), int(code != pytest.ExitCode.OK))
    minutes = (time.monotonic() - began) / 60
    left_out = f", {len(outcomes.skipped)} skipped" if outcomes.skipped else ""
    print(
        f"torture: {sums['trials']} trials, {sums['kills']} kills, {sums['schedules']} schedules, "
        f"{failed} failures, seed {seed}, {minutes:.1f} min{left_out}"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
