"""Whatever an editor, a disk or an enemy makes of the file: an answer with places, or a sound configuration."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.config import Config, Surroundings
from syncd.config.loading import judge
from syncd.config.read import parse

EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_text()
LINES = EXAMPLE.splitlines(keepends=True)
AROUND = Surroundings(environ={}, host_name="cam-07", home=Path("/h"), real_path=str)
SPLINTERS = [
    "no",
    "010",
    "12:30",
    "null",
    "*a",
    "&a ",
    "!!x ",
    "[",
    "}",
    '"',
    "'",
    "\t",
    "- ",
    "? ",
    ": ",
    "---\n",
    "%",
    "\x00",
    "\\",
    "#",
    "\r",
    "\u2028",
    "1" * 30,
    "<<: ",
    "|",
    "{name}",
]
KEY = re.compile(r"YAML|\S.*")

positions = st.integers(min_value=0, max_value=len(EXAMPLE))
line_numbers = st.integers(min_value=0, max_value=len(LINES) - 1)


def _check(raw: bytes) -> bool:
    """Whether it is a sound configuration; if not, that each mistake has a place in the file, a key and a sentence."""
    config, found = judge(parse(raw), AROUND)
    height = len(re.split("\r\n|[\r\n\x85\u2028\u2029]", raw.decode("utf-8", "replace"))) + 1
    for line, column, key, text in found:
        assert 1 <= line <= height
        assert column >= 1
        assert KEY.fullmatch(key)
        assert key.isprintable()
        assert len(text) > 10
        assert text.isprintable()
    assert (config is None) == bool(found)
    assert config is None or isinstance(config, Config)
    return config is not None


def test_the_example_itself_is_sound() -> None:
    assert _check(EXAMPLE.encode())


@settings(max_examples=150, deadline=None)
@given(positions, positions, st.sampled_from(SPLINTERS) | st.text(max_size=5))
def test_a_piece_torn_out_and_another_put_in(start: int, end: int, splinter: str) -> None:
    start, end = sorted((start, end))
    end = min(end, start + 40)
    _check((EXAMPLE[:start] + splinter + EXAMPLE[end:]).encode("utf-8", "surrogatepass"))


@settings(max_examples=100, deadline=None)
@given(line_numbers, line_numbers, st.sampled_from(["drop", "double", "swap", "indent", "dedent"]))
def test_lines_lost_doubled_swapped_and_moved(one: int, other: int, how: str) -> None:
    lines = list(LINES)
    match how:
        case "drop":
            del lines[one]
        case "double":
            lines.insert(other, lines[one])
        case "swap":
            lines[one], lines[other] = lines[other], lines[one]
        case "indent":
            lines[one] = " " + lines[one]
        case _:
            lines[one] = lines[one].removeprefix(" ")
    _check("".join(lines).encode())


@settings(max_examples=100, deadline=None)
@given(line_numbers, st.sampled_from(SPLINTERS) | st.text(max_size=20))
def test_a_value_replaced_by_anything(number: int, value: str) -> None:
    lines = list(LINES)
    key, colon, _ = lines[number].partition(":")
    lines[number] = f"{key}{colon} {value}\n"
    _check("".join(lines).encode("utf-8", "surrogatepass"))


@settings(max_examples=50, deadline=None)
@given(st.integers(min_value=0, max_value=len(EXAMPLE.encode())), st.binary(max_size=4))
def test_bytes_flipped_or_the_end_cut_off(position: int, junk: bytes) -> None:
    raw = EXAMPLE.encode()
    _check(raw[:position] + junk)
    _check(raw[:position] + junk + raw[position + len(junk) :])


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_no_configuration(raw: bytes) -> None:
    assert not _check(raw)
