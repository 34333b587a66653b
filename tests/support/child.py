"""A verb of syncd as a child process that tells events as JSON lines: it can be waited for, stopped and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

SYNCD = (sys.executable, "-m", "syncd")


def until(
    condition: Callable[[], object], seconds: float, what: str, told: Callable[[], object] = str
) -> None:
    """Wait until the condition holds; fail with what was told by then."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s; {told()}"
        time.sleep(0.05)  # another process: there is no event to wait for


class Child:
    """One process at a time; `said` has every line of all of them, `events` those of the running one."""

    def __init__(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        self._command = [*SYNCD, *command]
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.said: list[str] = []
        self.events: list[dict[str, Any]] = []

    def start(self, ready: str, *more: str) -> str:
        """Start it and wait until it says a line with these words; the line."""
        self.events.clear()
        begun = len(self.said)
        self._process = subprocess.Popen(
            [*self._command, *more],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        until(lambda: self._line(ready, begun), 30.0, ready, lambda: self.said[-5:])
        return self._line(ready, begun)

    def _line(self, words: str, begun: int) -> str:
        return next((line for line in self.said[begun:] if words in line), "")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.said.append(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                self.events.append(event)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The events of this name."""
        return [each for each in self.events if each.get("event") == event]

    def kill(self) -> None:
        """SIGKILL, harmless when it has ended."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        code = process.wait(30)
        assert self._reader is not None
        self._reader.join(5)
        if process.stdout is not None:
            process.stdout.close()
        return code
