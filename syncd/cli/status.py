"""`syncd status`: the status document for people, or as it is with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.asking import ask, configured
from syncd.cli.options import config_option
from syncd.console.headline import headline
from syncd.console.words import bytes_text, plain, span_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Document = dict[str, Any]

COLOURS = {
    "idle": "green",
    "working": "green",
    "waiting": "yellow",
    "paused": "yellow",
    "blocked": "red",
    "stopped": "red",
}
FOLDERS = ("folder", "state", "files", "free", "watch", "last scan", "path")
TRANSFERS = ("on its way", "of", "parts", "pace", "left", "path")


@click.command("status")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
@click.option("--follow", is_flag=True, help="Show it live until Ctrl-C or the daemon's end.")
def command(config_file: Path, as_json: bool, follow: bool) -> int:
    """Show what the daemon does, what waits, and why.

    Asks the running daemon. Without one it reads the ledger, says that syncd is not running, and ends with 1. With
    --follow a terminal shows bars and numbers live; elsewhere a line is told whenever the first line changes.
    """
    if follow and as_json:
        raise click.UsageError("--json is one document, --follow has no end: choose one")
    if follow:
        from syncd.cli.follow import follow_status  # noqa: PLC0415 - only where it is asked for

        return follow_status(configured(config_file))
    running, document = ask(configured(config_file), lambda view: view.status())
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document)
    if not running:
        click.echo("syncd: not running", err=True)
    return 0 if running else 1


def _show(document: Document) -> None:
    click.secho(plain(headline(document)), fg=COLOURS.get(document["state"]), bold=True)
    for line in lines(document):
        click.echo(plain(line))
    _table(FOLDERS, [folder_row(folder) for folder in document["folders"]])
    transfers = [transfer_row(transfer) for transfer in document["transfers"]]
    if transfers:
        _table(TRANSFERS, transfers)
    hidden = document["transfers_total"] - len(transfers)
    if hidden > 0:
        click.echo(f"and {hidden} more on their way")


# -- what follows


def lines(document: Document) -> Iterator[str]:
    """Reasons with their hints, then the numbers."""
    for reason in document["reasons"]:
        since = f" (since {_short(reason['since'])})" if reason["since"] else ""
        yield f"  {reason['code']}: {reason['text']}{since}"
        if reason["hint"]:
            yield f"    hint: {reason['hint']}"
    counts, totals = document["counts"], document["bytes"]
    standing = [f"{count:,} {name}" for name, count in counts.items() if count and name != "pending"]
    yield f"  files        {', '.join(standing) or 'none seen yet'}"
    resent = f", {bytes_text(totals['resent_total'])} of it again" if totals["resent_total"] else ""
    last = f", last success {_short(document['last_success_at'])}" if document["last_success_at"] else ""
    yield f"  sent         {bytes_text(totals['sent_total'])} so far{resent}{last}"
    yield f"  credentials  {_credentials(document['credentials'])}"
    offset = document["clock_offset_s"]
    if offset is not None and abs(offset) >= 1:
        yield f"  clock        {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the server's"
    if document["possible_orphans"]:
        yield f"  orphans      {document['possible_orphans']} uploads may have been left open by crashes"


def _credentials(credentials: Document) -> str:
    until = f" until {_short(credentials['expires_at'])}" if credentials["expires_at"] else ""
    return f"{credentials['state']}{until}, from {credentials['source']}"


def _short(moment: str | None) -> str:
    """To the second; with how long ago or ahead would be nicer, but a piped line must stay true when it is read."""
    if moment is None:
        return "-"
    try:
        return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return moment


def folder_row(folder: Document) -> tuple[str, ...]:
    """A line of the table of folders."""
    free = folder["free_bytes"]
    return (
        folder["name"],
        folder["state"],
        f"{folder['files']:,}",
        "-" if free is None else bytes_text(free),
        folder["watch"] or "-",
        _short(folder["last_scan_at"]),
        folder["path"],
    )


def transfer_row(transfer: Document) -> tuple[str, ...]:
    """A line of the table of what is on its way."""
    size, sent = transfer["size"], transfer["sent"]
    pace, left = transfer["bytes_per_s"], transfer["eta_s"]
    return (
        f"{100 * sent // size if size else 0} %",
        bytes_text(size),
        f"{transfer['parts_done']}/{transfer['parts_total']}",
        "-" if pace is None else f"{bytes_text(pace)}/s",
        "-" if left is None else span_text(left),
        transfer["path"],
    )


# -- columns


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns for the eye: drawn by rich on a terminal, plain text elsewhere."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(header, cells)
        return
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for row in (header, *cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(f"  {line}".rstrip())


def _drawn(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where it is seen

    Console().print(drawn(header, rows))


def drawn(header: Sequence[str], rows: Sequence[Sequence[RenderableType]]) -> Table:
    """A table for a terminal; a name in brackets is no markup."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - only where it is seen
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in header:  # the path, which stands last, takes what is left, and as many lines as it needs
        table.add_column(name, overflow="fold", no_wrap=name != header[-1])
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return table
