"""Structured logs on stderr: JSON lines for machines, readable text on a terminal, secrets in neither.

Every event, ours or a library's, goes through one chain: repeats are held back, then the text is cleaned (see
`redact`). Libraries are heard from WARNING up only: botocore at DEBUG prints signed headers and session tokens.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from syncd.telemetry.redact import Cleaner

REPEAT_WINDOW_S: Final = 60.0
_REMEMBERED: Final = 1024
_LIBRARIES: Final = (
    "botocore",
    "boto3",
    "urllib3",
    "watchdog",
    "s3transfer",
    "awscrt",
    "werkzeug",
    "waitress",
)


def configure(
    level: str,
    format: str = "auto",  # noqa: A002 - the configuration's own word
    stream: TextIO | None = None,
    secrets: Callable[[], Iterable[str]] = tuple,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Set up all logging of this process; again replaces what was before.

    `format` is auto, console or json; auto is console where the stream (stderr) is a terminal. `secrets` gives the
    secret values of the moment; it is asked for each line, must not block, raise or log.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    console = format == "console" or (format == "auto" and terminal)
    colors = terminal and "NO_COLOR" not in os.environ
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            Repeats(monotonic),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.StackInfoRenderer(),
            *_rendering(console, colors, Cleaner(secrets)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Lines(stream).itself,
        cache_logger_on_first_use=False,  # a reload changes the level of loggers that exist
    )
    _adopt_libraries()


def _rendering(console: bool, colors: bool, clean: Cleaner) -> list[Processor]:
    if not console:
        frames = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
        return [frames, clean, _as_json]
    lines = structlog.dev.ConsoleRenderer(
        colors=colors, timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, clean, lines]


def _as_json(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    """One line; ts, level and event first, what is long last, the rest by name."""
    first, last = ("ts", "level", "event"), ("stack", "exception")
    between = sorted(event_dict.keys() - {*first, *last})
    ordered = {name: event_dict[name] for name in (*first, *between, *last) if name in event_dict}
    return json.dumps(ordered, ensure_ascii=False)


class Repeats:
    """Holds back a warning or error that says the same again within a minute; the next one says how often.

    The same: level, event and fields; floats and attempt numbers, which differ each time, aside.
    """

    def __init__(self, monotonic: Callable[[], float], window_s: float = REPEAT_WINDOW_S) -> None:
        self._monotonic = monotonic
        self._window_s = window_s
        # Guards _seen. Reentrant: the garbage collector may run inside, and what it ends may log (asyncio's tasks do).
        self._lock = threading.RLock()
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def __call__(self, _logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
        """The event, or structlog.DropEvent."""
        if event_dict.get("level") not in {"warning", "error", "critical"}:
            return event_dict
        said = tuple(
            f"{name}={_gist(value)}" for name, value in sorted(event_dict.items()) if _tells(name, value)
        )
        now = self._monotonic()
        with self._lock:
            spoken_at, held_back = self._seen.pop(said, (now - self._window_s, 0))
            if now - spoken_at < self._window_s:
                self._seen[said] = spoken_at, held_back + 1
                raise structlog.DropEvent
            self._seen[said] = now, 0
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        if held_back:
            event_dict["repeated"] = held_back
        return event_dict


def _tells(name: str, value: object) -> bool:
    return not isinstance(value, float) and name not in {"attempt", "attempts"}


def _gist(value: object) -> str:
    """The value as text; of an exception only what it says, not where."""
    if value is True:  # exc_info=True: the one being handled
        value = sys.exc_info()[1]
    if isinstance(value, tuple) and len(value) == 3 and isinstance(value[1], BaseException):  # noqa: PLR2004 - exc_info
        value = value[1]
    return repr(value)


class _Lines:
    """Where finished lines go. A broken stderr must not stop an upload, so it costs the line only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()  # lines of several threads stay whole; reentrant as in Repeats

    def itself(self, *_names: Any) -> _Lines:
        """One for all: structlog asks for a logger per name."""
        return self

    def msg(self, line: str) -> None:
        """Write and flush one line."""
        with self._lock:
            try:
                self._write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # closed, full, or nobody reads
                return

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))

    debug = info = warning = error = critical = exception = msg


class _Bridge(logging.Handler):
    """Brings what libraries log through the standard module into our chain."""

    def emit(self, record: logging.LogRecord) -> None:
        """One event named `library_message`, at the record's own level."""
        try:
            level = record.levelno // 10 * 10
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - the standard module's own rule: a bad format string is not our end
            self.handleError(record)
            return
        structlog.get_logger().log(
            min(max(level, logging.DEBUG), logging.CRITICAL),
            "library_message",
            library=record.name,
            message=text,
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def _adopt_libraries() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(logging.WARNING)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
