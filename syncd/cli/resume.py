"""`syncd resume`: the end of a pause."""

from __future__ import annotations

from pathlib import Path

import click

from syncd.cli.asking import configured, step_in
from syncd.cli.options import config_option


@click.command("resume")
@config_option
def command(config_file: Path) -> None:
    """End a pause.

    Uploads go on where they were. Works without a daemon too; where nothing was paused it says so and changes nothing.
    """
    running, document = step_in(configured(config_file), lambda view: view.resume(), need_ledger=True)
    click.echo("resumed" if document["was_paused"] else "it was not paused")
    if not running:
        click.echo("syncd: not running", err=True)
