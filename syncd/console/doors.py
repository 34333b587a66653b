"""Where people look in while a daemon runs: the control socket, and the page where one is wanted.

Opened, moved and closed as the configuration says. A door that cannot be had costs the daemon nothing but itself: the socket
stays where it was, the page tries again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from syncd.console.server import ControlServer, View
from syncd.errors import SyncdError
from syncd.ports import Clock

if TYPE_CHECKING:
    from syncd.console.page.server import PageServer
    from syncd.console.page.view import PageView

log = structlog.get_logger()


class Doors:
    """`view` and `page_view` give what is to be seen from now on; they are asked again whenever that may be another."""

    def __init__(
        self,
        *,
        socket: Path,
        listen: str | None,
        view: Callable[[], View],
        page_view: Callable[[], PageView],
        clock: Clock,
    ) -> None:
        self._view, self._page_view, self._clock = view, page_view, clock
        self._socket, self._listen = socket, listen
        self.console = ControlServer(socket, view())
        self.page = self._new_page()

    def start(self) -> None:
        """Raises SyncdError where the socket cannot be had."""
        self.console.start()
        if self.page is not None:
            self.page.start()

    def stop(self) -> None:
        """Close both; harmless without a start."""
        self.console.stop()
        if self.page is not None:
            self.page.stop()

    def mend(self) -> list[str]:
        """Begin anew what has died, and name it."""
        mended = ["console"] if self.console.mend() else []
        return [*mended, "page"] if self.page is not None and self.page.mend() else mended

    def page_away(self) -> str | None:
        """Why there is no page although one is wanted, in one sentence."""
        return None if self.page is None else self.page.away()

    def change(self, *, socket: Path, listen: str | None) -> None:
        """Show what is to be seen now, at the places that are wanted now."""
        self._change_socket(socket)
        self._change_page(listen)

    def _change_socket(self, socket: Path) -> None:
        former = self.console
        if socket != self._socket:
            self.console = ControlServer(socket, self._view())
            try:
                self.console.start()
            except SyncdError as error:
                log.error("console_stays", error=str(error), hint=error.hint)  # noqa: TRY400 - no trace of ours is wanted
                self.console = former
            else:
                former.stop()
        self._socket = socket
        self.console.view = self._view()

    def _change_page(self, listen: str | None) -> None:
        if listen == self._listen:
            if self.page is not None:
                self.page.view = self._page_view()
            return
        if self.page is not None:
            self.page.stop()
        self._listen = listen
        self.page = self._new_page()
        if self.page is not None:
            self.page.start()

    def _new_page(self) -> PageServer | None:
        if self._listen is None:
            return None
        # Flask, waitress and prometheus-client: only for those who want a page.
        from syncd.console.page.server import page_at  # noqa: PLC0415 - see above

        return page_at(self._listen, self._page_view(), self._clock)
