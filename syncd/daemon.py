"""The life of the process: what starts when, who watches whom, and how it ends.

Signals are not handled but waited for by the main thread, so that no code of ours ever runs inside one. On SIGTERM or
SIGINT nothing new is begun, bodies in flight have `GRACE_S` to end, and what is unfinished goes on at the next start:
an upload is never aborted here. A second signal ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from syncd.act.mailbox import Mailbox
from syncd.clerk import Clerk
from syncd.errors import Fatal, LedgerDamaged, SyncdError
from syncd.ports import Clock
from syncd.signals import SIGNALS, hold_signals
from syncd.telemetry.notify import Notifier

log = structlog.get_logger()

GRACE_S = 20.0
CLERK_S = 5.0
"""The clerk's round may be in the middle of a scan's batch."""
LOOK_S = 0.2


class Pool(Protocol):
    """Threads that can be asked to end."""

    def close(self, seconds: float) -> bool:
        """Take no more; True when all threads ended in time."""
        ...


class Daemon:
    """One running syncd. Built by `app`, lives for one `run`."""

    def __init__(
        self,
        *,
        clerk: Clerk,
        mailbox: Mailbox,
        stop: threading.Event,
        clock: Clock,
        pools: tuple[Pool, ...],
        by_ourselves: Callable[[], None],
        reload: Callable[[], None],
        errand: Callable[[], None],
        notifier: Notifier,
        starters: tuple[Callable[[], None], ...],
        closers: tuple[Callable[[], None], ...],
    ) -> None:
        """`by_ourselves` is called when the end begins, unless it is a failure: no file is to blame for it.

        `reload` on SIGHUP, `errand` a few times a second; both in the main thread, neither raises.
        """
        self.clerk = clerk
        self.stop = stop
        self.rounds = 0  # how often the clerk has come round
        self._mailbox = mailbox
        self._clock = clock
        self._pools = pools
        self._by_ourselves = by_ourselves
        self._reload = reload
        self._errand = errand
        self._starters = starters
        self._closers = closers
        self._failure: BaseException | None = None
        self._notifier = notifier
        self._clerk_thread = threading.Thread(target=self._clerk_life, name="clerk", daemon=True)

    def run(
        self, finished: Callable[[], bool] = lambda: False, before_close: Callable[[], None] = lambda: None
    ) -> None:
        """Live until a signal, a failure or `finished()`, which is asked a few times a second.

        `before_close` is called at the end, when nothing moves any more and the ledger is still open.
        Raises what stopped the clerk; a SyncdError among those is for the operator.
        """
        hold_signals()
        try:
            for start in self._starters:
                start()
            self._clerk_thread.start()
            self._notifier.ready()
            log.info("started", pid=os.getpid())
            self._wait(finished)
        finally:
            self._end(before_close)
        if self._failure is not None:
            raise self._failure

    def fail(self, reason: Fatal) -> None:
        """End because of this. No file is to blame: a disk that stands still for hours would park one after another."""
        log.critical("giving_up", reason=str(reason), hint=reason.hint)
        self._by_ourselves()
        self._failure = self._failure or reason
        self.stop.set()

    def _wait(self, finished: Callable[[], bool]) -> None:
        while not self.stop.is_set() and not finished():
            caught = signal.sigtimedwait(SIGNALS, LOOK_S)
            # Stopped and continued (a debugger, SIGSTOP), it comes back with no signal at all: number 0.
            if caught is not None and caught.si_signo in SIGNALS[:2]:
                log.info("stopping", signal=signal.Signals(caught.si_signo).name)
                return
            if caught is not None and caught.si_signo == signal.SIGHUP:
                self._notifier.reloading(self._clock.monotonic())
                self._reload()
                self._notifier.ready()
            if not self._clerk_thread.is_alive():
                return
            self._errand()

    def _clerk_life(self) -> None:
        try:
            while not self.stop.is_set():
                pause = self.clerk.tick()
                self.rounds += 1
                self._clock.wait(self._mailbox.knock, pause)
        except LedgerDamaged as damaged:
            self.clerk.condemn(damaged)
            self._failure = damaged
        except BaseException as failure:  # noqa: BLE001 - the main thread raises it
            self._failure = failure if isinstance(failure, SyncdError) else _unexpected(failure)

    # -- the end

    def _end(self, before_close: Callable[[], None]) -> None:
        self._notifier.stopping()
        self.stop.set()
        if self._failure is None:
            self._by_ourselves()
        self._mailbox.wake()
        watcher = threading.Thread(target=self._end_at_once_on_signal, name="second-signal", daemon=True)
        watcher.start()
        until = self._clock.monotonic() + GRACE_S
        ended = [pool.close(max(until - self._clock.monotonic(), 0.0)) for pool in self._pools]
        if self._clerk_thread.ident is not None:  # a starter may have failed before
            self._clerk_thread.join(CLERK_S)
        try:
            before_close()
        finally:
            for close in self._closers:
                close()
        log.info("stopped", in_flight_dropped=not all(ended))

    @staticmethod
    def _end_at_once_on_signal() -> None:
        if signal.sigwait(SIGNALS[:2]):
            os._exit(0)


def _unexpected(failure: BaseException) -> Fatal:
    """What no one foresaw: the log has the trace, the operator a sentence."""
    log.critical("unexpected_failure", exc_info=failure)
    # Not its words: nobody knows what is in them, and the log has them cleaned.
    return Fatal(
        f"unexpected failure: {type(failure).__name__}",
        hint="please report it with the log lines before this one",
    )
