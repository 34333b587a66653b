"""Whether the destination takes work: a locked-out or unreachable one waits and is probed, and no file pays for it.

One lock; closed by reports of visits, opened by the first visit that gets through, or by the credentials that were all it lacked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from syncd.act.step import Ending, Report
from syncd.decide.retry import PROBE_FIRST_S, probe_delay
from syncd.errors import LockedOut, NoCredentials, Transient
from syncd.ports import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Why and since when nothing is sent. `until`: monotonic time of the next probe.

    `unasked`: for want of credentials alone; the destination itself has refused nothing.
    """

    code: str
    text: str
    hint: str | None
    since: float
    until: float
    failures: int
    unasked: bool = False


class Gate:
    """Open, or closed with a reason and a time for the next probe."""

    def __init__(self, clock: Clock, chance: Callable[[], float]) -> None:
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._closed: Closed | None = None
        self._probe: int | None = None

    def closed(self) -> Closed | None:
        """The reason, while closed."""
        with self._lock:
            return self._closed

    def room(self, slots: int) -> int:
        """How many transfers may be taken up now: all slots, one probe, or none."""
        with self._lock:
            if self._closed is None:
                return slots
            due = self._closed.until <= self._clock.monotonic() and self._probe is None
            return min(slots, 1) if due else 0

    def started(self, transfer: int) -> None:
        """A transfer was taken up; while closed it is the probe."""
        with self._lock:
            if self._closed is not None:
                self._probe = transfer

    def probing(self) -> bool:
        """Whether a probe is under way."""
        with self._lock:
            return self._probe is not None

    def seconds_to_probe(self) -> float:
        """Until work may be taken up: 0 while open."""
        with self._lock:
            return 0.0 if self._closed is None else max(self._closed.until - self._clock.monotonic(), 0.0)

    def probe_now(self, code: str | None = None) -> None:
        """Something changed that may help: do not wait for the timer. `code`: only if that is why it is closed."""
        with self._lock:
            if self._closed is not None and code in {None, self._closed.code}:
                self._closed = replace(self._closed, until=self._clock.monotonic())

    def credentials_came(self) -> None:
        """What is closed for want of them is open; what refused the former ones is asked again at once."""
        with self._lock:
            if self._closed is not None and self._closed.unasked:
                self._open()
        self.probe_now("credentials")

    def passed(self) -> None:
        """The destination carried a request out: whoever it was, it takes work again."""
        with self._lock:
            self._open()

    def nothing_to_do(self) -> None:
        """No work is left that could be a probe: what is closed to nobody is not worth telling."""
        with self._lock:
            if self._probe is None:
                self._open()

    def heard(self, report: Report) -> None:
        """Learn from a visit that ended."""
        with self._lock:
            was_probe = self._probe == report.transfer
            if was_probe:
                self._probe = None
            if report.ending in {Ending.LOCKED_OUT, Ending.UNREACHABLE}:
                self._close(report, was_probe=was_probe)
            elif report.ending is Ending.REACHED:
                self._open()
            elif was_probe and self._closed is not None:  # it learnt nothing: another one, soon
                self._closed = replace(self._closed, until=self._clock.monotonic() + PROBE_FIRST_S)

    def _open(self) -> None:
        if self._closed is not None:
            log.info("destination_open_again", after=self._closed.code, failures=self._closed.failures)
            self._closed = None
            self._probe = None

    def _close(self, report: Report, *, was_probe: bool) -> None:
        known = self._closed
        if known is not None and not was_probe:
            return  # others in flight when it closed: they tell nothing new
        failures = known.failures + 1 if known else 1
        error = report.error
        code = error.code if isinstance(error, LockedOut) else "network"
        wish = error.retry_after if isinstance(error, LockedOut | Transient) else None
        now = self._clock.monotonic()
        self._closed = Closed(
            code=code,
            text=str(error),
            hint=error.hint if error else None,
            since=known.since if known else self._clock.now(),
            until=now + probe_delay(failures, self._chance(), wish=wish),
            failures=failures,
            unasked=isinstance(error, NoCredentials),
        )
        if known is None or known.code != code:
            # What keeps credentials away is told by their keeper; that the first ones are on their way is no trouble.
            tell = log.info if code == "credentials" else log.warning
            tell("destination_waits", code=code, error=str(error), hint=self._closed.hint)
