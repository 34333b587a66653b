"""Leafing through history by the address alone: what was asked for, and where the next and the former page are. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from syncd.model import Happening, Happenings

PAGE = 100
LONGEST_WORD = 200


@dataclass(frozen=True, slots=True)
class Leaf:
    """Which lines are asked for: those before a line, those after one, or the newest; `word`: only of paths that hold it."""

    word: str = ""
    before: int | None = None
    after: int | None = None

    @property
    def newest(self) -> bool:
        """Whether it is what a visitor sees who has asked for nothing."""
        return self == Leaf()

    def address(self, **place: int) -> str:
        """The address of another page of the same search."""
        return "?" + urlencode({**({"q": self.word} if self.word else {}), **place}) + "#history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Lines to show, newest first, with the addresses of what lies around; `searched`: more may be found further back."""

    leaf: Leaf
    lines: tuple[Happening, ...]
    older: str | None
    newer: str | None
    searched: bool


def leaf_of(query: Mapping[str, str]) -> Leaf | None:
    """What the address asks for; None where it makes no sense."""
    places = {name: query[name] for name in ("before", "after") if query.get(name)}
    if not all(re.fullmatch("[0-9]{1,18}", place) for place in places.values()):
        return None
    numbers = {name: int(place) for name, place in places.items()}
    return Leaf(query.get("q", "").strip()[:LONGEST_WORD], **numbers)


def page_of(leaf: Leaf, found: Happenings) -> Page:
    """What the ledger gave, as a page."""
    lines, end = found.lines, found.looked_at
    older, newer = (
        (end, _first(lines, leaf.before)) if leaf.after is None else (_last(lines, leaf.after), end)
    )
    return Page(
        leaf=leaf,
        lines=lines,
        older=None if older is None else leaf.address(before=older),
        newer=None if newer is None else leaf.address(after=newer),
        searched=bool(leaf.word) and len(lines) < PAGE and end is not None,
    )


def _first(lines: tuple[Happening, ...], before: int | None) -> int | None:
    """What the newer page comes after; None where the newest one is shown."""
    return None if before is None else lines[0].id if lines else before - 1


def _last(lines: tuple[Happening, ...], after: int) -> int:
    """What the older page comes before."""
    return lines[-1].id if lines else after + 1
