"""The kinds of value a key can have, each with the one sentence that says what was expected.

No message here ever holds the value: a token pasted into the wrong place must not reach a terminal or a journal.
"""

from __future__ import annotations

import ipaddress
import os
import re
import unicodedata
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Self, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from syncd.config.surroundings import DEVICE_LENGTH
from syncd.config.units import (
    DURATION_PATTERN,
    DURATION_WANTED,
    RATE_PATTERN,
    RATE_WANTED,
    SIZE_PATTERN,
    SIZE_WANTED,
    duration_text,
    parse_duration,
    parse_rate,
    parse_size,
    size_text,
)
from syncd.decide import keys, select
from syncd.errors import Refused


class Unfit(ValueError):
    """A value is not what its key takes. Of all exceptions pydantic collects only ValueErrors."""


class Unquoted(str):
    """A bare word that YAML 1.1 takes for something other than text: `no`, `010`, `12:30`, `2026-01-28`.

    `kind` says what. Only a choice that holds the very word takes it (`not_open: off`).
    """

    __slots__ = ("kind",)
    kind: str

    def __new__(cls, text: str, kind: str) -> Self:
        """The word as it stands in the file."""
        word = super().__new__(cls, text)
        word.kind = kind
        return word


def reads(check: Callable[[Any], Any], **schema: Any) -> BeforeValidator:
    """A validator, and what the JSON Schema says of a value that it may take: everything, or a little more."""
    return BeforeValidator(check, json_schema_input_type=Annotated[Any, WithJsonSchema(schema)])


def _written(check: Callable[[Any], Any], pattern: str) -> BeforeValidator:
    """A validator of text, and the pattern that the text must match as a whole (ECMA 262, as JSON Schema has them)."""
    return reads(check, type="string", pattern=f"^(?:{pattern})$")


def what_is(value: object) -> str:
    """What a value is, in an operator's words and without showing it."""
    match value:
        case None:
            return "is empty (null)"
        case bool():
            return "is a YAML boolean"
        case Unquoted():
            return f"is a YAML {value.kind}"
        case int():
            return "is a YAML number"
        case str():
            return "is text"
        case list() | tuple():
            return "is a list"
        case _:
            return "is a mapping"


def _text(value: object) -> str:
    """Text without control characters. Raises Unfit."""
    if not isinstance(value, str) or isinstance(value, Unquoted):
        remedy = "" if value is None or isinstance(value, (list, tuple, dict)) else ": put it in quotes"
        raise Unfit(f"{what_is(value)}, expected text{remedy}")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise Unfit("holds a line break or another control character")
    return value


