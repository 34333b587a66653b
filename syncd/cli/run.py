"""`syncd run`: the daemon, or with `--once` what is there now and then an end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.options import Duration, config_option
from syncd.console.words import path_text, plain
from syncd.signals import hold_signals, show_stacks_on_usr1

if TYPE_CHECKING:
    from syncd.app import App
    from syncd.config import Config
    from syncd.household import Household
    from syncd.once import OnceRun

PATIENCE = timedelta(minutes=5)


@click.command("run")
@config_option
@click.option("--once", is_flag=True, help="Upload what is there now, then end.")
@click.option(
    "--patience",
    type=Duration(),
    metavar="DURATION",
    help="With --once: give up when not one byte has moved for so long. [default: 5m]",
)
def command(config_file: Path, once: bool, patience: timedelta | None) -> int:
    """Watch the folders and upload what is finished.

    Runs until SIGTERM or Ctrl-C; what is unfinished goes on at the next start. With --once it takes what is there now,
    waits for files that may still change, and ends: with 0 when all of it arrived, with 1 when something is left over,
    which it names.
    """
    if patience is not None and not once:
        raise click.UsageError("--patience goes with --once")
    hold_signals()
    show_stacks_on_usr1()
    from syncd.config import load  # noqa: PLC0415 - `syncd run --help` needs none of this

    config = load(config_file)
    again = partial(load, config_file)
    if once:
        return _run_once(config, again, PATIENCE if patience is None else patience)
    from syncd.waiting import until_open  # noqa: PLC0415

    built = until_open(config, partial(_built, config, again))
    if built is not None:
        built.daemon.run()
    return 0


def _built(config: Config, again: Callable[[], Config], *, quiet: bool = False) -> App:
    """The house with its log; `again` reads the configuration anew. `quiet`: bars show what goes well, log only trouble."""
    from syncd import app  # noqa: PLC0415

    def reload(household: Household) -> None:
        if household.reload(again):
            _log(household.config, quiet=quiet, secrets=household.secrets)

    _log(config, quiet=quiet)
    built = app.build(config, reload=reload)
    _log(config, quiet=quiet, secrets=built.household.secrets)
    return built


def _log(config: Config, *, quiet: bool, secrets: Callable[[], Iterable[str]] = tuple) -> None:
    from syncd.telemetry import logs  # noqa: PLC0415

    level = "warning" if quiet and config.log.level in {"debug", "info"} else config.log.level
    logs.configure(level, config.log.format, secrets=secrets)


def _run_once(config: Config, again: Callable[[], Config], patience: timedelta) -> int:
    from syncd.cli.progress import Bars, terminal  # noqa: PLC0415
    from syncd.once import LeftOver  # noqa: PLC0415
    from syncd.waiting import until_open  # noqa: PLC0415

    left: list[LeftOver] = []
    screen = terminal()
    beside_the_log = screen is not None and screen.file is sys.stderr
    with Bars(screen) as bars:
        build = partial(_built, config, again, quiet=beside_the_log)
        built = until_open(config, build, patience_s=patience.total_seconds())
        if built is None:
            return 1
        once = _once(built, patience)
        bars.watch(built.world.board, built.ledger, built.clock, once)

        def finished() -> bool:
            bars.draw()
            return once.finished()

        built.daemon.run(finished, lambda: left.extend(once.left_over()))
    if screen is not None:
        click.echo(f"{once.done} of {once.total} files done", err=True)
    for each in left:
        click.echo(f"{path_text(each.what)}: {plain(each.why)}", err=True)
    return 1 if left else 0


def _once(built: App, patience: timedelta) -> OnceRun:
    from syncd.once import OnceRun  # noqa: PLC0415

    return OnceRun(
        clock=built.clock,
        ledger=built.ledger,
        clerk=built.clerk,
        gate=built.gate,
        rounds=lambda: built.daemon.rounds,
        wake=built.mailbox.wake,
        pulse=built.pulse.moved_at,
        patience_s=patience.total_seconds(),
    )
