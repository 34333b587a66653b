"""What YAML can do and a configuration must not; and what a broken or hostile file makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from syncd.config import Config
from syncd.config.read import DEPTH_LIMIT, SIZE_LIMIT, parse
from syncd.config.scalars import Unquoted

Problems = Callable[..., list[str]]
Written = Callable[[dict[str, str]], str]
CANARY = "hunter2-canary"


def test_plain_data_comes_with_the_place_of_every_key() -> None:
    document = parse(b"a: 1\nb:\n  - c: x\n    d: [true, null]\n")
    assert document.data == {"a": 1, "b": [{"c": "x", "d": [True, None]}]}
    assert document.marks == {
        ("a",): (1, 1),
        ("b",): (2, 1),
        ("b", 0): (3, 5),
        ("b", 0, "c"): (3, 5),
        ("b", 0, "d"): (4, 5),
        ("b", 0, "d", 0): (4, 9),
        ("b", 0, "d", 1): (4, 15),
    }
    assert document.problems == []


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("123", 123),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("text", "text"),
        ('"no"', "no"),
        ("'010'", "010"),
        ("10s", "10s"),
        ("|\n  two\n  lines", "two\nlines\n"),
    ],
)
def test_a_scalar_is_what_it_looks_like(raw: str, value: object) -> None:
    (found,) = parse(f"k: {raw}\n".encode()).data.values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "raw",
    ["no", "On", "TRUE", "010", "0x1F", "0b1", "1_000", "12:30", "1.5", ".nan", "2026-01-28", "=", "+1"],
)
def test_a_word_that_yaml_would_turn_into_something_stays_as_written_and_marked(raw: str) -> None:
    found = parse(f"k: {raw}\n".encode()).data["k"]
    assert isinstance(found, Unquoted)
    assert found == raw


def test_crlf_and_a_byte_order_mark_change_nothing(
    read: Callable[..., Config], problems: Problems, written: Written
) -> None:
    text = written({})
    assert read(text.replace("\n", "\r\n")) == read("\ufeff" + text) == read(text)
    assert problems("\ufeffdevise: 1\r\n")[0].startswith("config.yaml:1:1: ")
    assert problems(written({"log.level": "loud"}).replace("\n", "\r\n")) == problems(
        written({"log.level": "loud"})
    )


def test_a_key_given_twice_is_refused_at_the_second_with_the_line_of_the_first(
    problems: Problems, written: Written
) -> None:
    text = written({}) + "log: {level: info, format: json, level: debug}\nlog: {}\n"
    assert problems(text) == [
        "config.yaml:7:34: log.level: is given twice, first in line 7, expected once",
        "config.yaml:8:1: log: is given twice, first in line 7, expected once",
    ]


def test_anchors_and_aliases_are_refused_each(problems: Problems, written: Written) -> None:
    text = written({"state": "&s /a/b", "console.socket": "*s", "folders[0].exclude": "[*tmp]"})
    assert problems(text) == [
        "config.yaml:7:15: folders[0].exclude[0]: is a YAML alias, expected a value (in quotes if it begins with *)",
        "config.yaml:8:8: state: has a YAML anchor, expected a value (in quotes if it begins with &)",
        "config.yaml:10:11: console.socket: is a YAML alias, expected a value (in quotes if it begins with *)",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "? *a\n: 1",
        "&a b: 1",
        "? [a]\n: 1",
        "? {a: b}\n: 1",
        "1: x",
        "no: x",
        "null: x",
        "<<: {a: 1}",
        "!!str a: 1",
    ],
)
def test_a_key_that_is_no_plain_name_is_refused(problems: Problems, written: Written, line: str) -> None:
    (problem,) = problems(written({}) + line + "\n")
    assert problem.startswith("config.yaml:7:")
    assert ": YAML: holds a key that is not plain text, expected a name" in problem


@pytest.mark.parametrize(
    "tag",
    [
        "!!str 010",
        "!secret x",
        "! x",
        "!!python/object/apply:os.system [true]",
        "!<tag:x> y",
        "!!binary aGk=",
    ],
)
def test_tags_are_refused_and_nothing_is_made_of_them(problems: Problems, written: Written, tag: str) -> None:
    assert problems(written({"state": tag})) == [
        "config.yaml:7:8: state: has a YAML tag, expected a value (in quotes if it begins with !)"
    ]


@pytest.mark.parametrize(
    "text", ["%TAG !x! tag:y,2000:\n---\na: !x!b c\n", "a: !nope!b c\n", "%YAML 3.0\n---\na: 1\n"]
)
def test_directives_and_their_tags_are_refused(problems: Problems, text: str) -> None:
    assert "expected" in problems(text)[0]


def test_a_second_document_is_refused(problems: Problems, written: Written) -> None:
    assert problems(written({}) + "---\na: 1\n") == [
        "config.yaml:7:1: YAML: begins a second YAML document, expected one"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("device: [a\n", "2:1"),
        ("device: 'a\n", "2:1"),
        ("device: a\n\tfolders: b\n", "2:1"),
        ("device: a: b\n", "1:10"),
        ("device: {prefix}/x\n", "1:17"),
        ("device: @x\n", "1:9"),
        ("device: %x\n", "1:9"),
        ('device: "\\q"\n', "1:11"),
        ("a\n  b: c\nd", "2:4"),
    ],
)
def test_broken_yaml_is_one_problem_with_its_place(problems: Problems, text: str, place: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"config.yaml:{place}: YAML: cannot be read as YAML: ")


@pytest.mark.parametrize(
    ("raw", "place", "what"),
    [
        (b"device: a\nname: \xff\n", "2:7", "is not UTF-8 here"),
        ("device: ü\n".encode("latin-1"), "1:9", "is not UTF-8 here"),
        ("device: a\n".encode("utf-16"), "1:1", "is not UTF-8 here"),
        (b"a: 1\r\nb: \x00\n", "2:4", "holds a control character"),
        (b"\x1b[2J", "1:1", "holds a control character"),
        (b"a: \xed\xa0\x80", "1:4", "is not UTF-8 here"),
        (b"#" * (SIZE_LIMIT + 1), "1:1", "is larger than 1 MiB"),
    ],
)
def test_bytes_that_are_no_text_are_one_problem(
    problems: Problems, raw: bytes, place: str, what: str
) -> None:
    (problem,) = problems(raw)
    assert problem.startswith(f"config.yaml:{place}: YAML: {what}, expected ")


def test_half_a_surrogate_pair_is_refused(problems: Problems, written: Written) -> None:
    (problem,) = problems(written({"state": r'"/a\ud800"'}))
    assert problem.startswith("config.yaml:7:8: state: holds half of a surrogate pair")


@pytest.mark.parametrize("opening", ["[", "{", "- ", "a: [", "[[{a: "])
@pytest.mark.parametrize("before", ["", "folders: "])
def test_thousands_of_open_brackets_are_one_problem(problems: Problems, opening: str, before: str) -> None:
    (problem,) = problems(before + opening * 5000)
    assert problem.startswith("config.yaml:1:")
    assert ": YAML: " in problem


def test_nesting_is_refused_by_its_depth_not_by_pythons_stack(problems: Problems) -> None:
    (problem,) = problems("folders: " + "[" * 5000 + "]" * 5000)
    assert f"nested deeper than {DEPTH_LIMIT} levels" in problem
    assert problem.startswith(f"config.yaml:1:{len('folders: ') + DEPTH_LIMIT}: ")


def test_billions_of_laughs_are_not_laughed(problems: Problems) -> None:
    lines = ["a0: &a0 [lol, lol]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    started = time.perf_counter()
    found = problems("\n".join(lines))
    assert time.perf_counter() - started < 2
    assert len([problem for problem in found if "is a YAML alias" in problem]) == 59 * 9


def test_an_anchor_given_twice_is_two_anchors(problems: Problems, written: Written) -> None:
    found = problems(written({"state": "&s /a/b", "console.socket": "&s /a/c"}))
    assert [problem.split(", ")[0] for problem in found] == [
        "config.yaml:7:8: state: has a YAML anchor",
        "config.yaml:9:11: console.socket: has a YAML anchor",
    ]


def test_an_alias_to_itself_is_one_more_alias(problems: Problems) -> None:
    _, anchor, alias = problems("folders: &x [*x]\n")
    assert anchor.startswith("config.yaml:1:10: folders: has a YAML anchor")
    assert alias.startswith("config.yaml:1:14: folders[0]: is a YAML alias")


def test_a_full_file_of_one_mebibyte_is_still_judged_in_seconds(problems: Problems) -> None:
    text = "x: |\n" + ("  " + "y" * 1000 + "\n") * 1000
    assert problems(text)[0].startswith("config.yaml:1:1: ")


@pytest.mark.parametrize(
    "text",
    [
        f"token: {CANARY}\n",
        f"device: {CANARY}!\n",
        f"device: [{CANARY}\n",
        f"device: '{CANARY}\n",
        f"device: {CANARY}: x\n",
        f"device: *{CANARY}\n",
        f"device: &{CANARY} x\n",
        f"device: !{CANARY} x\n",
        f"device: !{CANARY}!y x\n",
        f"%{CANARY}\n",
        f"%TAG !{CANARY}! x\n%TAG !{CANARY}! x\n---\n",
        f"credentials: {CANARY}\n",
        f"credentials: {{api: {{url: 'https://x:{CANARY}@y', token_file: {CANARY}, timeout: {CANARY}}}}}\n",
        f"folders: [{{path: {CANARY}, include: [/{CANARY}], watch: {CANARY}, recursive: {CANARY}}}]\n",
        f"upload: {{files: {CANARY}, memory: {CANARY}}}\n",
        f"device: @{CANARY}\n",
        f"{CANARY}\n",
        f'device: "{CANARY}\\q"\n',
        f"folders: [{{path: /a, key: '{{{CANARY}', complete_when: {{marker: '/{CANARY}'}}}}]\n",
    ],
)
def test_no_message_shows_a_value(problems: Problems, text: str) -> None:
    assert CANARY not in "\n".join(problems(text))
