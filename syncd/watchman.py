"""Whether the daemon is well, a few times a second in its main thread: threads live, the clerk comes round, work gets on.

What has died is begun anew where that is harmless. systemd's watchdog is fed only while the clerk comes round: if it hangs
(on a mount that does not answer, say), systemd ends the process and begins another. If workers have something in hand and
not one of them has run for minutes, the process ends by itself with the reason: no wait of ours is that long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from syncd.errors import Fatal
from syncd.ports import Clock
from syncd.telemetry.notify import Notifier

log = structlog.get_logger()

STATUS_S = 10.0
HANGS_S = 60.0
STOPPED_S = 10.0
"""If looks are further apart than this the process was stopped, and nothing could get on."""


class Watchman:
    """`came_round_at`: when the clerk last began a round; `mend` begins anew what has died and names it.

    `headline` is the status line. `working`: the workers that have something in hand, each with a number that changes
    whenever it ran (None: that cannot be told). When none has for `patience_s()` seconds, `give_up` ends the process.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        notifier: Notifier,
        came_round_at: Callable[[], float],
        mend: Callable[[], list[str]],
        headline: Callable[[], str],
        working: Callable[[], Mapping[str, int | None]],
        patience_s: Callable[[], float],
        give_up: Callable[[Fatal], None],
    ) -> None:
        self._clock = clock
        self._notifier = notifier
        self._came_round_at = came_round_at
        self._mend = mend
        self._headline = headline
        self._working = working
        self._patience_s = patience_s
        self._give_up = give_up
        self._seen: float | None = None
        self._at_work: Mapping[str, int | None] = {}
        self._looked_at = self._moved_at = self._ran_at = clock.monotonic()
        self._hangs = False
        self._told_at = self._fed_at = float("-inf")

    def look(self) -> None:
        """Look once; cheap."""
        now = self._clock.monotonic()
        if now - self._looked_at > STOPPED_S:
            self._moved_at = self._ran_at = now
        round_at = self._came_round_at()
        if round_at != self._seen:
            self._seen, self._moved_at = round_at, now
            self._feed(now)
        self._tell_hanging(now)
        for name in self._mend():
            log.error("thread_died", thread=name, what="begun anew")
        if now >= self._told_at + STATUS_S:
            self._told_at = now
            self._notifier.status(self._headline())
            self._look_at_work(now)
        # What a look itself takes is no time in which we were stopped.
        self._looked_at = self._clock.monotonic()

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

    def _look_at_work(self, now: float) -> None:
        working = self._working()
        if not working or working != self._at_work or None in working.values():
            self._at_work, self._ran_at = working, now
            return
        still_s = now - self._ran_at
        if still_s > self._patience_s():
            reason = f"nothing has moved for {still_s / 60:.0f} minutes in {', '.join(sorted(working))}"
            self._give_up(
                Fatal(reason, hint="does a disk not answer? it goes on where it was when started again")
            )
