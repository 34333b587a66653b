"""The time before the daemon: while its ledger cannot be opened, the process waits, says so, and tries again.

To end instead would be a loop of crashes under systemd, on a machine beside which nobody sits.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import structlog

from syncd import __version__
from syncd.adapters.clock import SystemClock
from syncd.config.model import Config
from syncd.console.server import ControlServer
from syncd.errors import LedgerAway, LedgerFull, SyncdError
from syncd.inside.waiting import WaitingForLedger
from syncd.policies import credential_source, folder_policies
from syncd.signals import SIGNALS
from syncd.telemetry.notify import Notifier

if TYPE_CHECKING:
    from syncd.console.page.server import PageServer

log = structlog.get_logger()

T = TypeVar("T")

PAUSE_S = 5.0


def until_open(config: Config, build: Callable[[], T], *, patience_s: float | None = None) -> T | None:
    """What `build` gives, as soon as the ledger lets it; None when a signal ended the wait.

    Raises LedgerAway or LedgerFull when `patience_s` is over, and whatever else `build` raises.
    """
    clock, notifier = SystemClock(), Notifier()
    began, since = clock.monotonic(), clock.now()
    with contextlib.ExitStack() as said:
        page: PageServer | None = None
        while True:
            try:
                return build()
            except (LedgerAway, LedgerFull) as trouble:
                if patience_s is not None and clock.monotonic() - began >= patience_s:
                    raise
                log.error("ledger_away", error=str(trouble), hint=trouble.hint, again_in_s=PAUSE_S)  # noqa: TRY400
                view = _view(config, trouble, since)
                page = _shown(page, config, view, said)
                with _said(config, view):
                    notifier.ready()  # it is up, and does what it can: wait
                    notifier.alive()
                    notifier.status(f"blocked: {trouble}")
                    if _told_to_end(PAUSE_S):
                        return None


def _view(config: Config, trouble: SyncdError, since: float) -> WaitingForLedger:
    return WaitingForLedger(
        version=__version__,
        device=config.device,
        source=credential_source(config),
        folders=folder_policies(config),
        clock=SystemClock(),
        trouble=trouble,
        since=since,
    )


@contextlib.contextmanager
def _said(config: Config, view: WaitingForLedger) -> Iterator[None]:
    """Whoever asks is told, as far as there is a place for the socket."""
    console = ControlServer(config.socket, view)
    with contextlib.suppress(SyncdError, OSError):
        console.start()
    try:
        yield
    finally:
        console.stop()


def _shown(
    page: PageServer | None, config: Config, view: WaitingForLedger, said: contextlib.ExitStack
) -> PageServer | None:
    """The page tells the same, where one is wanted; it stays until the wait is over."""
    if page is None and config.console.listen is not None:
        from syncd.console.page.server import page_at  # noqa: PLC0415 - Flask and waitress only for those who want a page

        page = page_at(config.console.listen, view, SystemClock())
        said.callback(page.stop)
        page.start()
    elif page is not None:
        page.view = view
        page.mend()
    return page


def _told_to_end(seconds: float) -> bool:
    caught = signal.sigtimedwait(SIGNALS, seconds)
    return caught is not None and caught.si_signo in SIGNALS[:2]
