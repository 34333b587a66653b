"""Clean what is about to be written: secrets out, control characters shown as text, everything plain data.

A secret is known by its key (`token`, `Authorization`), by its value (the credentials of the moment) and by the shape
of its surroundings (`Bearer ...`, a signed URL). A file's name may hold anything, so nothing in it may move a
terminal's cursor or begin a line of its own.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from structlog.typing import EventDict, WrappedLogger

SECRET: Final = "[secret]"  # noqa: S105 - what stands in a secret's place
# Long enough that replacing it cannot take ordinary words apart.
_SHORTEST_SECRET: Final = 4
_LONGEST_TEXT: Final = 8000  # journald splits lines over 48 KiB
_DEEPEST: Final = 12

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORDS: Final = {
    *("secret", "secrets", "token", "tokens", "password", "passwd", "passphrase", "apikey"),
    *("authorization", "bearer", "cookie", "session", "signature"),
}
# `token_file`, `session_expires_at`: about a secret, not the secret.
_HARMLESS_LAST: Final = {"file", "path", "at", "s", "seconds", "state", "source", "code", "kind", "count"}

_SHAPES = re.compile(
    r"(?i)(?P<before>\bbearer\s+|x-amz-(?:signature|security-token|credential)=)[^\s&\"',;]+"
    r"|(?P<scheme>://)[^/\s:@]+:[^/\s@]+(?=@)"
)
# C0, DEL, C1, line and paragraph separators, what turns the reading direction, and bytes that are not UTF-8.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_LINES = re.compile(f"(?!\n){_UNSAFE.pattern}")


class Cleaner:
    """A structlog processor that makes a whole event safe to write."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        """The event with plain, clean values only."""
        values = _spellings(self._secrets())
        return {
            # Text of several lines is ours (tracebacks, for a terminal); its lines stay.
            _clean_text(name, values): self._lines(value, values)
            if name in {"exception", "stack"} and isinstance(value, str)
            else _clean(name, value, values)
            for name, value in event_dict.items()
        }

    @staticmethod
    def _lines(text: str, values: list[str]) -> str:
        """Every line but the first set in, so that none passes for an event of its own."""
        return _UNSAFE_IN_LINES.sub(_escape, _without_secrets(text, values)).replace("\n", "\n    ")


def _spellings(secrets: Iterable[str]) -> list[str]:
    """Each secret as it is and as it stands in a URL, longest first so that none leaves a tail."""
    known = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
    return sorted(known | {quote(secret, safe="") for secret in known}, key=len, reverse=True)


def _clean(name: str, value: object, values: list[str], depth: int = 0) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if is_secret_name(name):
        return SECRET
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {
            _clean_text(_as_text(key), values): _clean(_as_text(key), inner, values, depth + 1)
            for key, inner in value.items()
        }
    if depth < _DEEPEST and isinstance(value, (list, tuple, AbstractSet)):
        return [_clean(name, inner, values, depth + 1) for inner in value]
    return _clean_text(_as_text(value), values)


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret: `SessionToken` and `x-amz-security-token`, not `token_file`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return bool(_SECRET_WORDS.intersection(words)) and words[-1] not in _HARMLESS_LAST


def _as_text(value: object) -> str:
    match value:
        case str():
            return str(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode("utf-8", "surrogateescape")
        case os.PathLike():
            return os.fsdecode(value)
        case datetime() | timedelta() | BaseException():
            return str(value)
        case _:
            return repr(value)


def _clean_text(text: str, values: list[str]) -> str:
    text = _without_secrets(text, values)
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]}... ({len(text)} characters)"
    return _UNSAFE.sub(_escape, text)


def _without_secrets(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, SECRET)
    return _SHAPES.sub(lambda found: f"{found['before'] or found['scheme']}{SECRET}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python holds a byte that is not UTF-8 (PEP 383)
        code -= 0xDC00
    names = {0x09: r"\t", 0x0A: r"\n", 0x0D: r"\r"}
    return names.get(code) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")  # noqa: PLR2004 - one byte
