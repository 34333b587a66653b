"""How the verbs that look in get their answers: from the daemon, or without one from what it left on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.console.server import View

Answer = dict[str, Any]


def configured(config_file: Path) -> Config:
    """The configuration, with the log on stderr so that stdout has the answer only. Raises ConfigError."""
    from syncd.config import load  # noqa: PLC0415 - keeps `--help` free of it
    from syncd.telemetry import logs  # noqa: PLC0415

    config = load(config_file)
    logs.configure("warning", config.log.format)
    return config


def ask(config: Config, question: Callable[[View], Answer]) -> tuple[bool, Answer]:
    """Whether a daemon answered, and the answer. Raises SyncdError where nobody can give one."""
    from syncd.console.client import Client, NotRunning  # noqa: PLC0415

    try:
        return True, question(Client(config.socket))
    except NotRunning:
        from syncd.offline import look_in  # noqa: PLC0415

        with look_in(config) as inside:
            return False, question(inside)


def step_in(
    config: Config, wish: Callable[[View], Answer], *, need_ledger: bool = False
) -> tuple[bool, Answer]:
    """The same for a wish that changes something: without a daemon its lock is taken meanwhile.

    `need_ledger`: there must be one already. Raises LedgerHeld, SyncdError.
    """
    from syncd.console.client import Client, NotRunning  # noqa: PLC0415

    try:
        return True, wish(Client(config.socket))
    except NotRunning:
        from syncd.offline import take_over  # noqa: PLC0415

        with take_over(config, need_ledger=need_ledger) as inside:
            return False, wish(inside)


def absolute(path: str) -> bytes:
    """The path from the root, byte for byte. Wrong usage where it is empty; SyncdError in a directory that is gone."""
    if not path:
        raise click.UsageError("an empty PATH names nothing")
    if path.startswith("/"):
        return os.fsencode(path)
    try:
        return (
            os.fsencode(Path.cwd()) + b"/" + os.fsencode(path)
        )  # `..` stays: only the disk knows where it leads
    except FileNotFoundError as error:
        raise SyncdError("the current directory is gone", hint="give the whole path") from error
