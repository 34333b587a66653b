"""`syncd pause`: send nothing for a while, and abort nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from syncd.cli.asking import configured, step_in
from syncd.cli.options import Duration, config_option


@click.command("pause")
@config_option
@click.option(
    "--for", "span", type=Duration(), metavar="DURATION", help="End by itself after so long. [default: never]"
)
def command(config_file: Path, span: timedelta | None) -> None:
    """Send nothing until resume, or for a while.

    Parts that are on their way end, then uploads rest and nothing new is begun; nothing is aborted, and later it goes on
    where it was. Folders are still watched. A pause outlives restarts. Works without a daemon too.
    """
    if span is not None and not span:
        raise click.UsageError("--for 0s is no pause")
    seconds = None if span is None else span.total_seconds()
    running, document = step_in(configured(config_file), lambda view: view.pause(seconds), need_ledger=True)
    until = "until `syncd resume`" if document["until"] is None else f"until {document['until']}"
    click.echo(f"paused {until}")
    if not running:
        click.echo("syncd: not running; it will be paused when it starts", err=True)
