"""The rules of `run --once`: what it takes, when it is finished, what it leaves over and why.

It takes what is there at the start: the files that stand in the ledger when a folder was scanned for the first time.
Files that appear later may be sent meanwhile, but nobody waits for them. It only looks; the work is the clerk's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from syncd.act.gate import Closed
from syncd.act.world import FolderPolicy
from syncd.decide.dispose import waits_for_age
from syncd.decide.pause import RESUME
from syncd.decide.states import ENDED
from syncd.model import State, Transfer
from syncd.ports import Clock, Ledger

SHORTEST_SETTLING_S: Final = 30.0
EXAMINED_AT_ONCE: Final = 500
_NOT_BEGUN: Final = frozenset({State.DISCOVERED, State.SETTLED, State.PLANNED})
_ALL: Final = 2**31
_EVER: Final = 1e12


class Desk(Protocol):
    """What is asked of a folder."""

    @property
    def policy(self) -> FolderPolicy:
        """Which folder."""
        ...

    @property
    def scans_done(self) -> int:
        """Whole scans so far."""
        ...

    @property
    def reason(self) -> str | None:
        """Why it waits."""
        ...

    def is_there(self) -> bool:
        """Whether its files can be read now."""
        ...

    def scanning(self) -> bool:
        """Whether a scan is under way."""
        ...


class Clerk(Protocol):
    """What is asked of the clerk."""

    @property
    def folders(self) -> Sequence[Desk]:
        """The watched folders."""
        ...

    def busy(self) -> Collection[int]:
        """The transfers that workers have in hand."""
        ...

    def reading_again(self) -> int:
        """How many files wait to be compared with what was uploaded."""
        ...


class Gate(Protocol):
    """What is asked of the gate."""

    def closed(self) -> Closed | None:
        """Why the destination takes nothing; None while it does."""
        ...


@dataclass(frozen=True, slots=True)
class LeftOver:
    """Something that was not done: a file, a folder, an upload to abort; and why."""

    what: bytes
    why: str


@dataclass(slots=True, kw_only=True)
class _Awaited:
    """A row that must end. `settle_by`: monotonic; `follower`: it took the place of another in this run."""

    settle_by: float
    follower: bool


def settling_s(quiet_s: float) -> float:
    """How long a file may go on changing before it is left over."""
    return max(3 * quiet_s, SHORTEST_SETTLING_S)


class OnceRun:
    """Asked by the daemon's main thread a few times a second whether all is done.

    `rounds` counts the clerk's rounds, `wake` asks for one more, `pulse` tells when a transfer's bytes last went out, by
    its token. Progress is: a byte more of an awaited file went out, one ended, one is still within its settling time, a
    folder is being scanned, a comparison or an abort is over.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        clerk: Clerk,
        gate: Gate,
        rounds: Callable[[], int],
        wake: Callable[[], None],
        pulse: Callable[[str | None], float | None],
        patience_s: float,
    ) -> None:
        self.done = 0
        self._clock = clock
        self._ledger = ledger
        self._clerk = clerk
        self._gate = gate
        self._rounds = rounds
        self._wake = wake
        self._pulse = pulse
        self._patience_s = patience_s
        self._moved_at = clock.monotonic()
        self._unmet: dict[bytes, int | None] = {desk.policy.path: None for desk in clerk.folders}
        self._desks = {desk.policy.path: desk for desk in clerk.folders}
        self._awaited: OrderedDict[int, _Awaited] = OrderedDict()
        self._left: dict[int, None] = {}
        self._ours: set[int] = set()  # every id ever awaited
        self._highest = ledger.last_id()
        self._comparing = False
        self._compared = False
        self._not_reading_in: int | None = None
        self._marks: tuple[object, ...] = ()

    @property
    def total(self) -> int:
        """Files taken on so far; `done` of them are."""
        return len(self._awaited) + len(self._left) + self.done

    # -- is it finished?

    def finished(self) -> bool:
        """Whether there is nothing left to wait for, or nothing has moved for as long as patience lasts."""
        now = self._clock.monotonic()
        self._meet_folders(now)
        self._take_new_versions(now)
        self._examine(now)
        self._watch_the_rest(now)
        return not self._pending() or now - self._moved_at >= self._patience_s

    def _pending(self) -> bool:
        return bool(self._awaited or self._unmet or self._reading() or self._abort())

    def _reading(self) -> bool:
        """Whether files may still be compared: a whole round of the clerk must have begun and ended without."""
        if self._reading_now():
            self._not_reading_in = None
            return True
        if self._not_reading_in is None:
            self._not_reading_in = self._rounds()
            self._wake()
        return self._rounds() <= self._not_reading_in

    def _reading_now(self) -> bool:
        """Whether a file is being compared, or waits for it; blind to the one that is just being handed out."""
        if self._clerk.reading_again():
            return True
        in_hand = map(self._ledger.get, self._clerk.busy())
        return any(row is not None and row.state is State.DONE for row in in_hand)

    def _abort(self) -> str | None:
        """An upload that is still to be aborted, also one that must wait."""
        found = self._ledger.aborts(_EVER, 1)
        return found[0].upload_id if found else None

    def _watch_the_rest(self, now: float) -> None:
        """Comparing, aborting and scanning have no bytes to count: their steps are progress."""
        scanning = any(self._desks[path].scanning() for path in self._unmet)
        marks = (self._clerk.reading_again(), self._abort(), self._rounds() if scanning else None)
        if marks != self._marks:
            self._marks, self._moved_at = marks, now

    # -- what is taken on

    def _meet_folders(self, now: float) -> None:
        """Take on the files of folders that were scanned, once the clerk's round in which that was is over."""
        for path, seen_in in list(self._unmet.items()):
            if not self._desks[path].scans_done:
                continue
            if seen_in is None:
                self._unmet[path] = self._rounds()
                self._wake()
            elif self._rounds() > seen_in:
                self._comparing |= self._reading_now()  # asked first: what it leads to later is taken later
                del self._unmet[path]
                self._take(now, {path}, after=0)

    def _take_new_versions(self, now: float) -> None:
        """A file that proved on comparison to have other bytes was there at the start all the same."""
        if self._compared or any(self._desks[path].is_there() for path in self._unmet):
            return
        if self._comparing and not self._reading():
            self._compared = True
            self._take(now, self._desks.keys() - self._unmet.keys(), after=self._highest)

    def _take(self, now: float, folders: Collection[bytes], *, after: int) -> None:
        """Take on what is live in these folders, and what is open in folders that are no longer configured."""
        known, self._highest = (
            self._highest,
            self._ledger.last_id(),
        )  # first: a row of the next moment is above
        self._count_quick_ones(known)
        for row in self._ledger.live(_ALL):
            ours = row.folder in folders or row.folder not in self._desks
            if row.id > after and ours and self._is_wanted(row):
                self._await(row, now, follower=False)

    def _count_quick_ones(self, known: int) -> None:
        """Files that came and arrived before their folder's scan was over."""
        fresh = [identity for identity in range(known + 1, self._highest + 1) if identity not in self._ours]
        for at in range(0, len(fresh), EXAMINED_AT_ONCE):
            states = self._ledger.states_of(fresh[at : at + EXAMINED_AT_ONCE])
            self.done += sum(state is State.DONE for state in states.values())

    def _is_wanted(self, row: Transfer) -> bool:
        """What was taken out of the configuration is not begun; what is open is finished under its plan."""
        if row.state not in _NOT_BEGUN:
            return True
        desk = self._desks.get(row.folder)
        return desk is not None and desk.policy.selection.exclusion(row.path) is None

    def _await(self, row: Transfer, now: float, *, follower: bool) -> None:
        if row.id in self._ours:
            return
        desk = self._desks.get(row.folder)
        quiet_s = desk.policy.settle.quiet_s if desk is not None else 0.0
        self._ours.add(row.id)
        self._awaited[row.id] = _Awaited(settle_by=now + settling_s(quiet_s), follower=follower)

    # -- what becomes of it

    def _examine(self, now: float) -> None:
        """Look at the next ones in turn; those that are not through go to the end of the line."""
        for _ in range(min(len(self._awaited), EXAMINED_AT_ONCE)):
            identity, awaited = self._awaited.popitem(last=False)
            row = self._ledger.get(identity)
            if row is not None and self._goes_on(row, awaited, now):
                self._awaited[identity] = awaited

    def _goes_on(self, row: Transfer, awaited: _Awaited, now: float) -> bool:
        """Whether it is still to be waited for."""
        if row.state in ENDED:
            self._moved_at = now
            self._ended(row, awaited, now)
            return False
        self._moved_at = max(self._moved_at, self._pulse(row.token) or 0.0)
        settling = row.state is State.DISCOVERED
        if row.parked_reason is not None or (settling and now >= awaited.settle_by):
            self._left[row.id] = None
            return False
        if settling:
            self._moved_at = now
        if row.state is State.VERIFIED and waits_for_age(row.hint):
            self.done += 1  # all that is asked of it now is to grow old
            return False
        return True

    def _ended(self, row: Transfer, awaited: _Awaited, now: float) -> None:
        """Done, gone, or another version took its place: that one is waited for, but only once."""
        if row.state is State.DONE:
            self.done += 1
            return
        next_row = self._successor(row)
        if next_row is None:
            return
        if awaited.follower and next_row.id not in self._ours:
            self._ours.add(next_row.id)
            self._left[next_row.id] = None
        else:
            self._await(next_row, now, follower=True)

    def _successor(self, row: Transfer) -> Transfer | None:
        """The version that took the place of this one, unless that has ended too."""
        if row.state is not State.SUPERSEDED:
            return None
        standing = self._ledger.at(row.folder, row.path)
        return standing if standing is not None and standing.state not in ENDED else None

    # -- what is left over

    def left_over(self) -> list[LeftOver]:
        """Everything that was taken on and is not done, as the ledger has it now."""
        return [*self._left_folders(), *self._left_files(), *self._left_chores()]

    def _left_folders(self) -> Iterator[LeftOver]:
        for path in self._unmet:
            desk = self._desks[path]
            if desk.scans_done:
                continue  # its files are known: they speak for themselves
            why = desk.reason or ("it was still being scanned" if desk.scanning() else "it was not scanned")
            yield LeftOver(path, why)

    def _left_files(self) -> Iterator[LeftOver]:
        for row in self._rows_left():
            yield LeftOver(row.folder + b"/" + row.path, self._why(row))

    def _rows_left(self) -> Iterator[Transfer]:
        """Rows of folders that were never met are left, too: they stand there from before."""
        named: set[int] = set()
        unmet = [row for row in self._ledger.live(_ALL) if row.folder in self._unmet] if self._unmet else []
        known = (self._ledger.get(identity) for identity in sorted([*self._left, *self._awaited]))
        for row in (*known, *filter(self._is_wanted, unmet)):
            stands = self._successor(row) if row is not None and row.state in ENDED else row
            if stands is not None and stands.id not in named:
                named.add(stands.id)
                yield stands

    def _why(self, row: Transfer) -> str:
        if row.parked_reason is not None:
            return _with_hint(row.parked_reason, row.hint)
        desk = self._desks.get(row.folder)
        if desk is not None and not desk.is_there():
            return desk.reason or "its folder is not there"
        if row.state is State.DISCOVERED:
            return row.hint or "it may still change"
        if self._ledger.pause() is not None:
            return f"syncd is paused by hand ({RESUME})"
        closed = self._gate.closed()
        if closed is not None:
            return _with_hint(f"the destination takes nothing: {closed.text}", closed.hint)
        story = self._ledger.history(row.folder, row.path, 1)
        why = story[-1].why.removeprefix("waits: ") if story else "no more is known"
        how_far = "finished and queued" if row.state in _NOT_BEGUN else f"on its way ({row.state})"
        return f"it is {how_far}, but not done: {why}"

    def _left_chores(self) -> Iterator[LeftOver]:
        if self._reading_now():
            yield LeftOver(
                b"files that look changed", "they were still being compared with what was uploaded"
            )
        for upload in self._ledger.aborts(_EVER, 100):
            what = f"s3://{upload.bucket}/{upload.key}".encode("utf-8", "surrogateescape")
            yield LeftOver(what, "an upload of it that was given up could not be aborted yet")


def _with_hint(text: str, hint: str | None) -> str:
    return text if hint is None else f"{text} ({hint})"
