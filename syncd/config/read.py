"""From a YAML file to plain data, strictly, with the line and column of every key: the only user of yaml.

YAML can do much that a configuration must not: aliases that explode, keys that come twice, words that turn into
booleans or minutes. All of that is refused here, each with its place. What a bare word means is left to the model,
which knows where text is meant: `true`, `false`, `null` and whole decimal numbers become values, other words that
YAML 1.1 would turn into something come as `Unquoted`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from syncd.config.scalars import Unquoted
from syncd.errors import ConfigError

SIZE_LIMIT: Final = 2**20
DEPTH_LIMIT: Final = 50
# The key that a mistake of the file as a whole is filed under.
YAML_ITSELF: Final = "YAML"
_KEY_SHOWN: Final = 60

Place = tuple[str | int, ...]
Mark = tuple[int, int]  # line and column, both from 1

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_KINDS: Final = {
    "bool": "boolean",
    "int": "number",
    "float": "number",
    "timestamp": "date",
    "null": "null",
    "merge": "merge key",
    "value": "default key",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: where it is, which key it is about, and a sentence."""

    mark: Mark
    key: str
    text: str


@dataclass(slots=True)
class Document:
    """What was read. `spoiled`: places whose value was refused here, about which nobody else should complain."""

    data: dict[str, Any] = field(default_factory=dict)
    marks: dict[Place, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    spoiled: set[Place] = field(default_factory=set)

    def mark(self, place: Place) -> Mark:
        """Where the key stands, else the nearest key that holds it, else the top of the file."""
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks.get(place, (1, 1))

    def is_spoiled(self, place: Place) -> bool:
        """Whether the value here, or one that holds it, was already refused."""
        return any(place[:length] in self.spoiled for length in range(len(place) + 1))


def key_text(place: Place) -> str:
    """A place as an operator writes it: `folders[0].complete_when.quiet`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{_legible(step)}" if text else _legible(step)
    return text or YAML_ITSELF


def _legible(key: str) -> str:
    """A key that cannot paint the terminal or fill it."""
    shown = key if len(key) <= _KEY_SHOWN else key[:_KEY_SHOWN] + "..."
    return shown if shown.isprintable() and shown else ascii(shown)


def read(path: Path) -> Document:
    """Read the file. Raises ConfigError where it cannot be read at all; everything else is in `problems`."""
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        reason = error.strerror or "it is not readable"
        raise ConfigError(
            [f"{path}: cannot be read: {reason}; name the file with -c FILE or $SYNCD_CONFIG"]
        ) from None
    return parse(raw)


def parse(raw: bytes) -> Document:
    """Take the bytes of a configuration file apart. Never raises: all that is wrong is in `problems`."""
    document = Document()
    if len(raw) > SIZE_LIMIT:
        return _unreadable(document, (1, 1), "is larger than 1 MiB, expected a configuration file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _mark_at(raw[: error.start].decode("utf-8", "replace"))
        return _unreadable(document, mark, "is not UTF-8 here, expected the file in UTF-8")
    try:
        _compose(text, document)
    except yaml.reader.ReaderError as error:
        mark = _mark_at(text[: error.position])
        return _unreadable(document, mark, "holds a control character, expected plain text")
    except yaml.MarkedYAMLError as error:
        return _unreadable(document, _start(error.problem_mark or error.context_mark), _syntax(error))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return _unreadable(document, (1, 1), f"cannot be read as YAML ({type(error).__name__})")
    return document


def _unreadable(document: Document, mark: Mark, text: str) -> Document:
    document.data = {}
    document.spoiled.add(())
    document.problems.append(Problem(mark, YAML_ITSELF, text))
    return document


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words without its excerpt of the file, which could show a secret."""
    words = ", ".join(part for part in (error.context, error.problem) if part)
    if "tag" in words:
        return "uses a YAML tag or directive, expected plain values"
    return f"cannot be read as YAML: {words}; expected `key: value` (values that begin with one of * & ! % @ {{ [ in quotes)"


def _mark_at(before: str) -> Mark:
    lines = re.split(r"\r\n|\r|\n", before)
    return len(lines), len(lines[-1]) + 1


def _start(mark: yaml.Mark | None) -> Mark:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _TooDeep(yaml.MarkedYAMLError):
    """The nesting is beyond what any configuration has; found before Python's own stack ends."""


class _Loader(yaml.SafeLoader):
    """PyYAML's composer, except that it takes no alias, no anchor and no deep nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.refused: dict[int, str] = {}  # by id(node); the nodes live as long as the tree

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """One node; an alias becomes an empty one that is marked as refused."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
            mark: Any = event.start_mark
            node: Node | None = ScalarNode("", "", mark, mark)
            self.refused[id(node)] = "is a YAML alias, expected a value (in quotes if it begins with *)"
            return node
        anchored = event.anchor is not None
        event.anchor = None
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise _TooDeep(problem=f"nested deeper than {DEPTH_LIMIT} levels", problem_mark=event.start_mark)
        tagged = getattr(event, "tag", None) is not None
        node = super().compose_node(parent, index)
        self.depth -= 1
        if anchored:
            self.refused[id(node)] = "has a YAML anchor, expected a value (in quotes if it begins with &)"
        elif tagged:
            self.refused[id(node)] = "has a YAML tag, expected a value (in quotes if it begins with !)"
        return node


def _compose(text: str, document: Document) -> None:
    loader = _Loader(text)
    root = loader.get_node() if loader.check_node() else None
    if loader.check_node():
        second: Any = loader.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        problem = "begins a second YAML document, expected one"
        document.problems.append(Problem(_start(second.start_mark), YAML_ITSELF, problem))
    _Walk(document, loader.refused).root(root)


@dataclass(frozen=True, slots=True)
class _Walk:
    """From composed nodes to plain data, noting places and mistakes on the way."""

    document: Document
    refused: dict[int, str]

    def root(self, node: Node | None) -> None:
        if node is None or (isinstance(node, ScalarNode) and self._scalar(node) is None):
            return  # an empty file is an empty mapping: the model says what is missing
        if isinstance(node, MappingNode):
            self.document.data = self._mapping(node, ())
            return
        _unreadable(
            self.document, _start(node.start_mark), "is no mapping, expected keys such as `device: cam-07`"
        )

    def _value(self, node: Node, place: Place) -> Any:
        self.document.marks.setdefault(place, _start(node.start_mark))
        if id(node) in self.refused:
            self._refuse(node, place, self.refused[id(node)])
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        if _has_surrogate(node.value):
            self._refuse(node, place, "holds half of a surrogate pair, expected whole characters")
        return self._scalar(node)

    def _refuse(self, node: Node, place: Place, text: str) -> None:
        self.document.problems.append(Problem(_start(node.start_mark), key_text(place), text))
        self.document.spoiled.add(place)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _start(key_node.start_mark)
            key = self._key(key_node)
            if key is None:
                text = (
                    "holds a key that is not plain text, expected a name (in quotes if it has to be this one)"
                )
                self.document.problems.append(Problem(mark, key_text(place), text))
                continue
            inner = (*place, key)
            if key in found:
                text = f"is given twice, first in line {self.document.mark(inner)[0]}, expected once"
                self.document.problems.append(Problem(mark, key_text(inner), text))
                continue
            self.document.marks[inner] = mark
            found[key] = self._value(value_node, inner)
        return found

    def _key(self, node: Node) -> str | None:
        if not isinstance(node, ScalarNode) or id(node) in self.refused or _has_surrogate(node.value):
            return None
        key = self._scalar(node)
        return key if isinstance(key, str) and not isinstance(key, Unquoted) else None

    def _scalar(self, node: Node) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool" and node.value in {"true", "false"}:
            return node.value == "true"
        if kind == "int" and _INTEGER.fullmatch(node.value):
            return int(node.value)
        return Unquoted(node.value, _KINDS[kind]) if kind in _KINDS else str(node.value)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
