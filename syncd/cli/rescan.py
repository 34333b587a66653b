"""`syncd rescan`: look through every folder now."""

from __future__ import annotations

from pathlib import Path

import click

from syncd.cli.asking import configured
from syncd.cli.options import config_option
from syncd.console.words import plain


@click.command("rescan")
@config_option
def command(config_file: Path) -> None:
    """Scan every folder now.

    Does not wait for the scans. Ends with 1 when syncd is not running: at its start it scans every folder anyway.
    """
    from syncd.console.client import Client  # noqa: PLC0415 - keeps `--help` free of it

    document = Client(configured(config_file).socket).rescan()
    for folder in document["folders"]:
        how = "is scanned now" if folder["reason"] is None else f"waits: {folder['reason']}"
        click.echo(plain(f"{folder['name']}: {how}"))
