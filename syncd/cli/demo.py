"""`syncd demo`: the whole thing on this machine, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from syncd.cli.options import Size
from syncd.signals import hold_signals

RECORDING: Final = 200_000_000
PACE: Final = 2_500_000


@click.command("demo")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where everything goes. A second demo in the same directory goes on there. [default: a fresh one]",
)
@click.option("--once", is_flag=True, help="End when the recording has arrived, and remove what was made.")
@click.option("--size", type=Size(), default=RECORDING, hidden=True)
@click.option(
    "--pace", type=Size(), default=PACE, hidden=True, help="Bytes per second; 0B: as fast as it goes."
)
def command(directory: Path | None, once: bool, size: int, pace: int) -> int:
    """See it all work on this machine: a local store, a recording, an upload.

    Starts a strict S3 and STS of its own, a credential API and the daemon, lets a camera write a recording of 200 MB, and
    uploads it over a slow link with credentials that live a minute. Needs no account, no network and no root.
    """
    hold_signals()
    from syncd.cli.progress import Bars, terminal  # noqa: PLC0415 - `--help` needs none of this
    from syncd.demo.run import Wish, run_demo  # noqa: PLC0415

    with Bars(terminal()) as bars:
        return run_demo(Wish(directory=directory, once=once, size=max(size, 1), pace=pace or None), bars)
