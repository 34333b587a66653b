"""`syncd retry`: another chance for files that are parked or wait for their next try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from syncd.cli.asking import absolute, configured, step_in
from syncd.cli.options import complete_path, config_option
from syncd.console.words import plain


@click.command("retry")
@config_option
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=complete_path)
@click.option(
    "--all", "everything", is_flag=True, help="All files that are parked or wait for their next try."
)
@click.option(
    "--replan", is_flag=True, help="Plan anew what is planned: key, part size and checksum of today."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(config_file: Path, paths: tuple[str, ...], everything: bool, replan: bool, as_json: bool) -> int:
    """Take up files again that were set aside.

    One PATH or more, or --all. Parked files get another chance, files that wait for their next try are due now. What is planned keeps its plan,
    also when the configuration has changed since; --replan gives it another: an upload that is open is aborted, and what
    it has sent is sent again. Works without a daemon too. Ends with 1 when a PATH is unknown or neither parked nor
    waiting.
    """
    if everything == bool(paths):
        raise click.UsageError("give one PATH or more, or --all")
    where = None if everything else [absolute(path) for path in paths]
    _, document = step_in(configured(config_file), lambda view: view.retry(where, replan=replan))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document)
    return 1 if document["left"] and not everything else 0


def _show(document: dict[str, Any]) -> None:
    for outcome in document["paths"]:
        click.echo(plain(f"{outcome['path']}: {outcome['text']}"))
    hidden = document["retried"] + document["left"] - len(document["paths"])
    if hidden > 0:
        click.echo(f"and {hidden:,} more")
    if not document["paths"]:
        click.echo("nothing is parked, and nothing waits for its next try")
