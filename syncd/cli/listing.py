"""Answers that may be long: asked for page by page, told entry by entry, so that memory has a bound."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.asking import Answer, ask

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.console.server import View


class Pages:
    """Every entry of `name` in the pages that a question gives; `running`: whether a daemon answered last."""

    def __init__(self, config: Config, name: str, question: Callable[[View, str | None], Answer]) -> None:
        self._config = config
        self._name = name
        self._question = question
        self.running = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        at: str | None = None
        while True:
            page = self._page(at)
            yield from page[self._name]
            at = page["next"]
            if at is None:
                return

    def _page(self, at: str | None) -> Answer:
        self.running, page = ask(self._config, lambda view: self._question(view, at))
        return page


def tell_json(
    name: str, entries: Iterable[dict[str, Any]], rest: Callable[[], dict[str, Any]] = dict
) -> None:
    """One JSON document with the entries as a list, and then the rest. It is whole also where they break off.

    `complete` says whether they did. Before the first entry is there nothing is told.
    """
    complete, begun = False, False
    try:
        for entry in entries:
            click.echo(f"{',' if begun else _opening(name)}\n{json.dumps(entry)}", nl=False)
            begun = True
        complete = True
    finally:
        if begun or complete:
            closing = {**(rest() if complete else {}), "complete": complete}
            opening = "" if begun else _opening(name)
            click.echo(f"{opening}\n], {json.dumps(closing)[1:]}")


def _opening(name: str) -> str:
    return f"{{{json.dumps(name)}: ["