def _filled(value: object) -> str:
    text = _text(value)
    if not text:
        raise Unfit("is empty, expected text")
    return text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Unfit(f"{what_is(value)}, expected true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]


def choice(literal: Any) -> Any:
    """A validator for one of a Literal's words, quoted or not."""
    words = get_args(literal)

    def _choice(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise Unfit(f"{_unfit(value)}, expected one of {', '.join(words)}")
        return str(value)

    return BeforeValidator(_choice)


def _unfit(value: object) -> str:
    return "is unknown" if isinstance(value, str) else what_is(value)


def count(lowest: int, highest: int) -> Any:
    """A validator for a whole number within bounds."""

    def _count(value: object) -> int:
        wanted = f"expected a whole number from {lowest} to {highest}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unfit(f"{what_is(value)}, {wanted}")
        if not lowest <= value <= highest:
            raise Unfit(f"is out of range, {wanted}")
        return value

    return reads(_count, type="integer", minimum=lowest, maximum=highest)


def size(lowest: int, highest: int | None = None) -> Any:
    """A validator for a size in bytes, written with a unit."""

    def _size(value: object) -> int:
        number = parse_size(_measure(value, SIZE_WANTED))
        if number < lowest:
            raise Unfit(f"is too small, expected at least {size_text(lowest)}")
        if highest is not None and number > highest:
            raise Unfit(f"is too large, expected at most {size_text(highest)}")
        return number

    return _written(_size, SIZE_PATTERN)


def rate(lowest: int) -> Any:
    """A validator for bytes per second, written with a unit and `/s`."""

    def _rate(value: object) -> int:
        number = parse_rate(_measure(value, RATE_WANTED))
        if number < lowest:
            raise Unfit(f"is too slow, expected at least {size_text(lowest)}/s")
        return number

    schema = {"type": "string", "pattern": f"^{RATE_PATTERN}$"}
    return reads(lambda value: None if value is None else _rate(value), anyOf=[schema, {"type": "null"}])


def duration(lowest: timedelta) -> Any:
    """A validator for a time span, written with a unit."""

    def _duration(value: object) -> timedelta:
        span = parse_duration(_measure(value, DURATION_WANTED))
        if span < lowest:
            raise Unfit(f"is too short, expected at least {duration_text(lowest)}")
        return span

    return _written(_duration, DURATION_PATTERN)


def _measure(value: object, wanted: str) -> str:
    if isinstance(value, str) and not isinstance(value, Unquoted):
        return value
    if isinstance(value, (int, Unquoted)) and not isinstance(value, bool):
        raise Unfit(f"{what_is(value)} without a unit, expected {wanted}")
    raise Unfit(f"{what_is(value)}, expected {wanted}")


def matching(pattern: str, wanted: str) -> Any:
    """A validator for text that a regular expression matches whole."""
    compiled = re.compile(pattern)

    def _matching(value: object) -> str:
        text = _filled(value)
        if compiled.fullmatch(text) is None:
            raise Unfit(f"is not usable here, expected {wanted}")
        return text

    return _written(_matching, pattern)


DeviceName = Annotated[
    str,
    matching(
        rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{DEVICE_LENGTH - 1}}}",
        f"1 to {DEVICE_LENGTH} letters, digits, dots, underscores or hyphens, the first a letter or digit",
    ),
]
# What botocore takes for a bucket name; S3 itself is stricter, other stores are not.
BucketName = Annotated[
    str,
    matching(
        r"[A-Za-z0-9._-]{3,255}",
        "the name alone (no s3://), 3 or more letters, digits, dots, underscores or hyphens",
    ),
]
RegionName = Annotated[
    str, matching(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", "a region's name such as eu-central-1")
]


def absolute_path(value: object) -> Path:
    """A path that means the same from every working directory. Raises Unfit."""
    text = _filled(value)
    if not text.startswith("/"):
        raise Unfit("is a relative path, expected an absolute one (beginning with /)")
    if ".." in text.split("/"):
        raise Unfit("holds .., expected a path without it")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Unfit("holds characters that this system's file names cannot have") from None
    return Path(os.path.normpath("/" + text.lstrip("/")))


AbsolutePath = Annotated[Path, _written(absolute_path, r"/(?!(?:.*/)?\.\.(?:/|$)).*")]


def folder_name(value: object) -> str:
    """A name that can be one segment of a key. Raises Unfit."""
    text = _filled(value)
    if "/" in text or text in {".", ".."}:
        raise Unfit("is not usable here, expected a name without /")
    return text


FOLDER_NAME: Final = _written(folder_name, r"(?!\.{1,2}$)[^/]+")


def _prefix(value: object) -> str:
    text = _text(value)
    segments = text.split("/")
    if any(segment in {"", ".", ".."} for segment in segments[:-1]):
        raise Unfit("has an empty, . or .. segment, expected a key prefix such as cam-07/ (no / in front)")
    # Half of what S3 allows for a key, so that there is room for a path.
    if len(text.encode()) > keys.MAX_KEY_BYTES // 2:
        raise Unfit(f"is too long, expected at most {keys.MAX_KEY_BYTES // 2} bytes")
    return text


Prefix = Annotated[str, _written(_prefix, r"(?!(?:.*/)?\.{0,2}/).*")]


def _key_template(value: object) -> str:
    """A template by which at least one file could go. Raises ValueError."""
    text = _filled(value)
    template = keys.parse(text)
    # A prefix may end in a slash or not: what no kind of prefix makes good is wrong in the template itself.
    refusals = [
        refused for prefix in ("p/", "p") if (refused := sample_refused(template, prefix)) is not None
    ]
    if len(refusals) > 1:
        raise Unfit(f"makes keys that are refused: {refusals[0]}")
    return text


def sample_refused(template: keys.Template, prefix: str, device: str = "d", folder: str = "f") -> str | None:
    """Why a plain file, `film.mp4`, could not go by this template; None if it could."""
    facts = keys.KeyFacts(prefix=prefix, device=device, folder=folder, path=b"film.mp4", mtime_ns=0)
    try:
        keys.key_for(template, facts)
    except Refused as refused:
        return str(refused)
    return None


_PLAIN_FIELDS: Final = "|".join(name for name in keys.FIELDS if name != "mtime")
KeyTemplate = Annotated[
    str,
    _written(
        _key_template,
        rf"(?:[^{{}}]|\{{\{{|\}}\}}|\{{(?:{_PLAIN_FIELDS})\}}|\{{mtime:[^{{}}]*%[^{{}}]*\}})+",
    ),
]


def _glob(value: object) -> str:
    text = _filled(value)
    if text.startswith("/"):
        raise Unfit("begins with /, expected a pattern relative to the folder's path")
    if any(segment in {"", ".", ".."} for segment in text.split("/")):
        raise Unfit("has an empty, . or .. segment (or ends in /), which no path has")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(select.translate(text))
    except (re.error, FutureWarning):
        raise Unfit("has a set [...] that cannot be read, expected one such as [a-z]") from None
    return text


Glob = Annotated[str, _written(_glob, r"(?!(?:.*/)?\.{0,2}(?:/|$)).+")]

_MARKER_FIELDS: Final = ("{name}", "{stem}", "{suffix}")


def _marker(value: object) -> str:
    text = _filled(value)
    literal = text
    for field in _MARKER_FIELDS:
        literal = literal.replace(field, "")
    if "{" in literal or "}" in literal:
        raise Unfit("has an unknown field or a stray brace, expected only {name}, {stem} and {suffix}")
    if "/" in text or text in {".", ".."}:
        raise Unfit("is not usable here, expected a file name beside the file, without /")
    if text.replace("{stem}{suffix}", "{name}") == "{name}":
        raise Unfit("is the file itself, expected another name such as {name}.done")
    return text


Marker = Annotated[str, _written(_marker, r"(?!\.{1,2}$)(?:[^{}/]|\{(?:name|stem|suffix)\})+")]


def _api_url(value: object) -> str:
    parts = _split_url(_filled(value))
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise Unfit("is http to another machine, expected https: the token would travel in the clear")
    return parts.geturl()


def _endpoint_url(value: object) -> str:
    parts = _split_url(_filled(value))
    if parts.query:
        raise Unfit("has a query, expected only scheme, host and port")
    return parts.geturl()


def _proxy_url(value: object) -> str:
    """Of all URLs only this one may hold a password: proxies know no better way."""
    parts = _split_url(_filled(value), may_hold_a_user=True)
    if parts.query or parts.path not in {"", "/"}:
        raise Unfit("has a path or a query, expected only http://HOST:PORT")
    return parts.geturl()


ProxyUrl = Annotated[str, BeforeValidator(_proxy_url)]
ApiUrl = Annotated[
    str,
    _written(
        _api_url, r"https://[^\s#]+|http://(?:localhost|127\.[0-9.]+|\[[0:]*1\])(?::[0-9]+)?(?:[/?][^\s#]*)?"
    ),
]
EndpointUrl = Annotated[str, _written(_endpoint_url, r"https?://[^\s?#]+")]


def _split_url(text: str, *, may_hold_a_user: bool = False) -> SplitResult:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise Unfit("is no usable URL, expected https://HOST[:PORT]/...")
    if not may_hold_a_user and (parts.username is not None or parts.password is not None):
        raise Unfit("holds a user name or password, expected a URL without")
    if "#" in text:
        raise Unfit("has a fragment (#...), expected a URL without")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine for certain: no name server is asked."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_LISTEN: Final = r"(localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]):([1-9][0-9]{0,4})"
