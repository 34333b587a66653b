from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.telemetry.redact import SECRET, Cleaner, is_secret_name

CANARY = "c4n4ry/+=value"


def clean(**event: Any) -> dict[str, Any]:
    return dict(Cleaner(lambda: [CANARY])(None, "info", event))


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "token",
        "upload_token",
        "SessionToken",
        "aws_secret_access_key",
        "SecretAccessKey",
        "Authorization",
        "x-amz-security-token",
        "X-Amz-Signature",
        "password",
        "PASSWD",
        "session",
        "set-cookie",
        "client_secrets",
        "apikey",
    ],
)
def test_a_field_that_is_called_a_secret_is_not_shown(name: str) -> None:
    assert is_secret_name(name)
    assert clean(**{name: "abc"}) == {name: SECRET}
    assert clean(headers={name: ["abc", b"x"]}) == {"headers": {name: SECRET}}


@pytest.mark.parametrize(
    "name",
    [
        "token_file",
        "session_expires_at",
        "tokens_count",
        "key",
        "path",
        "author",
        "secretary",
        "obsession",
        "credentials_source",
    ],
)
def test_a_field_that_only_sounds_like_one_is_shown(name: str) -> None:
    assert not is_secret_name(name)
    assert clean(**{name: "abc"}) == {name: "abc"}


def test_whether_there_is_a_secret_may_be_said() -> None:
    assert clean(token=None, session=True) == {"token": None, "session": True}


@pytest.mark.parametrize(
    "value",
    [
        CANARY,
        f"before{CANARY}after",
        CANARY.encode(),
        [f"a {CANARY}"],
        ({"x": {f"y{CANARY}": (CANARY,)}},),
        {CANARY},
        ValueError(f"wrong: {CANARY}"),
        Path("/a") / CANARY,
        "https://x/?t=c4n4ry%2F%2B%3Dvalue",
    ],
)
def test_the_secrets_of_the_moment_are_replaced_wherever_they_stand(value: object) -> None:
    shown = json.dumps(clean(event="e", field=value))
    assert "c4n4ry" not in shown
    assert SECRET in shown


def test_the_longest_secret_goes_first_and_a_tiny_one_takes_no_words_apart() -> None:
    cleaner = Cleaner(lambda: ["abcd", "abcdefgh", "a", ""])
    assert cleaner(None, "info", {"event": "x abcdefgh a cat abcd"}) == {
        "event": f"x {SECRET} a cat {SECRET}"
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-ghi, next", f"Authorization: Bearer {SECRET}, next"),
        (
            "https://b/k?X-Amz-Credential=AK%2Fx&X-Amz-Signature=0f&x-amz-security-token=q%3D&partNumber=1",
            f"https://b/k?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}&x-amz-security-token={SECRET}&partNumber=1",
        ),
        ("proxy http://user:pass@proxy:80/ failed", f"proxy http://{SECRET}@proxy:80/ failed"),
        ("12:30 at a@b://c", "12:30 at a@b://c"),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text: str, shown: str) -> None:
    assert clean(event=text) == {"event": shown}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x1b]0;x\x07", r"\x1b[2J\x1b]0;x\x07"),
        ("\x00\x7f\x9b", r"\x00\x7f\x9b"),
        ("a\u202eb\u2028\u2066", r"a\u202eb\u2028\u2066"),
        (b"na\xc3\xafve\xff\n", "na\u00efve\\xff\\n"),
        ("\udcff\ud800", r"\xff\ud800"),
        ("Größe 日本 👩‍🔬", "Größe 日本 👩‍🔬"),
        (r"C:\dir", r"C:\dir"),
        (Path("/a\x1b"), r"/a\x1b"),
        (bytearray(b"x\x01"), r"x\x01"),
    ],
)
def test_a_name_cannot_move_the_cursor_or_begin_a_line(raw: object, shown: str) -> None:
    assert clean(path=raw) == {"path": shown}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.text() | st.binary() | st.floats() | st.none() | st.integers(), st.lists, max_leaves=4
        ),
    )
)
def test_whatever_comes_is_plain_printable_json(fields: dict[str, Any]) -> None:
    text = json.dumps(clean(**fields), allow_nan=False)
    for shown in _texts(json.loads(text)):
        assert not any(
            ord(each) < 32 or 127 <= ord(each) < 160 or 0xD800 <= ord(each) < 0xE000 for each in shown
        )


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def test_odd_values_become_text_and_endless_ones_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    shown = clean(span=timedelta(seconds=90), loop=loop, long="x" * 10_000, kind=int, nan=float("nan"))
    assert shown["span"] == "0:01:30"
    assert shown["kind"] == "<class 'int'>"
    assert shown["nan"] == "nan"
    assert shown["long"].endswith("... (10000 characters)")
    assert len(shown["long"]) < 8100
    assert len(json.dumps(shown["loop"])) < 200


def test_only_a_traceback_for_a_terminal_keeps_its_lines_set_in() -> None:
    assert clean(exception=f"Traceback:\n  {CANARY}\x1b\nlast") == {
        "exception": f"Traceback:\n      {SECRET}\\x1b\n    last"
    }
