"""The example that operators copy: it loads, it is complete, and it shows the defaults as they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.config import Config, Surroundings, load
from syncd.config.loading import SECTIONS
from syncd.config.read import parse

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"
OWN = {"device", "url", "bucket", "region", "path", "name"}


@pytest.fixture
def at_etc(surroundings: Surroundings) -> Surroundings:
    """A machine where $CREDENTIALS_DIRECTORY/token is the token file that the example names."""
    return dataclasses.replace(
        surroundings, environ={**surroundings.environ, "CREDENTIALS_DIRECTORY": "/etc/syncd"}
    )


def without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_own(inner) for key, inner in value.items() if key not in OWN}
    if isinstance(value, (list, tuple)):
        return [without_own(item) for item in value]
    return value


def test_the_example_without_its_own_six_keys_is_the_defaults(
    read: Callable[..., Config], written: Callable[[dict[str, str]], str], at_etc: Surroundings
) -> None:
    defaults = read(written({"credentials.api.token_file": "null"}), at_etc)
    example = load(EXAMPLE, at_etc)
    assert without_own(example.model_dump()) == without_own(defaults.model_dump())


def test_the_example_loads_also_where_nothing_is_set() -> None:
    bare = Surroundings(environ={}, host_name="---", home=Path("/h"))
    assert load(EXAMPLE, bare).device == "cam-07"


def shapes(value: Any, shape: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    if isinstance(value, dict):
        yield shape, set(value)
        for key, inner in value.items():
            yield from shapes(inner, (*shape, key))
    elif isinstance(value, list):
        for item in value:
            yield from shapes(item, shape)


def test_the_example_shows_every_key_that_works() -> None:
    shown = {shape: names for shape, names in shapes(parse(EXAMPLE.read_bytes()).data) if names}
    one_word = ("folders", "after_upload")  # `keep`; the comment beside it shows its longer forms
    instead = ("credentials", "chain")  # of api; a comment shows it
    shown["credentials",] |= {"chain"}
    assert shown == {
        shape: set(names)
        for shape, names in SECTIONS.items()
        if shape[: len(one_word)] != one_word and shape != instead
    }


def test_every_value_in_the_example_has_a_word_of_why() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    silent = [line for line in lines if "#" not in line and not line.rstrip().endswith(":")]
    assert silent == []


def test_the_page_about_configuration_names_every_key_and_every_default() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for shape, names in SECTIONS.items():
        for name in names:
            key = ".".join((*shape, name)).replace("folders.", "folders[].")
            if (*shape, name) not in SECTIONS:
                assert f"| `{key}` |" in page