_HIGHEST_PORT: Final = 65_535


def _listen_address(value: object) -> str:
    """HOST:PORT of this machine alone: whoever reaches it sees names of files, and nobody is asked for a password."""
    text = _filled(value)
    found = re.fullmatch(_LISTEN, text)
    if found is None or not is_loopback(found[1].strip("[]")) or int(found[2]) > _HIGHEST_PORT:
        raise Unfit(
            "is no address of this machine alone, expected 127.0.0.1:PORT, localhost:PORT or [::1]:PORT; "
            "from elsewhere look in by ssh -L, or put a reverse proxy with a login in front"
        )
    return text


ListenAddress = Annotated[str, _written(_listen_address, _LISTEN)]


# S3's own are upper-case words; other stores have names of their own making.
StorageClass = Annotated[
    str, matching(r"[A-Za-z][A-Za-z0-9_-]{0,63}", "a storage class such as STANDARD_IA or GLACIER_IR")
]
kms_key = matching(r"[A-Za-z0-9:/_-]{1,2048}", "a key's id, its ARN, or an alias such as alias/captures")
KmsKey = Annotated[str, kms_key]


ContentType = Annotated[
    str,
    matching(
        r"auto|[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}(; ?[!-~ ]{1,256})?",
        "auto, or one type such as video/mp4",
    ),
]


