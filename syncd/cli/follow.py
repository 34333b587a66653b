"""`syncd status --follow`: the status as it changes. Bars on a terminal; elsewhere one line for each change of the first one."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.status import COLOURS, FOLDERS, TRANSFERS, drawn, folder_row, lines, transfer_row
from syncd.console.headline import headline
from syncd.console.words import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from syncd.config import Config

EVERY_S = 1.0
BAR = 24


def follow_status(config: Config) -> int:
    """Until Ctrl-C (0) or until no daemon runs (1)."""
    show = _live if sys.stdout.isatty() else _told
    try:
        show(_documents(config))
    except KeyboardInterrupt:
        return 0
    click.echo("syncd: not running", err=True)
    return 1


def _documents(config: Config) -> Iterator[dict[str, Any]]:
    """One about every second while a daemon answers; a daemon that is busy for a moment is waited for."""
    from syncd.adapters.clock import SystemClock  # noqa: PLC0415 - keeps `--help` free of it
    from syncd.console.client import Client, NotRunning  # noqa: PLC0415

    client, pause, clock = Client(config.socket), threading.Event(), SystemClock()
    with _remembered_interrupt() as pressed:
        while not pressed:
            try:
                document = client.status()
            except NotRunning:
                return
            yield document
            clock.wait(pause, EVERY_S)
        raise KeyboardInterrupt


@contextmanager
def _remembered_interrupt() -> Iterator[list[int]]:
    """Ctrl-C raises as ever, and is in the list too: raised within a destructor it is swallowed."""
    pressed: list[int] = []

    def press(number: int, _frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, former)


def _told(documents: Iterator[dict[str, Any]]) -> None:
    before = None
    for document in documents:
        line = headline(document)
        if line != before:
            click.echo(plain(line))
            sys.stdout.flush()
        before = line


def _live(documents: Iterator[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where it is seen
    from rich.live import Live  # noqa: PLC0415

    with Live(console=Console(), auto_refresh=False) as screen:
        for document in documents:
            screen.update(picture(document), refresh=True)


def picture(document: dict[str, Any]) -> RenderableType:
    """The status with a bar for each file on its way."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = [
        Text(plain(headline(document)), style=f"bold {COLOURS.get(document['state'], '')}"),
        *(Text(plain(line)) for line in lines(document)),
        drawn(FOLDERS, [_plain(folder_row(folder)) for folder in document["folders"]]),
    ]
    flying = document["transfers"]
    if flying:
        parts.append(drawn(("", *TRANSFERS), [[_bar(each), *_plain(transfer_row(each))] for each in flying]))
    hidden = document["transfers_total"] - len(flying)
    if hidden > 0:
        parts.append(Text(f"and {hidden} more on their way"))
    return Group(*parts)


def _plain(cells: tuple[str, ...]) -> list[str]:
    return [plain(cell) for cell in cells]


def _bar(transfer: dict[str, Any]) -> RenderableType:
    from rich.progress_bar import ProgressBar  # noqa: PLC0415

    return ProgressBar(total=max(transfer["size"], 1), completed=transfer["sent"], width=BAR)
