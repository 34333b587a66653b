"""What the torture run counts, its sizes and its seed: one place for all, usable from any worker process.

SYNCD_TORTURE=full|ci (default ci) chooses the sizes, SYNCD_SEED the seed (a fixed one without it, so that all workers
collect the same tests), SYNCD_TALLY names the file that counts are appended to. `tests/torture/run.py` sets all three.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Literal, TypeVar

Kind = Literal["trials", "kills", "schedules"]
KINDS: tuple[Kind, ...] = ("trials", "kills", "schedules")

FULL = os.environ.get("SYNCD_TORTURE", "ci") == "full"
SEED = int(os.environ.get("SYNCD_SEED", "20261125"))

T = TypeVar("T")


def sized(ci: T, full: T) -> T:
    """How much of something this run does: CI's smaller set, or `make torture`."""
    return full if FULL else ci


def chance(*names: object) -> random.Random:
    """A source of chance of one's own: the run's seed and one's names give the same one again."""
    return random.Random("/".join(str(name) for name in (SEED, *names)))


def count(kind: Kind, number: int = 1) -> None:
    """So many more of them were gone through to their end."""
    tally = os.environ.get("SYNCD_TALLY")
    if tally is None or not number:
        return
    line = f"{kind} {number}\n".encode()
    descriptor = os.open(tally, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)  # one short append: whole lines, however many workers write
    finally:
        os.close(descriptor)


def counted(tally: Path) -> Counter[str]:
    """The sums of what was counted into the file."""
    sums: Counter[str] = Counter()
    for line in tally.read_text().splitlines():
        kind, number = line.split()
        sums[kind] += int(number)
    return sums
