"""How sizes, spans and moments read in a sentence. For people only: nothing ever reads these back."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def size(count: float) -> str:
    """`1.2 GB`, in powers of 1000 as links and disks are sold."""
    if count == 1:
        return "1 byte"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - what would round to 1000 is the next unit
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"  # noqa: PLR2004


def span(seconds: float) -> str:
    """`3 s`, `2 min`, `5 h 10 min`, `3 d 4 h`: the two largest units that count; never less than 1 s."""
    whole = max(round(seconds), 1)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    return _two(whole, _HOUR, "h", _MINUTE, "min") if whole < _DAY else _two(whole, _DAY, "d", _HOUR, "h")


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    first, rest = divmod(whole, large)
    return f"{first} {large_name}" + (f" {rest // small} {small_name}" if rest // small else "")


def moment(at: float) -> str:
    """RFC 3339 in UTC, to the second; a time that no calendar has as the number it is."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f} s after 1970"


def files(count: int) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} file" + ("" if count == 1 else "s")
