"""The last hour as sixty bars, drawn here as SVG so that no script is needed, and as one sentence for those who do not see it. Pure."""

from __future__ import annotations

from markupsafe import Markup

from syncd.console.words import bytes_text

WIDTH, HEIGHT, BAR = 600, 96, 8
_STEP = WIDTH // 60
_MINUTE_S = 60.0


def sentence(last_hour: tuple[int, ...]) -> str:
    """How much went out, and how fast at best."""
    total, best = sum(last_hour), max(last_hour)
    if not total:
        return "Nothing was sent in the last hour."
    back = len(last_hour) - 1 - last_hour.index(best)
    when = "in this minute" if back == 0 else f"{back} min ago"
    return f"{bytes_text(total)} in the last hour; {bytes_text(best / _MINUTE_S)}/s at best, {when}."


def highest(last_hour: tuple[int, ...]) -> str:
    """What the top of the chart stands for."""
    return f"{bytes_text(max(last_hour) / _MINUTE_S)}/s"


def bars(last_hour: tuple[int, ...]) -> Markup:
    """The picture; an image with the sentence as its name."""
    best = max(*last_hour, 1)
    drawn = Markup("").join(
        Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(
            place * _STEP + 1, HEIGHT - height, BAR, height
        )
        for place, count in enumerate(last_hour)
        if (height := _height(count, best))
    )
    return Markup(
        '<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(sentence(last_hour), WIDTH, HEIGHT, drawn)


def _height(count: int, best: int) -> int:
    """Whatever was sent can be seen."""
    return max(round(HEIGHT * count / best), 2) if count else 0
