"""`syncd files`: every file that the ledger knows, or those that stand somewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from syncd.cli.asking import configured
from syncd.cli.listing import Pages, tell_json
from syncd.cli.options import config_option
from syncd.console.words import bytes_text, plain
from syncd.model import Standing


@click.command("files")
@config_option
@click.option(
    "--state",
    type=click.Choice([each.value for each in Standing]),
    help="Only these, as `status` counts them. [default: all but superseded and vanished]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(config_file: Path, state: str | None, as_json: bool) -> None:
    """List the files that syncd knows, and how far each one is.

    Oldest first. Asks the running daemon; without one it reads the ledger and says that syncd is not running.
    """
    standing = None if state is None else Standing(state)
    pages = Pages(configured(config_file), "files", lambda view, at: view.files(standing, int(at or 0)))
    if as_json:
        tell_json("files", pages)
    else:
        for file in pages:
            click.echo(plain(_line(file)))
    if not pages.running:
        click.echo("syncd: not running", err=True)


def _line(file: dict[str, Any]) -> str:
    parked = file["parked_reason"]
    state = file["state"] if parked is None else "parked"
    return f"{state:<11} {bytes_text(file['size']):>9}  {file['path']}{_detail(file)}"


def _detail(file: dict[str, Any]) -> str:
    """What else is worth a line's end: how far it is, why it is parked, when it is tried again."""
    details = []
    if file["state"] not in {"verified", "done"} and 0 < file["sent"] < file["size"]:
        details.append(f"{100 * file['sent'] // file['size']} % sent")
    if file["parked_reason"] is not None:
        details.append(file["parked_reason"])
    elif file["not_before"] is not None:
        details.append(f"next try at {file['not_before']}")
    return f"  ({'; '.join(details)})" if details else ""
