"""Keys: two paths never share one, S3 can keep every one of them, and what it could not keep is refused."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from syncd.decide.keys import (
    FIELDS,
    MAX_KEY_BYTES,
    KeyFacts,
    Template,
    ascii_name,
    encode,
    key_for,
    parse,
    split_name,
    was_encoded,
)
from syncd.errors import Refused

DEFAULT = parse("{prefix}{folder}/{path}")
MTIME_NS = 1_769_640_142_123_456_789  # 2026-01-28T22:42:22.123456Z

# Names as they come: any bytes, readable ones, and ones that sit close to the encoding itself.
names = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.text(min_size=1, max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(alphabet="%25F.a\x7f\xe9", min_size=1, max_size=8).map(str.encode),
    st.lists(st.sampled_from([b"%", b"25", b"%FF", b"\xff", b"\xc3", b"\xa9", b"a", b"."]), min_size=1).map(
        b"".join
    ),
).filter(lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."})
paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
any_bytes = st.one_of(paths, st.binary(max_size=40), st.binary(max_size=2000))


def facts(
    path: bytes, *, prefix: str = "cam-07/", folder: str = "capture", mtime_ns: int = MTIME_NS
) -> KeyFacts:
    return KeyFacts(prefix=prefix, device="cam-07", folder=folder, path=path, mtime_ns=mtime_ns)


def key_or_refusal(template: Template, about: KeyFacts) -> str | Refused:
    try:
        return key_for(template, about)
    except Refused as refused:
        return refused


def key(template: str, path: bytes, **more: object) -> str:
    return key_for(parse(template), facts(path, **more))  # type: ignore[arg-type]


# -- injective


@given(any_bytes, any_bytes)
@example(b"%FF", b"\xff")
@example(b"\xc3\xa9", b"\xe9")
@example("é".encode(), "é".encode())
@example(b"a%2Fb", b"a/b")
@example("\ud800".encode("utf-8", "surrogatepass"), b"%ED%A0%80")
def test_two_paths_never_have_the_same_key(one: bytes, other: bytes) -> None:
    assume(one != other)
    assert encode(one) != encode(other)
    keys = [key_or_refusal(DEFAULT, facts(one)), key_or_refusal(DEFAULT, facts(other))]
    assert keys[0] != keys[1]


@given(any_bytes)
def test_the_path_can_be_read_back_from_its_encoding(path: bytes) -> None:
    assert unquote_to_bytes(encode(path)) == path


@given(st.text().filter(lambda text: all(unicodedata.category(c) not in {"Cc", "Cs"} for c in text)))
def test_readable_names_stay_as_they_are(text: str) -> None:
    assume(not set(text) & set("%\ufffe\uffff"))
    assert encode(text.encode()) == text


# -- what S3 can keep


@example("no XML holds \ufffe or \uffff".encode(), "")
@given(any_bytes, st.sampled_from(["", "cam-07/", "a/b/", "é" * 100 + "/", "p" * 512]))
def test_a_key_is_one_that_s3_keeps_faithfully_or_it_is_refused(path: bytes, prefix: str) -> None:
    made = key_or_refusal(DEFAULT, facts(path, prefix=prefix))
    if isinstance(made, Refused):
        assert made.hint
        return
    assert len(made.encode("utf-8")) <= MAX_KEY_BYTES
    assert not set(made.split("/")) & {"", ".", ".."}
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in made)
    element = ET.Element("Key")
    element.text = made
    assert ET.fromstring(ET.tostring(element)).text == made


@given(paths)
def test_a_path_of_sound_names_is_never_refused_for_its_segments(path: bytes) -> None:
    assume(len(encode(path)) * 4 < MAX_KEY_BYTES)
    assert key_for(DEFAULT, facts(path)) == f"cam-07/capture/{encode(path)}"


@pytest.mark.parametrize("size", [MAX_KEY_BYTES - 2, MAX_KEY_BYTES])
def test_the_limit_counts_bytes_of_utf8_with_the_prefix(size: int) -> None:
    path = ("é" * ((size - len("cam-07/capture/")) // 2)).encode() + b"x" * ((size - 15) % 2)
    assert len(key_for(DEFAULT, facts(path)).encode()) == size
    longer = path + b"x" * (MAX_KEY_BYTES - size + 1)
    with pytest.raises(Refused, match=f"{MAX_KEY_BYTES + 1} bytes"):
        key_for(DEFAULT, facts(longer))


@pytest.mark.parametrize(
    ("template", "path", "prefix"),
    [
        ("{path}", b"a/./b", ""),
        ("{path}", b"a/../b", ""),
        ("{path}", b"..", ""),
        ("{path}", b"a//b", ""),
        ("{path}", b"a/", ""),
        ("{prefix}{path}", b"a", "/"),
        ("{prefix}{path}", b"a", "x//"),
        ("{prefix}/{path}", b"a", ""),
        ("/{path}", b"a", ""),
        ("{path}/", b"a", ""),
        ("{path}{suffix}/x", b"", ""),
        ("{suffix}", b"no suffix", ""),
        ("{suffix}/{name}", b"no suffix", ""),
        (".{suffix}", b"a", ""),
    ],
)
def test_empty_and_dotted_segments_and_a_leading_slash_are_refused(
    template: str, path: bytes, prefix: str
) -> None:
    with pytest.raises(Refused) as refused:
        key(template, path, prefix=prefix)
    assert refused.value.hint


# -- fields

PATH = b"2026/run 1/clip%1.tar.gz"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{prefix}x", "cam-07/x"),
        ("{device}", "cam-07"),
        ("{folder}", "left eye"),
        ("{path}", "2026/run 1/clip%251.tar.gz"),
        ("{name}", "clip%251.tar.gz"),
        ("{stem}", "clip%251.tar"),
        ("{suffix}", ".gz"),
        ("{stem}{suffix}", "clip%251.tar.gz"),
        ("{mtime:%Y-%m-%d}/{name}", "2026-01-28/clip%251.tar.gz"),
        ("{mtime:%Y%m%dT%H%M%S.%fZ}", "20260128T224222.123456Z"),
        ("{mtime:%j}-{mtime:%G-W%V-%u}", "028-2026-W05-3"),
        ("{mtime:%Y/%m}", "2026/01"),
        ("{mtime:%y is not, %%Y is}", None),
        ("fixed", "fixed"),
        ("{{{device}}}", "{cam-07}"),
    ],
)
def test_every_field(template: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="time format"):
            parse(template)
    else:
        assert key(template, PATH, folder="left eye") == expected


def test_the_table_above_has_every_field() -> None:
    fixed = {
        "prefix": "cam-07/",
        "device": "cam-07",
        "folder": "f",
        "path": "d/n.s",
        "name": "n.s",
        "stem": "n",
    }
    expected = fixed | {"suffix": ".s", "mtime": "2026"}
    assert set(expected) == set(FIELDS)
    for name, value in expected.items():
        template = "{mtime:%Y}" if name == "mtime" else f"{{{name}}}"
        assert key(f"{template}x", b"d/n.s", folder="f") == f"{value}x"


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 10**9 - 1))
def test_the_time_is_utc_to_the_microsecond(seconds: int, fraction: int) -> None:
    made = key("{mtime:%m-%dT%H:%M:%S.%f}", b"a", mtime_ns=seconds * 10**9 + fraction)
    days, rest = divmod(seconds, 86_400)
    day = datetime.fromordinal(days + datetime(1970, 1, 1, tzinfo=UTC).toordinal())
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{fraction // 1000:06}"
    assert made == f"{day.month:02}-{day.day:02}T{clock}"


@pytest.mark.parametrize("seconds", [253_402_300_800, -62_135_596_801, 2**62, -(2**62), 2**80])
def test_a_date_that_no_calendar_has_is_refused_and_matters_to_no_other_template(seconds: int) -> None:
    with pytest.raises(Refused, match="modification time") as refused:
        key("{mtime:%Y}/{name}", b"a", mtime_ns=seconds * 10**9)
    assert refused.value.hint
    assert key("{name}", b"a", mtime_ns=seconds * 10**9) == "a"


@given(st.text(alphabet="a.é", min_size=1, max_size=8).filter(lambda name: name not in {".", ".."}))
def test_stem_and_suffix_are_those_of_pathlib(name: str) -> None:
    path = PurePosixPath(name)
    assert split_name(name.encode()) == (path.stem.encode(), path.suffix.encode())


@pytest.mark.parametrize(
    ("name", "stem", "suffix"),
    [
        (b"a.mp4", b"a", b".mp4"),
        (b"a.tar.gz", b"a.tar", b".gz"),
        (b".hidden", b".hidden", b""),
        (b".hidden.mp4", b".hidden", b".mp4"),
        (b"a.", b"a.", b""),
        (b"plain", b"plain", b""),
        (b"", b"", b""),
        (b"\xff.\xfe", b"\xff", b".\xfe"),
    ],
)
def test_stem_and_suffix(name: bytes, stem: bytes, suffix: bytes) -> None:
    assert split_name(name) == (stem, suffix)


# -- templates


def test_a_template_tells_which_fields_it_uses() -> None:
    template = parse("{prefix}{mtime:%Y}/{{path}}")
    assert [name for name in FIELDS if template.uses(name)] == ["prefix", "mtime"]
    assert template.text == "{prefix}{mtime:%Y}/{{path}}"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("", r"is empty, expected a template such as \{prefix\}\{folder\}/\{path\}"),
        ("{", "brace is left open"),
        ("a}", "closed alone"),
        ("{path", "brace is left open"),
        ("{}", r"\{\} is no field, expected one of prefix, device"),
        ("{0}", r"\{0\} is no field"),
        ("{Path}", r"\{Path\} is no field"),
        ("{path.name}", r"\{path.name\} is no field"),
        ("{path[0]}", "is no field"),
        ("{path!r}", r"\{path\} takes no format"),
        ("{path:>10}", r"\{path\} takes no format"),
        ("{mtime}", r"\{mtime\} needs a time format in UTC such as \{mtime:%Y-%m-%d\}"),
        ("{mtime:}", "needs a time format"),
        ("{mtime:year}", "needs a time format"),
        ("{mtime:%Q}", "needs a time format"),
        ("{mtime:%-d}", "needs a time format"),
        ("{mtime:%c}", "needs a time format"),
        ("{mtime:%Y%}", "needs a time format"),
        ("{mtime:%Y{path}}", "needs a time format"),
        ("{mtime!s:%Y}", "takes no format"),
    ],
)
def test_a_template_that_cannot_be_meant_is_told_in_a_sentence(template: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(template)


@given(st.text(alphabet="{}!:[].%Ypathmie0", max_size=12))
def test_a_template_is_taken_or_refused_and_never_fails_otherwise(text: str) -> None:
    try:
        template = parse(text)
    except ValueError:
        return
    assert "{prefix}" not in str(key_or_refusal(template, facts(b"a.b")))


# -- what goes beside the key


@pytest.mark.parametrize(
    ("path", "encoded"),
    [
        (b"clip.mp4", False),
        ("dir\n/Aufnahme é.mp4".encode(), False),
        (b"\xff/clip.mp4", False),
        (b"100%.mp4", True),
        (b"a/\xff.mp4", True),
        (b"line\nbreak", True),
    ],
)
def test_a_name_that_its_key_shows_otherwise_is_told(path: bytes, encoded: bool) -> None:
    assert was_encoded(path) is encoded


@given(any_bytes)
def test_the_name_as_metadata_is_plain_ascii_and_can_be_read_back(path: bytes) -> None:
    made = ascii_name(path)
    assert re.fullmatch(r"[ -~]*", made)
    assert unquote_to_bytes(made) == path.rpartition(b"/")[2]