ProfileName = Annotated[str, matching(r"[^\s\[\]][^\[\]]{0,127}", "a profile's name as in ~/.aws/config")]
AccountId = Annotated[str, matching(r"[0-9]{12}", "the 12 digits of an AWS account, in quotes")]


def _text_mapping(value: object) -> object:
    if not isinstance(value, dict):
        raise Unfit(f"{what_is(value)}, expected a mapping such as {{name: text}}")
    return value


# S3 allows 2 KiB for all metadata; the rest is for our own, of which a percent-encoded file name is the longest.
METADATA_SPACE: Final = 1024
_OURS: Final = "syncd-"


def _metadata_name(value: object) -> str:
    text = _text(value)
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,127}", text) is None:
        raise Unfit(
            "is no name for metadata, expected lower-case letters, digits, hyphens, dots, underscores"
        )
    if text.startswith(_OURS):
        raise Unfit(f"begins with {_OURS}, expected another name: syncd keeps its own metadata under those")
    return text


def _metadata_value(value: object) -> str:
    text = _filled(value)
    if not text.isascii() or text != text.strip():
        raise Unfit("is not usable here, expected printable ASCII without blanks at its ends")
    return text


def _metadata_space(entries: dict[str, str]) -> dict[str, str]:
    size = sum(len(name) + len(text) for name, text in entries.items())
    if size > METADATA_SPACE:
        raise Unfit(f"has {size} bytes in all names and values, expected at most {METADATA_SPACE}")
    return entries


Metadata = Annotated[
    dict[Annotated[str, BeforeValidator(_metadata_name)], Annotated[str, BeforeValidator(_metadata_value)]],
    BeforeValidator(_text_mapping),
    AfterValidator(_metadata_space),
]


_TAGS_AT_MOST: Final = 10
_LONGEST_TAG_NAME, _LONGEST_TAG_VALUE = 128, 256
_TAG_MARKS: Final = frozenset(" +-=._:/@")


def _tag(value: object, wanted: str, longest: int) -> str:
    text = _text(value)
    if len(text) > longest or not all(letter.isalnum() or letter in _TAG_MARKS for letter in text):
        raise Unfit(
            f"is not usable as {wanted}, expected at most {longest} letters, digits, blanks or +-=._:/@"
        )
    return text


def _tag_name(value: object) -> str:
    text = _tag(value, "a tag's name", _LONGEST_TAG_NAME)
    if not text or text.lower().startswith("aws:"):
        raise Unfit("is empty or begins with aws:, expected a name of your own")
    return text


def _tag_value(value: object) -> str:
    return _tag(value, "a tag's value", _LONGEST_TAG_VALUE)


def _few_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _TAGS_AT_MOST:
        raise Unfit(f"has {len(tags)} entries, expected at most {_TAGS_AT_MOST}")
    return tags


Tags = Annotated[
    dict[Annotated[str, BeforeValidator(_tag_name)], Annotated[str, BeforeValidator(_tag_value)]],
    BeforeValidator(_text_mapping),
    AfterValidator(_few_tags),
]


_AFTER_UPLOAD: Final = "expected keep, delete, {delete: {min_age: 1d}} or {move: {to: DIR}}"


def disposal_rule(value: object) -> object:
    """One word, or a mapping with one key, as a mapping. Raises Unfit."""
    if value in ("keep", "delete") and not isinstance(value, Unquoted):
        return {} if value == "keep" else {"delete": {}}
    if not isinstance(value, dict):
        raise Unfit(f"{_unfit(value)}, {_AFTER_UPLOAD}")
    if len(value.keys() & {"delete", "move"}) != 1 or value.get("move", {}) is None:
        raise Unfit(f"must be one thing, {_AFTER_UPLOAD}")
    return {name: {} if part is None and name == "delete" else part for name, part in value.items()}


def some(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    """The entries, of which there must be one at least. Raises Unfit."""
    if not entries:
        raise Unfit("is an empty list, expected at least one entry")
    return entries


def or_from(source: Callable[[Any], Any]) -> Any:
    """A validator that fills an absent value (or null) from the validation's facts, before any other sees it."""

    def _fill(value: object, info: Any) -> Any:
        return source(info) if value is None else value

    return BeforeValidator(_fill)
