"""Sizes and durations as an operator writes them: always with a unit, never by guess.

A bare number is refused (`16` of what?), and so is a unit in the wrong case (`mb` might be bits or mebibytes). Both
kinds render back to the shortest text that reads to the same value.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

_SIZES: Final = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}
_DURATIONS: Final = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000}
_LONGEST: Final = timedelta(days=36_500)

# At most 18 digits: no size or time that is meant has more, and Python's int() refuses thousands of them.
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]+)")
_TERM = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|[dhms])")

# The same for JSON Schema, where all that counts is whether a text matches: https://json-schema.org/draft/2020-12.
_NUMBER: Final = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
SIZE_PATTERN: Final = f"{_NUMBER} ?(?:{'|'.join(_SIZES)})"
RATE_PATTERN: Final = f"{SIZE_PATTERN} */s"
DURATION_PATTERN: Final = "(?=[0-9])" + "".join(f"(?:{_NUMBER}{unit})?" for unit in _DURATIONS)

SIZE_WANTED: Final = "a size with a unit, such as 16MiB, 2MB or 5GiB"
RATE_WANTED: Final = "a rate with a unit, such as 2MB/s or 500KiB/s"
DURATION_WANTED: Final = "a duration with a unit, such as 500ms, 10s, 5m, 1h30m or 1d"


def parse_size(text: str) -> int:
    """Bytes. Raises ValueError, saying what was expected, for anything but a number of whole bytes with a unit."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"is no size, expected {SIZE_WANTED}")
    number, unit = match.groups()
    if unit not in _SIZES:
        raise ValueError(f"has an unknown unit, expected one of {', '.join(_SIZES)}")
    size = Fraction(number) * _SIZES[unit]
    if size.denominator != 1:
        raise ValueError("is not a whole number of bytes")
    return int(size)


def parse_rate(text: str) -> int:
    """Bytes per second. Raises ValueError, saying what was expected."""
    amount, slash, per = text.rpartition("/")
    if not slash or per != "s":
        raise ValueError(f"is no rate, expected {RATE_WANTED}")
    return parse_size(amount.rstrip())


def parse_duration(text: str) -> timedelta:
    """A time span. Raises ValueError, saying what was expected; units go from large to small, each once."""
    terms = _TERM.findall(text)
    if not terms or "".join(number + unit for number, unit in terms) != text:
        raise ValueError(f"is no duration, expected {DURATION_WANTED}")
    ranks = [list(_DURATIONS).index(unit) for _, unit in terms]
    if ranks != sorted(set(ranks)):
        raise ValueError("names its units in the wrong order or twice, expected d, h, m, s, ms in this order")
    span = sum((Fraction(number) * _DURATIONS[unit] for number, unit in terms), Fraction())
    if span.denominator != 1:
        raise ValueError("is finer than a microsecond")
    if span > _LONGEST // timedelta(microseconds=1):
        raise ValueError(f"is longer than {duration_text(_LONGEST)}")
    return timedelta(microseconds=int(span))


def size_text(size: int) -> str:
    """The shortest text that `parse_size` reads back to this many bytes."""
    whole = [(size // factor, unit) for unit, factor in _SIZES.items() if size % factor == 0]
    number, unit = min(whole, key=lambda pair: pair[0])
    return f"{number}{unit}"


def duration_text(span: timedelta) -> str:
    """The canonical text that `parse_duration` reads back to this span."""
    rest = span // timedelta(microseconds=1)
    terms = []
    for unit, factor in _DURATIONS.items():
        number, rest = divmod(rest, factor)
        if unit == "ms" and rest:
            terms.append(f"{number}.{rest:03d}".rstrip("0") + unit)
        elif number:
            terms.append(f"{number}{unit}")
    return "".join(terms) or "0s"
