"""The page in a real browser: what a person sees while things go well, badly, strangely, and in great number."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest
from support.known import make_known
from support.rig import Rig, noise
from support.script import KINDS, Script

from .conftest import Screen, Window

pytestmark = pytest.mark.browser

MIB = 1 << 20
HOSTILE = [b"<img src=x onerror=alert(1)>.mp4", b"cam\xe2\x80\xaegpj.exe\x1b[31m", b"bad\xff\xfebytes.bin"]
ROWS = 10_000


def shows(rig: Rig, window: Window, words: str, seconds: float = 30.0) -> None:
    """It comes by itself: nobody loads the page anew."""
    rig.wait(lambda: words in window.text(), seconds, what=f"{words!r} on the page")


def test_an_upload_is_seen_to_move_and_to_end_without_loading_the_page_anew(rig: Rig, screen: Screen) -> None:
    rig.pace.rate = 2.0 * MIB
    rig.start()
    window = screen.open()
    shows(rig, window, "syncd on cam is idle.")
    rig.drop("lecture.mp4", noise(40 * MIB))
    shows(rig, window, "lecture.mp4")
    first = progress(window)
    rig.wait(lambda: progress(window) > first, what="progress that is seen")
    window.picture("uploading")
    for width, dark, name in ((1100, True, "dark"), (320, False, "narrow")):
        other = screen.open(width=width, dark=dark)
        assert not other.scrolls_sideways(), name
        other.picture(f"uploading-{name}")
    rig.pace.rate = None
    shows(rig, window, "syncd on cam is idle.")
    window.picture("idle")


def progress(window: Window) -> float:
    bars = window.tab.locator("progress")
    return float(bars.first.get_attribute("value") or 0) if bars.count() else 0.0


def test_a_destination_that_locks_us_out_is_the_first_thing_that_is_read(rig: Rig, screen: Screen) -> None:
    rig.store.faults = Script([KINDS["403 AccessDenied"](operation="PutObject")])
    rig.start()
    rig.drop("film", b"abc")
    window = screen.open()
    shows(rig, window, "BLOCKED")
    assert "s3:PutObject" in window.tab.inner_text("header, [role=banner], main >> nth=0")
    assert not window.scrolls_sideways()
    window.picture("locked-out")
    rig.store.faults = None
    rig.run("retry", "--all")
    shows(rig, window, "syncd on cam is idle.", 90)


def test_names_that_mean_harm_are_only_text(rig: Rig, screen: Screen) -> None:
    text = rig.config.read_text()
    rig.config.write_text(text.replace("    rescan:", '    key: "{prefix}{name}"\n    rescan:'))
    for folder in ("a", "b"):
        (rig.inbox / folder).mkdir()
        for name in HOSTILE:
            (rig.inbox / folder / os.fsdecode(name)).write_bytes(folder.encode() * 1000)
    rig.start()
    rig.wait(lambda: rig.status()["counts"]["parked"] == len(HOSTILE), what="the parking")
    window = screen.open()
    shows(rig, window, "Parked until a person looks")
    told = window.text()
    assert "<img src=x onerror=alert(1)>.mp4" in told
    assert "cam\\u202egpj.exe\\x1b[31m" in told
    assert "bad\\xff\\xfebytes.bin" in told
    assert window.tab.locator("img").count() == 0
    assert len(re.findall(r"syncd retry [$']", told)) == len(HOSTILE)
    window.picture("hostile-names")
    narrow = screen.open(width=320)
    assert not narrow.scrolls_sideways()
    narrow.picture("hostile-names-narrow")


def test_ten_thousand_rows_of_history_are_leafed_through_and_searched(rig: Rig, screen: Screen) -> None:
    rig.drop("000/first.bin", b"x")
    rig.start()
    rig.wait(lambda: rig.arrived() == 1, what="the first object")
    rig.wait(lambda: rig.status()["state"] == "idle", what="rest")
    assert rig.stop() == 0
    make_known(rig, ROWS)
    rig.start()
    window = screen.open()
    shows(rig, window, "10,001 files")
    newest = history(window)
    assert len(newest) == 100
    with window.tab.expect_navigation():
        window.tab.get_by_role("link", name="Older", exact=True).click()
    assert len(history(window)) == 100
    assert not set(history(window)) & set(newest)
    window.tab.locator("input[type=search]").fill("007/042.bin")
    with window.tab.expect_navigation():
        window.tab.keyboard.press("Enter")
    assert len(history(window)) == 1
    assert "007/042.bin" in history(window)[0]
    window.picture("history")


def history(window: Window) -> list[str]:
    rows: list[str] = window.tab.locator("#history tbody tr").all_inner_texts()
    return rows


def test_by_keyboard_alone_the_search_is_reached_and_seen_to_have_the_focus(rig: Rig, screen: Screen) -> None:
    rig.start()
    window = screen.open()
    shows(rig, window, "syncd on cam is")
    focused: Callable[[], str] = lambda: window.tab.evaluate("document.activeElement.type || ''")  # noqa: E731
    for _ in range(20):
        window.tab.keyboard.press("Tab")
        if focused() == "search":
            break
    assert focused() == "search"
    outline = window.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_a_daemon_that_does_not_answer_is_not_taken_for_one_that_is_well(rig: Rig, screen: Screen) -> None:
    rig.start()
    window = screen.open()
    shows(rig, window, "syncd on cam is idle.")
    assert window.complaints == []
    rig.signal(signal.SIGSTOP)
    shows(rig, window, "has not answered since")
    window.picture("silent")
    rig.signal(signal.SIGCONT)
    rig.wait(lambda: "has not answered since" not in window.text(), what="the sign's going")
    # The browser tells of requests that failed, as it should.
    window.complaints[:] = [each for each in window.complaints if "ERR_" not in each]
