"""Bars for what is on its way: one for each file in flight, one for all of them. On a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import click

from syncd.console.words import bytes_text, path_text, span_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from syncd.act.board import Board
    from syncd.act.board import Progress as Flight
    from syncd.ports import Clock, Ledger

_LONGEST_NAME = 40


class Tally(Protocol):
    """How many files there are, and how many of them are done."""

    @property
    def done(self) -> int:
        """Done so far."""
        ...

    @property
    def total(self) -> int:
        """All that were taken on."""
        ...


def terminal() -> Console | None:
    """Where bars can be drawn: stderr, else stdout, if that is a terminal."""
    for stream in (sys.stderr, sys.stdout):
        if stream.isatty():
            from rich.console import Console  # noqa: PLC0415 - off a terminal nobody needs it

            return Console(file=stream)
    return None


class Bars:
    """A context in which `draw` redraws; without a terminal it does nothing. Lines logged meanwhile go above the bars."""

    def __init__(self, console: Console | None) -> None:
        self._progress = _progress(console) if console is not None else None
        self._flights: dict[int, TaskID] = {}
        self._all: TaskID | None = None
        self._names: dict[int, str] = {}
        self._board: Board | None = None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    @property
    def has_bars(self) -> bool:
        """Whether anything is drawn."""
        return self._progress is not None

    def watch(self, board: Board, ledger: Ledger, clock: Clock, tally: Tally) -> None:
        """From now on show these."""
        self._board, self._ledger, self._clock, self._tally = board, ledger, clock, tally

    def say(self, line: str) -> None:
        """One line on stdout, above the bars."""
        if self._progress is not None and sys.stdout.isatty():
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line)

    def draw(self) -> None:
        """Show how things stand now."""
        if self._progress is not None and self._board is not None:
            self._draw_all(self._progress)
            self._draw_flights(self._progress, self._board.live())
            self._progress.refresh()

    def _draw_all(self, progress: Progress) -> None:
        done, total = self._tally.done, self._tally.total
        if self._all is None:
            self._all = progress.add_task("all files", total=None, amount="", pace="")
        progress.update(self._all, completed=done, total=total or None, amount=f"{done} of {total} files")

    def _draw_flights(self, progress: Progress, flights: list[Flight]) -> None:
        for gone in self._flights.keys() - {flight.transfer for flight in flights}:
            progress.remove_task(self._flights.pop(gone))
            self._names.pop(gone, None)
        for flight in flights:
            if flight.transfer not in self._flights:
                self._flights[flight.transfer] = progress.add_task(
                    self._name(flight.transfer), amount="", pace=""
                )
            progress.update(
                self._flights[flight.transfer],
                completed=flight.sent,
                total=max(flight.size, 1),
                amount=f"{bytes_text(flight.sent)} of {bytes_text(flight.size)}",
                pace=_pace(flight, self._clock.monotonic()),
            )

    def _name(self, transfer: int) -> str:
        row = self._ledger.get(transfer)
        name = path_text(row.path) if row is not None else "?"
        return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


def _pace(flight: Flight, now: float) -> str:
    pace = flight.bytes_per_second(now)
    if pace is None:
        return ""
    return f"{bytes_text(pace)}/s, {span_text((flight.size - flight.sent) / pace)} left"


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415 - as above

    def column(template: str) -> TextColumn:
        return TextColumn(template, markup=False)

    return Progress(
        column("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        column("{task.fields[amount]}"),
        column("{task.fields[pace]}"),
        console=console,
        auto_refresh=False,  # drawn by the one who asks `finished`: no thread more
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
        transient=True,
    )
