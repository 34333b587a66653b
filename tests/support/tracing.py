"""System calls of a child as strace tells them, in the order in which they began and ended, whatever thread made them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CALL = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")


def why_not() -> str | None:
    """What keeps us from tracing a child here."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = ["strace", "-f", "-qq", "-o", "/dev/null", "true"]
    done = subprocess.run(tried, capture_output=True, check=False)
    return f"ptrace is not permitted here: {done.stderr.decode()}" if done.returncode != 0 else None


@dataclass
class Call:
    """`began` and `ended` are places in one order of all that strace saw."""

    name: str
    text: str
    began: int
    ended: int = -1

    @property
    def worked(self) -> bool:
        return " = -1 " not in self.text


def calls_of(trace: Path) -> list[Call]:
    """Every call, by when it began; one that never ended is not there."""
    calls: list[Call] = []
    open_: dict[str, Call] = {}
    for place, line in enumerate(trace.read_text("ascii", "replace").splitlines()):
        if begun := _CALL.match(line):
            call = Call(begun["name"], begun["rest"], place)
            calls.append(call)
            if line.endswith("<unfinished ...>"):
                open_[begun["thread"]] = call
            else:
                call.ended = place
        elif resumed := _RESUMED.match(line):
            call = open_.pop(resumed["thread"])
            call.text, call.ended = call.text + resumed["rest"], place
    return [call for call in calls if call.ended >= 0]
