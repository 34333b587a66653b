"""Verbs called in the test's own process: what they answer, tell and end with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from syncd.cli import main


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


Ask = Callable[..., Said]


def asking(config: Path, capfd: pytest.CaptureFixture[str]) -> Ask:
    """The test's own log must be left alone meanwhile: see `quiet_log`."""

    def say(verb: str, *arguments: str) -> Said:
        capfd.readouterr()
        code = main([verb, "-c", str(config), *arguments])
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return say
