from __future__ import annotations

import io
import json
import logging
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from syncd.telemetry import logs

CANARY = "c4n4ry-secret-value"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    """Logging is the process's own: leave it as it was."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(stream: io.StringIO, level: str = "info", style: str = "auto", **more: Any) -> Any:
    logs.configure(level, style, stream, secrets=lambda: [CANARY], **more)
    return structlog.get_logger()


def test_off_a_terminal_a_line_is_json_with_time_level_and_event_first(stream: io.StringIO) -> None:
    configured(stream).info("file_uploaded", size=3, key="a/b", path=b"x\xff")
    (line,) = stream.getvalue().splitlines()
    assert re.fullmatch(
        r'{"ts": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "level": "info", "event": "file_uploaded",'
        r' "key": "a/b", "path": "x\\\\xff", "size": 3}',
        line,
    )


def test_on_a_terminal_a_line_is_for_people() -> None:
    stream = Terminal()
    configured(stream).info("file_uploaded", key="a\x1b[2Jb")
    assert "file_uploaded" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert r"\x1b[2J" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def test_colors_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    configured(stream, style="console").info("e")
    assert "\x1b" not in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    configured(plain).info("e")
    assert "\x1b" not in plain.getvalue()
    assert "e" in plain.getvalue()


def test_json_can_be_asked_for_on_a_terminal() -> None:
    stream = Terminal()
    configured(stream, style="json").info("e")
    assert lines(stream)[0]["event"] == "e"


def test_the_stream_is_stderr_unless_given(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger().info("here")
    out, err = capsys.readouterr()
    assert (out, json.loads(err)["event"]) == ("", "here")


def test_the_level_cuts_off_what_is_below_and_can_change_for_loggers_that_exist(stream: io.StringIO) -> None:
    log = configured(stream, level="warning")
    log.info("no")
    log.warning("yes")
    configured(stream, level="debug")
    log.debug("now")
    assert [line["event"] for line in lines(stream)] == ["yes", "now"]


def fail() -> None:
    canary = CANARY  # a local that must not show
    beside = "another-" + canary[::-1]
    try:
        int(f"{canary} \x1b[2J {len(beside)}")
    except ValueError as error:
        raise RuntimeError("no upload") from error


@pytest.mark.parametrize("style", ["json", "console"])
def test_an_exception_shows_its_story_but_neither_locals_nor_secrets(stream: io.StringIO, style: str) -> None:
    log = configured(stream, style=style)
    try:
        fail()
    except RuntimeError:
        log.exception("upload_failed")
    shown = stream.getvalue()
    assert "no upload" in shown
    assert "[secret]" in shown
    assert CANARY not in shown
    assert CANARY[::-1] not in shown
    assert "\x1b" not in shown


def test_an_exception_in_json_is_data(stream: io.StringIO) -> None:
    log = configured(stream)
    try:
        fail()
    except RuntimeError:
        log.exception("upload_failed")
    (line,) = lines(stream)
    assert [part["exc_type"] for part in line["exception"]] == ["RuntimeError", "ValueError"]
    assert line["exception"][0]["frames"][-1]["name"] == "fail"
    assert list(line)[-1] == "exception"


def test_libraries_are_heard_from_warning_up_through_the_same_chain(stream: io.StringIO) -> None:
    configured(stream, level="debug")
    logging.getLogger("botocore.auth").debug("signed %s", CANARY)
    logging.getLogger("urllib3.connectionpool").info("hello")
    logging.getLogger("watchdog.observers.inotify_c").warning("overflow %s\n", CANARY)
    (line,) = lines(stream)
    del line["ts"]
    assert line == {
        "level": "warning",
        "event": "library_message",
        "library": "watchdog.observers.inotify_c",
        "message": "overflow [secret]\\n",
    }


def test_a_librarys_exception_comes_along(stream: io.StringIO) -> None:
    configured(stream)
    try:
        fail()
    except RuntimeError:
        logging.getLogger("urllib3").exception("lost")
    (line,) = lines(stream)
    assert line["exception"][0]["exc_type"] == "RuntimeError"


def test_configuring_again_does_not_say_things_twice(stream: io.StringIO) -> None:
    configured(stream)
    configured(stream)
    logging.getLogger("x").warning("once")
    assert len(lines(stream)) == 1


def test_pythons_warnings_are_log_lines(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        configured(stream)
        warnings.simplefilter("always")
        warnings.warn("old ways", stacklevel=1)
        logging.captureWarnings(False)
    (line,) = lines(stream)
    assert (line["library"], "old ways" in line["message"]) == ("py.warnings", True)


def test_the_same_warning_is_said_once_a_minute_with_the_number_held_back(stream: io.StringIO) -> None:
    now = [1000.0]
    log = configured(stream, monotonic=lambda: now[0])
    for attempt in range(5):
        log.warning("no_route", host="s3", wait_s=attempt * 1.5, attempt=attempt)
        now[0] += 10
    now[0] = 1060.0
    log.warning("no_route", host="s3", wait_s=9.0)
    log.warning("no_route", host="s3", wait_s=9.0)
    now[0] = 1130.0
    log.warning("no_route", host="s3", wait_s=9.0)
    assert [line.get("repeated") for line in lines(stream)] == [None, 4, 1]


def test_what_differs_in_event_level_field_or_exception_is_no_repeat(stream: io.StringIO) -> None:
    log = configured(stream, monotonic=lambda: 1.0)
    log.warning("a", path="x")
    log.warning("a", path="y")
    log.error("a", path="x")
    log.warning("b", path="x")
    log.error("a", path="x", exc_info=ValueError("1"))
    log.error("a", path="x", exc_info=ValueError("2"))
    log.error("a", path="x", exc_info=ValueError("2"))
    assert len(lines(stream)) == 6


def test_infos_are_never_held_back(stream: io.StringIO) -> None:
    log = configured(stream, monotonic=lambda: 1.0)
    for _ in range(3):
        log.info("file_uploaded")
    assert len(lines(stream)) == 3


def test_what_is_remembered_about_repeats_is_bounded() -> None:
    repeats = logs.Repeats(lambda: 1.0)
    for number in range(5000):
        repeats(None, "warning", {"level": "warning", "event": str(number)})
    assert len(repeats._seen) == 1024


def test_a_broken_stream_costs_the_line_not_the_daemon() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    configured(Full()).info("e")
    closed = io.StringIO()
    log = configured(closed)
    closed.close()
    log.info("e")


def test_a_stream_that_cannot_write_all_letters_gets_them_spelled_out() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    logs.configure("info", "json", stream)
    structlog.get_logger().info("e", path="ü")
    stream.flush()
    assert json.loads(raw.getvalue().replace(b"\\x", b"\\u00"))["path"] == "ü"


def test_lines_of_many_threads_stay_whole(stream: io.StringIO) -> None:
    log = configured(stream)
    threads = [
        threading.Thread(target=lambda: [log.info("e", text="x" * 200) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(stream)) == 200


def test_what_the_garbage_collector_ends_in_the_middle_may_log_too() -> None:
    repeats = logs.Repeats(lambda: 0.0)

    inner: list[Any] = []

    class Collects(OrderedDict[Any, Any]):
        """Something is ended in the middle, and says so."""

        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            if "inner" not in str(key):
                inner.append(repeats(None, "error", {"level": "error", "event": "inner"}))

    repeats._seen = Collects()
    told = threading.Thread(
        target=lambda: repeats(None, "error", {"level": "error", "event": "outer"}), daemon=True
    )
    told.start()
    told.join(10.0)
    assert not told.is_alive(), "it waits for itself"
    assert [each["event"] for each in inner] == ["inner"]
