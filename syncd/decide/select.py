"""Which files of a folder are meant: include and exclude patterns over paths relative to the root.

A pattern without `/` is about names: an exclude hits any component of the path (so `.*` also hides what lies in a
hidden directory), an include the file's own name. A pattern with `/` is about the whole relative path. `*` and `?`
stay within a component, `**` spans them, `[...]` is a set. Names that are not UTF-8 match by their bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

ASIDE = b".syncd-aside-"
"""How the name of a file begins that lies aside while it is deleted or moved; such a file is nobody's capture."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The patterns of one folder. `never`: paths of syncd's own that happen to lie in it (ledger, token).

    What is kept beside the ledger has its name and more: `state.db-wal`, `state.db.damaged-20270115T080000Z`.
    """

    include: tuple[str, ...] = ("**",)
    exclude: tuple[str, ...] = (".*", "*.tmp", "*.part", "*.partial", "*~")
    recursive: bool = True
    never: frozenset[bytes] = frozenset()

    def takes(self, path: bytes) -> bool:
        """Whether the file at this relative path is meant."""
        return self.exclusion(path) is None

    def descends(self, path: bytes) -> bool:
        """Whether a directory can hold files that are meant."""
        return self.recursive and not _hit(self.exclude, _text(path), names=_text(path).split("/")[-1:])

    def exclusion(self, path: bytes) -> str | None:
        """Why a file is not meant, as half a sentence; None if it is."""
        if path.rpartition(b"/")[2].startswith(ASIDE) or any(
            path == own or path.startswith((own + b"-", own + b".")) for own in self.never
        ):
            return "it is a file of syncd's own"
        text = _text(path)
        components = text.split("/")
        if len(components) > 1 and not self.recursive:
            return "it lies in a subdirectory and the folder is not recursive"
        hit = _excluding(self.exclude, components)
        if hit is not None:
            return f"the exclude pattern {hit!r} matches"
        if not _hit(self.include, text, names=components[-1:]):
            return "no include pattern matches"
        return None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _excluding(patterns: Iterable[str], components: list[str]) -> str | None:
    """The first pattern that hits the file or one of the directories above it."""
    for depth in range(1, len(components) + 1):
        hit = _hit(patterns, "/".join(components[:depth]), names=components[depth - 1 : depth])
        if hit is not None:
            return hit
    return None


def _hit(patterns: Iterable[str], text: str, *, names: list[str]) -> str | None:
    for pattern in patterns:
        subjects = [text] if "/" in pattern else names
        if any(_compiled(pattern).fullmatch(subject) for subject in subjects):
            return pattern
    return None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.strip("/") if pattern != "/" else pattern), re.DOTALL)


def translate(pattern: str) -> str:
    """The pattern as a regular expression for `fullmatch`."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        piece, at = _piece(pattern, at)
        out.append(piece)
    return "".join(out)


def _piece(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("**/", at):
        return "(?:[^/]+/)*", at + 3
    if pattern.startswith("/**", at) and at + 3 == len(pattern):
        return "(?:/.*)?", at + 3  # `a/**` is the directory a and all below it
    if pattern.startswith("**", at):
        return ".*", at + 2
    if pattern[at] == "*":
        return "[^/]*", at + 1
    if pattern[at] == "?":
        return "[^/]", at + 1
    if pattern[at] == "[":
        return _set(pattern, at)
    return re.escape(pattern[at]), at + 1


def _set(pattern: str, at: int) -> tuple[str, int]:
    first = at + 2 if pattern[at + 1 : at + 2] in {"!", "^"} else at + 1
    end = pattern.find("]", first + 1)  # a ] that comes first is a member
    if end < 0:
        return re.escape("["), at + 1
    inside = re.sub(r"([\\\[\]])", r"\\\1", pattern[at + 1 : end])
    if inside[0] in "!^":
        inside = "^/" + inside[1:]
    return f"(?:(?!/)[{inside}])", end + 1
