"""From the facts to the page: one template, in which every piece of text is made plain before it is escaped.

A file's name may hold anything: markup, quotes, marks that turn the reading direction. Nothing that a template prints
comes past `plain`, because the template cannot print otherwise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from syncd.console.facts import Readings
from syncd.console.headline import Document, opening, pending, weightiest
from syncd.console.page import chart
from syncd.console.page.history import LONGEST_WORD, Page
from syncd.console.status import moment, remaining_s
from syncd.console.words import bytes_text, path_text, plain, shell_word, span_text
from syncd.decide.words import files


def static(name: str) -> bytes:
    """A file that comes with the page."""
    return resources.files("syncd.console.page").joinpath("static", name).read_bytes()


def drawn(readings: Readings, document: Document, history: Page) -> str:
    """The page as HTML."""
    return _template().render(
        document=document,
        opening=opening(document),
        pending=pending(document),
        reason=weightiest(document),
        readings=readings,
        status=readings.status,
        now=readings.status.now,
        remaining_s=remaining_s(readings.status),
        history=history,
        longest_word=LONGEST_WORD,
        chart=chart,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(lambda name: static(name).decode("utf-8")),
        autoescape=True,
        finalize=_finished,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": bytes_text,
        "span": span_text,
        "files": files,
        "path": path_text,
        "shell": shell_word,
        "when": _when,
        "moment": moment,
        "ago": _ago,
        "count": lambda number: f"{number:,}",
    }
    return environment.get_template("page.html")


def _finished(value: Any) -> Any:
    """Whatever the template prints passes here: text is made plain, our own markup stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _when(at: float | str | None) -> str:
    """To the second, in UTC; `never` for none. Takes seconds since the epoch, or a moment of the status document."""
    if at is None:
        return "never"
    text = at if isinstance(at, str) else moment(at)
    if text is None:
        return "unknown"
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ago(at: float | None, now: float) -> str:
    return "not yet" if at is None else f"{span_text(max(now - at, 0.0))} ago"
