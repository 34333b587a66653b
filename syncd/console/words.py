"""Names and numbers as a person reads them; nothing in a file's name may move a cursor, turn the reading direction or pass for ours."""

from __future__ import annotations

import shlex

_HARMLESS = frozenset(range(0x20, 0x7F)) - frozenset(b"'\\")  # within $'...'
_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def plain(text: str) -> str:
    """The text with everything escaped that is no printable character."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def path_text(path: bytes) -> str:
    """A path for the eye; bytes that are not UTF-8 show by their numbers."""
    return plain(path.decode("utf-8", "backslashreplace"))


def shell_word(path: bytes) -> str:
    """The path as a shell takes it for one word, whatever is in it: for commands that people copy."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        text = "\x00"
    if plain(text) == text:
        return shlex.quote(text)
    harmless = [chr(byte) if byte in _HARMLESS else f"\\x{byte:02x}" for byte in path]
    return f"$'{''.join(harmless)}'"


def bytes_text(count: float) -> str:
    """`734 B`, `52.4 MB`: decimal, as disks and links are sold."""
    for unit in _UNITS:
        if count < _THOUSAND or unit == _UNITS[-1]:
            break
        count /= _THOUSAND
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def span_text(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`: two units at most."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
