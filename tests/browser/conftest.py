"""A real browser before the page: Debian's Chromium, driven by Playwright. Chosen by `-m browser`; see `make browser`.

Whatever the browser complains about (a script that the CSP forbids, a resource that is missing) fails the test.
Pictures are kept in `build/browser`, for people to look at.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rig import Rig
from support.visitor import free_port

PICTURES = Path(__file__).parents[2] / "build" / "browser"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[browser]'")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium here: apt install chromium")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class Window:
    """One tab at one size, with what the browser complained about."""

    def __init__(self, context: Any, url: str) -> None:
        self.tab = context.new_page()
        self.complaints: list[str] = []
        self.tab.on("console", lambda said: self.complaints.append(said.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.tab.goto(url)

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.tab.screenshot(path=str(PICTURES / f"{name}.png"), full_page=True)

    def text(self) -> str:
        told: str = self.tab.inner_text("body")
        return told

    def scrolls_sideways(self) -> bool:
        wide: bool = self.tab.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return wide


class Screen:
    """Opens the page of one daemon."""

    def __init__(self, browser: Any, url: str) -> None:
        self._browser, self._url = browser, url
        self.windows: list[Window] = []
        self._contexts: list[Any] = []

    def open(self, path: str = "", *, width: int = 1100, dark: bool = False) -> Window:
        context = self._browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self._contexts.append(context)
        self.windows.append(Window(context, self._url + path))
        return self.windows[-1]

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture
def screen(chromium: Any, rig: Rig) -> Iterator[Screen]:
    """The page of `rig`, whose daemon the test starts itself. Nothing may be complained about in the end."""
    port = free_port()
    rig.write_config(listen=port)
    made = Screen(chromium, f"http://127.0.0.1:{port}/")
    yield made
    complaints = [each for window in made.windows for each in window.complaints]
    made.close()
    assert complaints == []
