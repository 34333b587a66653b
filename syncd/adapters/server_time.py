"""What time it is at the servers, learnt from the `Date` of their answers: for signatures, and to tell people.

Kept as a distance to a clock that nobody can set and that counts through suspend, so a jump of the wall clock changes
nothing. Refuses to make a good clock worse: within a minute the wall clock counts, for NTP is finer than a `Date`, which
has whole seconds and comes late, and S3 takes signatures that are 15 minutes off. Refuses nonsense and old news.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from syncd.ports import Clock, TimeSource

log = structlog.get_logger()

GOOD_CLOCK_S = 60.0
"""A wall clock this near to the server's is believed; further away the server's time is used in its place."""

_AGREES_S = 1.0  # servers of one fleet differ by as much; moving along would only be noise
_LONGEST_ANSWER_S = 600.0  # the date of an answer that took longer (suspend lay between) says too little
_EARLIEST, _LATEST = 1_767_225_600.0, 4_102_444_800.0  # 2026, for this program is no older, and 2100
_HINT = "requests are signed by the server's time; set this machine's clock (timedatectl set-ntp true)"


class LearntTime:
    """`ports.ServerTime`, from any thread. S3's word outranks the credential API's, for S3 judges the signatures."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._started: float | None = None  # what the server's clock would have said when ours began to count
        self._source: TimeSource = "api"
        self._told: float | None = None  # the wrong offset that was logged

    def heard(self, date: float, *, source: TimeSource, asked_at: float) -> None:
        heard_at = self._clock.boottime()
        if not _EARLIEST <= date < _LATEST or heard_at - asked_at > _LONGEST_ANSWER_S:
            return
        with self._lock:
            if (self._source, source) == ("s3", "api"):
                return
            # The date is cut to the second, and was true at some moment between the question and now.
            self._learn(date - heard_at, date + 1.0 - asked_at)
            self._source = source
            self._tell()

    def now(self) -> float:
        offset, wall = self.offset(), self._clock.now()
        return wall if offset is None or abs(offset) <= GOOD_CLOCK_S else wall - offset

    def offset(self) -> float | None:
        started = self._started
        return None if started is None else self._clock.now() - (started + self._clock.boottime())

    def _learn(self, least: float, most: float) -> None:
        """Stay with what is known as long as it may be true: a slow answer says less than a quick one did."""
        known = self._started
        if known is None or not least - _AGREES_S <= known <= most + _AGREES_S:
            self._started = (least + most) / 2

    def _tell(self) -> None:
        """Once when the clock turns out wrong, once more when it is wrong in another way, once when it is right."""
        offset = self.offset() or 0.0
        if abs(offset) <= GOOD_CLOCK_S:
            if self._told is not None:
                log.info("clock_right_again", clock_offset_s=round(offset))
            self._told = None
        elif self._told is None or abs(offset - self._told) > GOOD_CLOCK_S:
            log.warning("clock_offset_large", clock_offset_s=round(offset), hint=_HINT)
            self._told = offset
