"""Findings as a person and as a program read them: one line each and a hint, or one JSON document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Final

import click

from syncd.console.words import plain
from syncd.decide.findings import Check, Finding, Verdict, passed

_WORDS: Final = {Verdict.SKIPPED: "skip"}
_COLOURS: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
_WIDTH: Final = max(map(len, Check)) + 2


def tell(finding: Finding, *, err: bool = False) -> None:
    """One line, and one for the hint; colour on a terminal only, words always."""
    stream = sys.stderr if err else sys.stdout
    word = f"{_WORDS.get(finding.verdict, finding.verdict.value):<5}"
    if stream.isatty() and "NO_COLOR" not in os.environ:
        word = click.style(word, fg=_COLOURS.get(finding.verdict), bold=finding.verdict is Verdict.FAIL)
    click.echo(f"{word} {finding.check.value:<{_WIDTH}}{plain(finding.text)}", err=err)
    if finding.hint is not None and finding.verdict is not Verdict.OK:
        click.echo(plain(f"      hint: {finding.hint}"), err=err)


def document(findings: Iterable[Finding]) -> str:
    """All of them as one JSON document."""
    made = list(findings)
    checks = [
        {"check": each.check, "verdict": each.verdict, "text": each.text, "hint": each.hint} for each in made
    ]
    return json.dumps({"ok": passed(made), "checks": checks}, indent=2)
