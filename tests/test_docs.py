"""What the pages say is what the program does: states, commands, verbs."""

from __future__ import annotations

import re
from pathlib import Path

from syncd.cli.group import VERBS
from syncd.config.meaning import DEFAULTS, MEANING
from syncd.config.schema import json_schema, key_table, keys_of
from syncd.decide.findings import Check
from syncd.decide.troubles import Trouble, here, servers
from syncd.model import State

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_picture_of_a_files_life_shows_every_state() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text("utf-8")
    picture = re.search(r"## A file's life\n\n```\n(.*?)```", page, re.DOTALL)
    assert picture is not None
    for state in State:
        assert re.search(rf"\b{state}\b", picture[1]), f"{state} is not in the picture"


def test_the_readme_names_every_verb_and_no_other() -> None:
    table = set(re.findall(r"^\| `syncd ([a-z-]+)", README, re.MULTILINE))
    assert table == set(VERBS)


def test_what_make_does_stands_in_the_readme_for_those_without_make() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for line in ("-m venv .venv", ".venv/bin/syncd demo", ".venv/bin/pytest", ".venv/bin/mypy"):
        assert line in makefile
        assert line in README
    for extra in ("--editable .", "--editable '.[dev]'"):
        assert extra in makefile
        assert extra in README


def test_the_example_configuration_is_named_where_an_operator_looks() -> None:
    assert (ROOT / "config.example.yaml").is_file()
    assert "config.example.yaml" in README


def test_every_test_that_the_page_about_reliability_names_is_there() -> None:
    page = (ROOT / "docs" / "RELIABILITY.md").read_text("utf-8")
    named = set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page))
    assert len(named) > 80
    for path, name in sorted(named):
        text = (ROOT / path).read_text("utf-8")
        assert f"def {name}(" in text or not name, f"{path}::{name} is not there"
    rows = re.findall(r"^\| ([SKDWPX]\d+[a-z]?) \| .* \| (.*) \|$", page, re.MULTILINE)
    last = {"S": 31, "K": 13, "D": 11, "W": 27, "P": 9, "X": 11}
    wanted = {f"{kind}{number}" for kind, count in last.items() for number in range(1, count + 1)}
    assert sorted(row for row, _ in rows) == sorted(wanted | {"W1b", "W2b", "W5b", "W5c"})
    assert not [row for row, tests in rows if "tests/" not in tests and "kind *" not in tests]


def test_the_page_of_keys_is_the_model_and_every_key_has_a_meaning() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    table = re.search(r"^\| Key \| Default .*?\n(?=\n)", page, re.DOTALL | re.MULTILINE)
    assert table is not None
    assert table[0] == key_table(), "put what `syncd schema --markdown` prints into docs/configuration.md"
    schema = json_schema()
    paths = {path for path, _ in keys_of(schema, schema["properties"])}
    above = {path.rpartition(".")[0].removesuffix("[]") for path in paths}
    assert paths - above <= set(MEANING) <= paths
    assert set(DEFAULTS) <= paths


def test_the_page_for_operators_knows_every_state_and_every_reason() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    told = set(re.findall(r"^\| `([a-z_]+)`", page, re.MULTILINE))
    source = "".join(path.read_text("utf-8") for path in (ROOT / "syncd").rglob("*.py"))
    codes = set(re.findall(r"(?:code=|_reason\(|_locked_out\([^)]*code=)\"([a-z_]+)\"", source))
    assert len(codes) > 15
    assert codes - told == set()
    assert {"stopped", "paused", "blocked", "working", "waiting", "idle"} <= told
    assert set(State) <= told


def test_the_page_for_operators_quotes_what_files_are_parked_for() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    parked = page.partition("## Parked files")[2].partition("\n## ")[0]
    source = "".join(path.read_text("utf-8") for path in (ROOT / "syncd").rglob("*.py"))
    said = [
        quote
        for row in re.findall(r"^\| (`.*?`) \|", parked, re.MULTILINE)
        for quote in re.findall(r"`([^`]+)`", row)
    ]
    assert len(said) > 8
    for quote in said:
        for piece in (piece.strip(" ,") for piece in quote.split("...")):
            assert piece in source or piece == "syncd ended 5 times in a row while this file was in hand", (
                piece
            )


def row_of(trouble: Trouble) -> str:
    """As the page begins it: who finds it, how bad it is, its words with `...` for names and numbers."""
    checks = ", ".join(f"`{check}`" for check in (trouble.check, *trouble.also))
    words = re.sub(r"\{\w+\}", "...", trouble.text)
    return f"| {checks} | {trouble.verdict} | {'its own words' if words == '...' else f'`{words}`'} |"


def test_the_page_for_trouble_has_a_row_for_each_finding_of_the_doctor_and_no_other() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    rows = re.findall(r"^(\| `[^|]+ \| (?:warn|fail) \| [^|]+ \|) \S[^|]+ \| \S[^|]+ \|$", page, re.MULTILINE)
    troubles = [
        each for module in (here, servers) for each in vars(module).values() if isinstance(each, Trouble)
    ]
    assert sorted(rows) == sorted(map(row_of, troubles))
    found = {check for trouble in troubles for check in (trouble.check, *trouble.also)}
    assert found == set(Check)
