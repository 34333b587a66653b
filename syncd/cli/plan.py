"""`syncd plan`: what would be done with the files that are there now, without doing any of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from syncd.cli.asking import configured
from syncd.cli.listing import Pages, tell_json
from syncd.cli.options import config_option
from syncd.console.words import bytes_text, plain

_SUMMARY = {
    "send": "to send",
    "wait": "not finished, or not to be read",
    "compare": "to be compared with what was uploaded",
    "park": "could not go as things stand",
    "parked": "parked",
    "excluded": "excluded",
    "known": "uploaded already",
}


@click.command("plan")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(config_file: Path, as_json: bool) -> None:
    """Show what would be done with the files that are there now.

    Looks through every folder by itself, writes nothing and sends nothing. Files that are uploaded as they are, are only
    counted; --json names them too. Without a daemon a prefix that only the credential API knows stands as {prefix}.
    """
    pages = Pages(configured(config_file), "files", lambda view, at: view.plan(at))
    totals = Totals(pages)
    if as_json:
        tell_json("files", totals, lambda: {"totals": totals.document()})
    else:
        for file in totals:
            if file["action"] != "known":
                click.echo(plain(_line(file)))
        click.echo(totals.sentence())
    if not pages.running:
        click.echo("syncd: not running", err=True)


class Totals:
    """Passes the files on and counts them by what would be done."""

    def __init__(self, files: Pages) -> None:
        self._files = files
        self._counts = {action: [0, 0] for action in _SUMMARY}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for file in self._files:
            count = self._counts[file["action"]]
            count[0] += 1
            count[1] += (file["size"] or 0) - (file["sent"] or 0 if file["action"] == "send" else 0)
            yield file

    def document(self) -> dict[str, Any]:
        """Files and bytes by action; of those to send the bytes that are still to go."""
        return {action: {"files": files, "bytes": size} for action, (files, size) in self._counts.items()}

    def sentence(self) -> str:
        """`2 to send (3.4 GB), 1 excluded`."""
        told = [
            f"{files:,} {_SUMMARY[action]}" + (f" ({bytes_text(size)})" if action == "send" else "")
            for action, (files, size) in self._counts.items()
            if files
        ]
        return ", ".join(told) or "no files are there"


def _line(file: dict[str, Any]) -> str:
    size = "-" if file["size"] is None else bytes_text(file["size"])
    parts = f" in {file['parts']} parts" if (file["parts"] or 1) > 1 else ""
    aim = f" -> {file['key']}{parts}" if file["action"] == "send" else ""
    return f"{file['action']:<9} {size:>9}  {file['path']}{aim}  ({file['why']})"
