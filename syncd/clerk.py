"""The clerk: one thread that empties the mailbox, scans when due, takes looks, and hands work to the file pool.

`tick()` does what is due and says when to call again; the loop around it is the daemon's. It owns folders and looks,
keeps the list of who is in hand, and never touches a row that a worker has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from syncd.act.discover import Discoverer
from syncd.act.folders import FolderDesk
from syncd.act.gate import Gate
from syncd.act.janitor import abort_due
from syncd.act.looks import Looks
from syncd.act.mailbox import Mailbox
from syncd.act.match import Findings
from syncd.act.recheck import read_again
from syncd.act.settle import settle_due
from syncd.act.step import Report, visit
from syncd.act.strikes import strike
from syncd.act.world import World
from syncd.decide.order import choose, is_bulky
from syncd.decide.pause import holds, rebased
from syncd.decide.retry import ALONE_FROM, STRIKES_AT_MOST
from syncd.errors import LedgerDamaged, LedgerFull, SyncdError
from syncd.model import Amend, Columns, Pause, State, Transfer
from syncd.ports import Hands, Watcher

log = structlog.get_logger()

IDLE_S = 5.0
LOOKS_A_TICK = 500
JANITOR_S = 5.0
NOT_WANTED_S = 1800.0
PRUNE_S = 3600.0
PRUNE_PAUSE_S = 60.0
PRUNED_AT_ONCE = 500
CLOCK_FELL_S = 1.0
EVER = 1e12
"""A time by which everything is due."""


class FilePool(Protocol):
    """Where visits run."""

    def submit(self, job: Callable[[], None]) -> Future[None]:
        """Run the job some time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What the clerk works with, and what a reload changes."""

    world: World
    files_at_once: int
    watcher: Watcher


class Clerk:
    """Owner of the day's work. Only `tick` and what it calls run in the clerk's thread."""

    def __init__(
        self,
        world: World,
        *,
        files: FilePool,
        files_at_once: int,
        mailbox: Mailbox,
        gate: Gate,
        watcher: Watcher,
        hands: Hands,
    ) -> None:
        self._world = world
        self._files = files
        self._slots = files_at_once
        self._mailbox = mailbox
        self._gate = gate
        self._hands = hands
        self._alone: int | None = None
        self._held_back = False
        self._pause_lock = threading.Lock()
        self._scan_all = False
        self._lock = threading.Lock()  # guards _busy, _reports, _failure: workers report here
        self._busy: set[int] = set()
        self._large: set[int] = set()
        self._reports: list[Report] = []
        self._failure: BaseException | None = None
        self._when_free: dict[int, set[tuple[bytes, bytes]]] = {}
        self._read_again: dict[int, None] = {}
        self._reading: int | None = None
        self._full_until = 0.0
        self._full = ""
        self._fresh = True
        self._began = world.clock.now() - world.clock.boottime()
        self._janitor_at = 0.0
        self._prune_at = world.clock.monotonic() + PRUNE_PAUSE_S
        self._janitor_busy = False
        self.looks = Looks()
        self.came_round_at = world.clock.monotonic()
        self._watcher = watcher
        self._tend_at = 0.0
        self._changes: list[Plant] = []
        self._age = 0  # how often everything around was changed
        self._born: dict[int, int] = {}  # in which age each busy transfer was taken up
        self._desks: dict[bytes, FolderDesk] = {}
        self.folders: list[FolderDesk] = []
        self._set_up_desks()

    def _set_up_desks(self) -> None:
        """A desk for each folder; those that are kept go on with what they were doing."""
        world = self._world
        discoverer = Discoverer(world, self.looks, self.busy)
        desks: dict[bytes, FolderDesk] = {}
        for path, policy in world.folders.items():
            desk = self._desks.get(path)
            if desk is None:
                desk = FolderDesk(policy, world, discoverer, self._watcher)
            else:
                desk.change(policy, world, discoverer, self._watcher)
            desks[path] = desk
        self._desks = desks
        self.folders = list(desks.values())  # swapped whole: others read it

    # -- changing everything around

    def change(self, plant: Plant) -> int:
        """From its next round on the clerk works with these; what is in hand ends with what it began with.

        Returns the age that begins then. Any thread.
        """
        with self._lock:
            self._changes.append(plant)
            age = self._age + len(self._changes)
        self._mailbox.wake()
        return age

    def works_in_age(self, age: int) -> bool:
        """Whether nothing of an earlier age is in hand any more."""
        with self._lock:
            return self._age >= age and all(self._born.get(each, 0) >= age for each in self._busy)

    def _take_changes(self) -> None:
        with self._lock:
            changes, self._changes = self._changes, []
            self._age += len(changes)
        for plant in changes:
            self._world, self._slots, self._watcher = plant.world, plant.files_at_once, plant.watcher
            self._set_up_desks()
            self._world.ledger.forget_waits()
            self._tend_at = 0.0

    # -- for others to see

    def busy(self) -> set[int]:
        """The transfers that workers have in hand."""
        with self._lock:
            return set(self._busy)

    def ledger_full(self) -> str | None:
        """Why nothing is recorded, and so nothing done, while the ledger's disk is full."""
        return self._full if self._is_full() else None

    def condemn(self, damaged: LedgerDamaged) -> None:
        """The ledger turned out to be damaged: the next start sets it aside."""
        self._world.ledger.condemn(str(damaged))

    # -- what a person wants

    def pause(self, pause: Pause | None) -> None:
        """Nothing goes on from this moment on, until the pause ends; None: it ends now. Any thread."""
        with self._pause_lock:
            self._world.ledger.set_pause(pause)
            self._obey(pause)
        self._mailbox.wake()

    def _obey(self, pause: Pause | None) -> None:
        held = holds(pause, self._world.clock.now())
        if held and not self._world.paused.is_set():
            self._world.paused.set()
            log.info("paused", until=pause.until if pause else None)
        elif not held and self._world.paused.is_set():
            self._world.paused.clear()
            log.info("resumed")

    def rescan(self) -> None:
        """Scan every folder now. Any thread."""
        self._scan_all = True
        self._mailbox.wake()

    def reading_again(self) -> int:
        """How many verified files wait to be compared with what was uploaded."""
        return len(self._read_again) + (self._reading is not None)

    # -- the day's work

    def tick(self) -> float:
        """Do what is due; the seconds until there is something to do again. Raises what stopped a worker."""
        self._raise_failure()
        self.came_round_at = self._world.clock.monotonic()
        try:
            pause = self._round()
        except LedgerFull as full:
            self._say_full(full)
        return IDLE_S if self._is_full() else pause

    def _say_full(self, full: LedgerFull) -> None:
        """Nothing is handed out for a while: what cannot be recorded is better not done."""
        if not self._is_full():
            log.error("ledger_full", error=str(full), hint=full.hint)
        self._full = str(full)
        self._full_until = self._world.clock.monotonic() + IDLE_S

    def _is_full(self) -> bool:
        return self._world.clock.monotonic() < self._full_until

    def _round(self) -> float:
        if self._fresh:
            strike(self._hands.left(), self._world)
            self._world.ledger.forget_waits()
            self._fresh = False
        self._take_changes()
        self._follow_the_clock()
        self._follow_the_pause()
        self._read_mail()  # first of all: it takes the knock away, and what comes later knocks again
        self._hear_reports()
        self._tend_watcher()
        for desk in self.folders:
            self._note(desk.policy.path, desk.work())
        looked = settle_due(self._world, self.looks, LOOKS_A_TICK)
        handed = self._hand_out()
        self._send_janitor()
        self._prune()
        return 0.0 if looked or handed else self._seconds_to_next()

    def _follow_the_clock(self) -> None:
        """Somebody set the clock back: what was put off until a time by the old one is brought forward by as much."""
        clock = self._world.clock
        began = clock.now() - clock.boottime()
        fall, self._began = self._began - began, began
        if fall > CLOCK_FELL_S:
            log.warning("clock_set_back", seconds=round(fall))
            self._world.ledger.bring_forward(fall)

    def _follow_the_pause(self) -> None:
        """It ends by itself; one that was asked for under another clock lasts as long as it was meant to."""
        with self._pause_lock:
            ledger, now = self._world.ledger, self._world.clock.now()
            pause = ledger.pause()
            meant = rebased(pause, now) if pause is not None and holds(pause, now) else None
            if meant != pause:
                ledger.set_pause(meant)
            self._obey(meant)

    def _raise_failure(self) -> None:
        with self._lock:
            failure = self._failure
        if failure is not None:
            raise failure

    def _hear_reports(self) -> None:
        with self._lock:
            reports, self._reports = self._reports, []
        for report in reports:
            self._gate.heard(report)
            for root, path in self._when_free.pop(report.transfer, ()):
                self._mailbox.path(root, path)

    def _read_mail(self) -> None:
        if self._scan_all:
            self._scan_all, self._tend_at = False, 0.0
            for desk in self.folders:
                desk.scan_now()
        letters = self._mailbox.empty()
        for root, why in letters.scans.items():
            if root in self._desks:
                self._desks[root].scan_soon(why)
        for root, paths in letters.paths.items():
            if root in self._desks:
                self._note(root, self._desks[root].look_at(paths))

    def _note(self, root: bytes, findings: Findings) -> None:
        for transfer, path in findings.when_free:
            self._when_free.setdefault(transfer, set()).add((root, path))
        self._read_again |= dict.fromkeys(findings.read_again)
        if findings.scan_soon:
            self._desks[root].scan_soon("a file is missing")

    def _tend_watcher(self) -> None:
        now = self._world.clock.monotonic()
        if now >= self._tend_at:
            for desk in self.folders:
                desk.check_root()
            watched = [desk for desk in self.folders if desk.policy.watched]
            self._watcher.tend({desk.policy.path: desk.identity for desk in watched})
            self._tend_at = now + IDLE_S

    # -- handing out

    def _hand_out(self) -> bool:
        if self._world.halted() or self._is_full():
            return False
        self._hand_out_reading()
        room = self._gate.room(self._slots * 2 - len(self.busy()))
        self._held_back = self._alone in self.busy()
        if room <= 0 or self._held_back:
            return False
        ledger = self._world.ledger
        due = self._next_ones(room)
        put_off = [amend for transfer in due if (amend := self._put_off(transfer)) is not None]
        if put_off:
            ledger.commit(put_off)
        not_now = {amend.id for amend in put_off}
        going = self._calm_ones([transfer for transfer in due if transfer.id not in not_now])
        for transfer in going:
            self._gate.started(transfer.id)
            if is_bulky(transfer):
                self._large.add(transfer.id)
            self._start(transfer.id, partial(visit, transfer.id, self._world))
        if not due and self._nothing_waits():
            self._gate.nothing_to_do()
        return bool(going or put_off)

    def _calm_ones(self, due: list[Transfer]) -> list[Transfer]:
        """All that may go together; a file that has ended the process before goes alone, when nothing else is due."""
        calm = [transfer for transfer in due if transfer.strikes < ALONE_FROM]
        if calm or not due or self.busy():
            self._held_back = bool(due) and not calm
            return calm
        self._alone = due[0].id
        return due[:1]

    def _next_ones(self, room: int) -> list[Transfer]:
        """Those that are due and have room, in their order; large files leave a place to small ones."""
        now, busy, away = self._world.clock.now(), self.busy(), self._away()
        large_room = self._large_room()
        due = self._world.ledger.due(now, room, bulky=False, busy=busy, without=away)
        if large_room:
            due += self._world.ledger.due(now, large_room, bulky=True, busy=busy, without=away)
        return choose(
            due,
            self._priority,
            now=now,
            room=room,
            large_room=large_room,
            large_in_hand=len(self._large),
        )

    def _large_room(self) -> int:
        self._large &= self.busy()
        return max(max(self._slots - 1, 1) - len(self._large), 0)

    def _priority(self, transfer: Transfer) -> int:
        desk = self._desks.get(transfer.folder)
        return desk.policy.priority if desk is not None else 0

    def _away(self) -> list[bytes]:
        """Folders that are not there: their files are left alone, without a word to the ledger."""
        return [desk.policy.path for desk in self.folders if not desk.is_there()]

    def _nothing_waits(self) -> bool:
        ledger, now = self._world.ledger, self._world.clock.now()
        busy = self.busy()
        return not busy and ledger.next_due(now) is None and not ledger.aborts(EVER, 1)

    def _unwanted(self, transfer: Transfer) -> str | None:
        """What was taken out of the configuration is not begun; what is open is finished under its plan."""
        if transfer.state not in {State.SETTLED, State.PLANNED}:
            return None
        desk = self._desks.get(transfer.folder)
        if desk is None:
            return "its folder is no longer watched"
        return desk.policy.selection.exclusion(transfer.path)

    def _put_off(self, transfer: Transfer) -> Amend | None:
        """What is not wanted waits, so that it does not stand in the way of others."""
        why = self._unwanted(transfer)
        if why is None:
            return None
        sets = Columns(not_before=self._world.clock.now() + NOT_WANTED_S, hint=why)
        return Amend(id=transfer.id, was=transfer.state, sets=sets)

    def _hand_out_reading(self) -> None:
        """One verified file at a time is read again, so that a changed tree does not swamp the disk."""
        if self._reading is not None or not self._read_again:
            return
        identity = next(iter(self._read_again))
        row = self._world.ledger.get(identity)
        self._reading = identity if row is not None and identity not in self.busy() else None
        del self._read_again[identity]
        if row is None or self._reading is None or row.strikes >= STRIKES_AT_MOST:
            self._reading = None
            return
        self._when_free.setdefault(identity, set()).add((row.folder, row.path))
        self._start(identity, partial(self._read, identity))

    def _read(self, identity: int) -> Report | None:
        settled = False
        try:
            settled = read_again(identity, self._world)
        finally:  # a full ledger too must not keep all others from being read
            self._reading = None
            if not settled:
                with self._lock:
                    self._when_free.pop(identity, None)  # the next scan meets it again
        return None

    def _start(self, identity: int, job: Callable[[], Report | None]) -> None:
        with self._lock:
            self._busy.add(identity)
            self._born[identity] = self._age
        self._hands.take(identity)
        self._files.submit(partial(self._run, identity, job))

    def _run(self, identity: int, job: Callable[[], Report | None]) -> None:
        """In a worker: whatever happens, the clerk hears of it. What nobody foresaw leaves the file in hand."""
        report: Report | None = None
        try:
            report = job()
            self._hands.let_go(identity)
        except LedgerFull as full:
            self._hands.let_go(identity)
            self._say_full(full)
        except BaseException as failure:
            if isinstance(failure, SyncdError):
                self._hands.let_go(identity)
            with self._lock:
                self._failure = failure
            raise
        finally:
            with self._lock:
                self._busy.discard(identity)
                self._born.pop(identity, None)
                self._reports.append(report or Report.nothing(identity))
            self._mailbox.wake()

    # -- clearing up

    def _send_janitor(self) -> None:
        now = self._world.clock.monotonic()
        idle = now >= self._janitor_at and not self._janitor_busy and self._gate.room(1) > 0
        if not idle or self._world.halted():
            return
        self._janitor_at = now + JANITOR_S
        if self._world.ledger.aborts(self._world.clock.now(), 1):
            self._janitor_busy = True
            self._files.submit(self._clear_up)

    def _clear_up(self) -> None:
        try:
            if abort_due(self._world):
                self._gate.passed()
        except LedgerFull as full:
            self._say_full(full)
        except BaseException as failure:
            with self._lock:
                self._failure = failure
            raise
        finally:
            self._janitor_busy = False
            self._mailbox.wake()

    def _prune(self) -> None:
        """Old stories go, a few at a time."""
        now = self._world.clock.monotonic()
        if now < self._prune_at:
            return
        before = self._world.clock.now() - self._world.retention_s
        more = self._world.ledger.prune(before, PRUNED_AT_ONCE) >= PRUNED_AT_ONCE
        self._prune_at = now + (PRUNE_PAUSE_S if more else PRUNE_S)

    # -- when to look again

    def _seconds_to_next(self) -> float:
        clock = self._world.clock
        now, wall = clock.monotonic(), clock.now()
        times = [self._tend_at - now, *(desk.seconds_to_next() for desk in self.folders)]
        look_at = self.looks.next_at()
        if look_at is not None:
            times.append(look_at - now)
        if self._takes_more():
            due = self._world.ledger.next_due(
                wall,
                bulky=None if self._large_room() else False,
                busy=self.busy(),
                without=self._away(),
            )
            times.extend([] if due is None else [max(due - wall, self._gate.seconds_to_probe())])
        return min(max(min(times), 0.0), IDLE_S)

    def _takes_more(self) -> bool:
        """Whether what is due could be taken up. A pause that is to end is looked at in every round."""
        crowded = len(self.busy()) >= self._slots * 2
        return not (crowded or self._gate.probing() or self._held_back or self._world.paused.is_set())
