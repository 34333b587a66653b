"""Join what the reader, the model and the rules have to say into one list of mistakes, each with its place.

Refuses to stop at the first one, and to show a value.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from syncd.config import read
from syncd.config.model import Config
from syncd.config.read import Document, Place, Problem, key_text
from syncd.config.rules import broken_between_keys
from syncd.config.scalars import what_is
from syncd.config.surroundings import Surroundings
from syncd.errors import ConfigError

# `bukcet` is bucket (0.83), but `retention` is not destination (0.70).
_ALIKE: Final = 0.75
# What pydantic puts behind the place of an entry in a mapping whose name is wrong.
_NAME_OF_ENTRY: Final = "[key]"


def load(path: Path, surroundings: Surroundings | None = None) -> Config:
    """The configuration in a file. Raises ConfigError with every mistake as `FILE:LINE:COL: KEY: what, expected`."""
    document = read.read(path)
    config, problems = judge(document, surroundings or Surroundings.from_system())
    if config is None:
        raise ConfigError([f"{path}:{line}:{column}: {key}: {text}" for line, column, key, text in problems])
    return config


def judge(
    document: Document, surroundings: Surroundings
) -> tuple[Config | None, list[tuple[int, int, str, str]]]:
    """The configuration, or None and every mistake in the order of the file as (line, column, key, sentence)."""
    problems = list(document.problems)
    config = None
    if not document.is_spoiled(()):
        try:
            config = Config.model_validate(document.data, context=surroundings)
        except ValidationError as error:
            problems += _problems_of_model(document, error)
        for place, text in broken_between_keys(document.data, surroundings):
            problems.append(_problem(document, place, text))
    found = sorted({(*problem.mark, problem.key, problem.text) for problem in problems})
    return (None if found else config), found


def _problem(document: Document, place: Place, text: str) -> Problem:
    return Problem(document.mark(place), key_text(place), text)


def _problems_of_model(document: Document, error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False, include_input=False):
        place: Place = detail["loc"]
        if place[-1:] == (_NAME_OF_ENTRY,):
            place = place[:-1]
        if not document.is_spoiled(place):
            yield _problem(document, place, _sentence(document.data, place, detail["type"], detail))


def _sentence(data: dict[str, Any], place: Place, kind: str, detail: Any) -> str:
    match kind:
        case "extra_forbidden":
            return _unknown_key(place)
        case "missing":
            return "is missing, expected it here: it has no default"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "model_type":
            return (
                f"{what_is(_at(data, place))}, expected keys below it: {', '.join(SECTIONS[_shape(place)])}"
            )
        case "tuple_type":
            return f"{what_is(_at(data, place))}, expected a list"
        case _:
            return str(detail["msg"])


def _at(data: Any, place: Place) -> Any:
    for step in place:
        data = data[step]
    return data


def _shape(place: Place) -> tuple[str, ...]:
    """A place without its list indices: which kind of section it is."""
    return tuple(step for step in place if isinstance(step, str))


def _sections(
    model: type[BaseModel], shape: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every section of the tree with the names of its keys."""
    yield shape, list(model.model_fields)
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _sections(kind, (*shape, name))


SECTIONS: Final = dict(_sections(Config))


def _unknown_key(place: Place) -> str:
    *above, name = _shape(place)
    here = SECTIONS[tuple(above)]
    close = difflib.get_close_matches(name[:100], here, n=1, cutoff=_ALIKE)
    if close:
        return f"unknown key, did you mean {close[0]}?"
    elsewhere = [".".join((*shape, name)) for shape, names in SECTIONS.items() if name in names]
    if elsewhere:
        return f"unknown key here, did you mean {' or '.join(elsewhere)}?"
    return f"unknown key, expected one of {', '.join(here)}"
