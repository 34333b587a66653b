"""What several verbs take from the command line, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from syncd.config.units import parse_duration, parse_size

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Duration(click.ParamType[timedelta]):
    """A time span, written as in the configuration: 30s, 5m, 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it. Wrong usage where it is none."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as wrong:
            return self.fail(f"{value!r} {wrong}", param, ctx)


class Size(click.ParamType[int]):
    """Bytes, written as in the configuration: 16MiB, 200MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it. Wrong usage where it is none."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value).removesuffix("/s"))
        except ValueError as wrong:
            return self.fail(f"{value!r} {wrong}", param, ctx)


def complete_path(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a path. Not click.Path: that asks the disk, and a file server may never answer."""
    return [CompletionItem(incomplete, type="file")]


def config_option(verb: Verb) -> Verb:
    """Gives the verb its `-c FILE` as the argument `config_file`: the one named, or where it lies by default."""
    return click.option(
        "-c",
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        default=_default_path,
        help="The configuration file.",
    )(verb)


def _default_path() -> Path:
    from syncd.config.surroundings import default_path  # noqa: PLC0415 - keeps `--help` free of it

    return default_path(os.environ)
