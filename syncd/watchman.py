"""Whether the daemon is well, a few times a second in its main thread: threads live, the clerk comes round.

What has died is begun anew where that is harmless. systemd's watchdog is fed only while the clerk comes round: if it hangs
(on a mount that does not answer, say), systemd ends the process and begins another.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from syncd.ports import Clock
from syncd.telemetry.notify import Notifier

log = structlog.get_logger()

STATUS_S = 10.0
HANGS_S = 60.0


class Watchman:
    """`rounds` counts the clerk's rounds, `mend` begins anew what has died and names it, `headline` is the status line."""

    def __init__(
        self,
        *,
        clock: Clock,
        notifier: Notifier,
        rounds: Callable[[], int],
        mend: Callable[[], list[str]],
        headline: Callable[[], str],
    ) -> None:
        self._clock = clock
        self._notifier = notifier
        self._rounds = rounds
        self._mend = mend
        self._headline = headline
        self._seen = -1
        self._moved_at = clock.monotonic()
        self._hangs = False
        self._told_at = self._fed_at = float("-inf")

    def look(self) -> None:
        """Look once; cheap."""
        now = self._clock.monotonic()
        rounds = self._rounds()
        if rounds != self._seen:
            self._seen, self._moved_at = rounds, now
            self._feed(now)
        self._tell_hanging(now)
        for name in self._mend():
            log.error("thread_died", thread=name, what="begun anew")
        if now >= self._told_at + STATUS_S:
            self._told_at = now
            self._notifier.status(self._headline())

    def _feed(self, now: float) -> None:
        """Four times as often as it must be."""
        every = self._notifier.watchdog_s
        if every is not None and now >= self._fed_at + every / 4:
            self._fed_at = now
            self._notifier.alive()

    def _tell_hanging(self, now: float) -> None:
        hangs = now - self._moved_at > HANGS_S
        if hangs and not self._hangs:
            log.error(
                "clerk_hangs", seconds=round(now - self._moved_at), hint="does a watched mount not answer?"
            )
        self._hangs = hangs
