"""The JSON Schema, judged by a validator that knows nothing of us: it takes what `load` takes, and refuses what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from syncd.cli import main
from syncd.config import Config
from syncd.config.loading import SECTIONS
from syncd.config.schema import json_schema
from syncd.config.units import parse_duration
from syncd.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


@pytest.fixture(scope="module")
def judge() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_verb_prints_it_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == json_schema()
    assert told.err == ""


def test_the_example_that_operators_copy_is_valid(judge: Draft202012Validator) -> None:
    assert list(judge.iter_errors(yaml.safe_load(EXAMPLE.read_text()))) == []


def sections(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    def follow(node: Any, shape: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        for part in (node, node.get("items", {}), *node.get("anyOf", [])):
            if "$ref" in part:
                found = schema["$defs"][part["$ref"].rpartition("/")[2]]
                yield shape, found["properties"]
                for name, key in found["properties"].items():
                    yield from follow(key, (*shape, name))

    yield (), schema["properties"]
    for name, key in schema["properties"].items():
        yield from follow(key, (name,))


def test_it_has_every_key_and_every_default_as_the_example_shows_it() -> None:
    known = dict(sections(json_schema()))
    assert {shape: set(keys) for shape, keys in known.items()} == {
        shape: set(names) for shape, names in SECTIONS.items()
    }
    example = yaml.safe_load(EXAMPLE.read_text())
    own = {"device", "bucket", "region", "name", "token_file", "api", "chain"}
    for shape, keys in known.items():
        place: Any = example
        for step in shape:
            place = place.get(step) if isinstance(place, dict) else None
            place = place[0] if isinstance(place, list) else place
        for name, key in keys.items() if isinstance(place, dict) else ():
            if "default" in key and name not in own:
                assert as_span(key["default"]) == as_span(place[name]), (*shape, name)


def as_span(value: Any) -> Any:
    """`120s` and `2m` are the same default."""
    try:
        return parse_duration(value)
    except (TypeError, ValueError):
        return value


GOOD = [
    {},
    {"device": "null"},
    {"credentials.api.url": "http://127.0.0.1:8080/v1"},
    {"credentials.api.url": "http://localhost/v1?a=b"},
    {"credentials.api.token_file": "/a..b/..c"},
    {"destination.prefix": "''"},
    {"destination.prefix": "a/b"},
    {"destination.endpoint_url": "http://10.0.0.1:9000"},
    {"destination.checksum": "none"},
    {"folders[0].include": '["*.mp4", "a/**/b", "[!x]*", "..a"]'},
    {"folders[0].exclude": "[]"},
    {"folders[0].key": '"{prefix}{{x}}/{mtime:%Y/%m}/{stem}{suffix}"'},
    {"folders[0].complete_when.quiet": "0s"},
    {"folders[0].complete_when.quiet": "1h30m0.5s"},
    {"folders[0].complete_when.marker": '"{stem}.done"'},
    {"folders[0].complete_when.not_open": '"off"'},
    {"folders[0].after_upload": "delete"},
    {"folders[0].after_upload": "{delete: null}"},
    {"folders[0].after_upload": "{delete: {min_age: 1d}}"},
    {"folders[0].after_upload": "{move: {to: /srv/sent}}"},
    {"folders[0].priority": "-100"},
    {"upload.part_size": "5MiB"},
    {"upload.part_size": "16.5 MiB"},
    {"upload.max_rate": "2MB/s"},
    {"upload.max_rate": "null"},
    {"console.socket": "null"},
    {"console.socket": "/run/x"},
    {"console": "{}"},
    {"console.listen": "null"},
    {"console.listen": "127.8.9.10:65535"},
    {"console.listen": "localhost:80"},
    {"console.listen": '"[::1]:8384"'},
]


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_what_is_loaded_is_valid(
    judge: Draft202012Validator,
    read: Callable[..., Config],
    written: Callable[[dict[str, str]], str],
    changes: dict[str, str],
) -> None:
    text = written(changes)
    read(text)
    assert [error.message for error in judge.iter_errors(yaml.safe_load(text))] == []


BROKEN = [
    {"destination.bukcet": "b"},
    {"device": "'a b'"},
    {"device": "12"},
    {"credentials.api.url": "http://elsewhere.example/v1"},
    {"credentials.api.url": "null"},
    {"credentials.api.url": "https://a.example/#x"},
    {"credentials.api.timeout": "30"},
    {"credentials.api.timeout": "30 s"},
    {"credentials.api.timeout": "PT30S"},
    {"credentials.api.timeout": "1m1h"},
    {"credentials.api.timeout": "''"},
    {"credentials.api.ca_file": "relative.pem"},
    {"credentials.api.ca_file": "/a/../b"},
    {"destination.prefix": "/a"},
    {"destination.prefix": "a//b/"},
    {"destination.prefix": "a/../b"},
    {"destination.endpoint_url": "ftp://a"},
    {"destination.checksum": "sha1"},
    {"destination.addressing_style": "no"},
    {"folders": "[]"},
    {"folders[0].path": "srv"},
    {"folders[0].name": "a/b"},
    {"folders[0].name": "'..'"},
    {"folders[0].include": "[]"},
    {"folders[0].include": '["/a"]'},
    {"folders[0].include": '["a/../b"]'},
    {"folders[0].include": '["a/"]'},
    {"folders[0].include": '"*"'},
    {"folders[0].key": '"{nonsense}"'},
    {"folders[0].key": '"{path"'},
    {"folders[0].key": '"{mtime}"'},
    {"folders[0].complete_when.marker": '"{path}.done"'},
    {"folders[0].complete_when.marker": '"a/b"'},
    {"folders[0].complete_when.not_open": "'yes'"},
    {"folders[0].recursive": "'true'"},
    {"folders[0].priority": "101"},
    {"folders[0].priority": "1.5"},
    {"folders[0].after_upload": "burn"},
    {"folders[0].after_upload": "{}"},
    {"folders[0].after_upload": "{delete: {}, move: {to: /a}}"},
    {"folders[0].after_upload": "{move: {}}"},
    {"upload.part_size": "16"},
    {"upload.part_size": "16mib"},
    {"upload.part_size": "16777216"},
    {"upload.files": "0"},
    {"upload.max_rate": "2MB"},
    {"upload": "[]"},
    {"log.level": "loud"},
]


@pytest.mark.parametrize("changes", BROKEN, ids=str)
def test_what_is_wrong_in_itself_is_refused_by_both(
    judge: Draft202012Validator,
    read: Callable[..., Config],
    written: Callable[[dict[str, str]], str],
    changes: dict[str, str],
) -> None:
    text = (
        written(changes)
        if "folders" not in changes
        else "credentials: {api: {url: https://a.b}}\nfolders: []\n"
    )
    with pytest.raises(ConfigError):
        read(text)
    assert list(judge.iter_errors(yaml.safe_load(text)))
