"""From a file's path to its key: a template of named fields, filled so that two paths never share a key by accident.

Keys are at most 1,024 bytes of UTF-8 (S3 user guide, object keys). Bytes that are not UTF-8, control characters and
`%` itself are percent-encoded, so the map is injective; segments that S3 clients fold away (empty, `.`, `..`) and a
leading `/` are refused.
"""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_from_bytes

from syncd.errors import Refused

MAX_KEY_BYTES = 1024
FIELDS = ("prefix", "device", "folder", "path", "name", "stem", "suffix", "mtime")
_NOT_IN_XML = "\ufffe\uffff"
"""No XML document may hold them, not even escaped (XML 1.0, 2.2 Characters): S3's answers could not be read."""
_TIME_DIRECTIVES = "YmdHMSjfGVu%"


@dataclass(frozen=True, slots=True)
class Field:
    """One `{name}` or `{name:spec}` of a template."""

    name: str
    spec: str


@dataclass(frozen=True, slots=True)
class Template:
    """A key template taken apart: literal texts and fields in order."""

    text: str
    pieces: tuple[str | Field, ...]

    def uses(self, name: str) -> bool:
        """Whether the field stands anywhere in the template."""
        return any(isinstance(piece, Field) and piece.name == name for piece in self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a key is made of. `path` is relative to the folder's root, as the system has it."""

    prefix: str
    device: str
    folder: str
    path: bytes
    mtime_ns: int


def parse(template: str) -> Template:
    """Take a template apart. Raises ValueError with a sentence for the operator."""
    try:
        raw = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"a brace is left open or closed alone ({error}); write {{{{ for a brace") from error
    pieces: list[str | Field] = []
    for literal, name, spec, conversion in raw:
        if literal:
            pieces.append(literal)
        if name is not None:
            pieces.append(_field(name, spec or "", conversion))
    if not pieces:
        raise ValueError("is empty, expected a template such as {prefix}{folder}/{path}")
    return Template(template, tuple(pieces))


def _field(name: str, spec: str, conversion: str | None) -> Field:
    if name not in FIELDS:
        raise ValueError(f"{{{name}}} is no field, expected one of {', '.join(FIELDS)}")
    if conversion or (spec and name != "mtime"):
        raise ValueError(f"{{{name}}} takes no format")
    if name == "mtime":
        codes = re.findall(r"%(.?)", spec)
        unknown = [code for code in codes if code not in _TIME_DIRECTIVES or not code]
        if not codes or unknown or "{" in spec:
            raise ValueError("{mtime} needs a time format in UTC such as {mtime:%Y-%m-%d}")
    return Field(name, spec)


def key_for(template: Template, facts: KeyFacts) -> str:
    """The key of a file. Raises Refused, with the reason, where S3 could not keep it faithfully."""
    key = "".join(piece if isinstance(piece, str) else _value(piece, facts) for piece in template.pieces)
    _refuse_impossible(key)
    return key


def _value(field: Field, facts: KeyFacts) -> str:
    name = facts.path.rpartition(b"/")[2]
    stem, suffix = split_name(name)
    match field.name:
        case "prefix":
            return facts.prefix
        case "device":
            return facts.device
        case "folder":
            return encode(facts.folder.encode("utf-8", "surrogateescape"))
        case "mtime":
            return _moment(facts.mtime_ns).strftime(field.spec)
        case "path":
            return encode(facts.path)
        case "name":
            return encode(name)
        case "stem":
            return encode(stem)
        case _:
            return encode(suffix)


def _moment(mtime_ns: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:
        raise Refused(
            "its modification time lies outside the years 1 to 9999",
            hint="mend the date with touch, or use a key template without {mtime}",
        ) from None


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Stem and suffix as pathlib has them: `a.tar.gz` -> `a.tar`, `.gz`; a leading dot begins no suffix."""
    at = name.rfind(b".")
    return (name[:at], name[at:]) if 0 < at < len(name) - 1 else (name, b"")


def encode(raw: bytes) -> str:
    """Readable and injective: what is clean UTF-8 stays, anything else becomes %XX per byte."""
    text = raw.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable() and "%" not in text:
        return text
    return "".join(_encode_character(character) for character in text)


def _encode_character(character: str) -> str:
    category = unicodedata.category(character)
    if character == "%" or category in {"Cc", "Cs"} or character in _NOT_IN_XML:
        return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
    return character


def was_encoded(path: bytes) -> bool:
    """Whether the key shows the path's last name otherwise than the disk does."""
    name = path.rpartition(b"/")[2]
    return encode(name).encode() != name


def ascii_name(path: bytes) -> str:
    """The last name of a path as a metadata value: every byte outside plain ASCII percent-encoded."""
    return quote_from_bytes(path.rpartition(b"/")[2], safe=" !#$&'()+,;=@[]{}~")


def _refuse_impossible(key: str) -> None:
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > MAX_KEY_BYTES:
        raise Refused(
            f"its key would have {size} bytes, S3 takes {MAX_KEY_BYTES}",
            hint="shorten the path, or use a key template without {path}",
        )
    if key.startswith("/"):
        raise Refused(
            "its key would begin with /", hint="take the / from the front of the prefix or template"
        )
    if any(segment in {"", ".", ".."} for segment in key.split("/")):
        raise Refused(
            f"its key {key!r} would have an empty, . or .. segment",
            hint="mend the prefix or the key template",
        )
