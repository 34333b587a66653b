"""One watched folder's desk: is it there, is it still the same directory, is a scan due, how far is it.

A folder that is missing, unreadable, unmounted or replaced waits and says so; the others go on, and nothing of it
counts as gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from syncd.act.discover import Discoverer, Scan, begin_scan
from syncd.act.match import Findings
from syncd.act.world import FolderPolicy, World
from syncd.errors import FolderUnavailable, Transient
from syncd.model import Blind, RootIdentity
from syncd.ports import Watcher

log = structlog.get_logger()

SCAN_PAUSE_S = 2.0
"""A scan that was asked for begins no sooner than this after the last one ended, or as long as that one took."""

_NOT_MOUNTED = "nothing is mounted at its path, which the configuration requires"

WAITING_AT_MOST = 1000
"""With more transfers than this under way, a replaced folder is not accepted by itself."""


class FolderDesk:
    """Owned by the clerk's thread; the console reads the plain attributes."""

    def __init__(self, policy: FolderPolicy, world: World, discoverer: Discoverer, watcher: Watcher) -> None:
        self.policy = policy
        self.identity: RootIdentity | None = None
        self.state = "waiting"
        self.reason: str | None = "not looked at yet"
        self.hint: str | None = None
        self.since: float = world.clock.now()
        self.blind: tuple[Blind, ...] = ()
        self.last_scan_at: float | None = None
        self.scans_done = 0
        self.scan_seconds = 0.0
        self._world = world
        self._discoverer = discoverer
        self._watcher = watcher
        self._scan: Scan | None = None
        self._concluding = False
        self._scan_began = 0.0
        self._scan_due = world.clock.monotonic()
        self._replaced = False

    def change(self, policy: FolderPolicy, world: World, discoverer: Discoverer, watcher: Watcher) -> None:
        """Go on with another policy of the same folder. What it would now take is met by a scan that begins at once."""
        other = policy != self.policy
        self.policy, self._world, self._discoverer, self._watcher = policy, world, discoverer, watcher
        if other:
            self._scan, self._concluding = None, False
            self._scan_due = world.clock.monotonic()
            self.check_root()

    @property
    def watch(self) -> str:
        """`inotify`, `poll` or `degraded`."""
        return self._watcher.state(self.policy.path) if self.policy.watched else "poll"

    @property
    def watches(self) -> int | None:
        """How many of its directories the kernel watches; None where that is not told."""
        return self._watcher.watches(self.policy.path) if self.policy.watched else 0

    def is_there(self) -> bool:
        """Whether its files can be read now."""
        return self.identity is not None

    # -- the root

    def check_root(self) -> None:
        """Look which directory the path leads to. Cheap; called every few seconds, and before paths in it are looked at."""
        try:
            identity = self._world.disk.root(self.policy.path)
            if self.policy.require_mount and not identity.is_mount:
                raise FolderUnavailable(_NOT_MOUNTED, hint="mount it, or set require_mount: false")  # noqa: TRY301
        except FolderUnavailable as missing:
            self._lose(missing)
            return
        if self.identity is None or identity != self.identity:
            self._found(identity)

    def _lose(self, missing: FolderUnavailable) -> None:
        self.identity, self._scan, self._concluding = None, None, False
        self._say("blocked", str(missing), missing.hint)

    def _say(self, state: str, reason: str | None, hint: str | None = None) -> None:
        """How it is with this folder; news goes to the log too."""
        if reason != self.reason:
            self.since = self._world.clock.now()
            if reason is not None:
                log.warning("folder_waits", folder=self.policy.path, reason=reason, hint=hint)
        self.state, self.reason, self.hint = state, reason, hint

    def _found(self, identity: RootIdentity) -> None:
        known = self._world.ledger.root_identity(self.policy.path)
        self._replaced = known is not None and not self._is_the_former(known, identity)
        if not self._replaced and known != identity:
            self._world.ledger.accept_root(self.policy.path, identity)
        self.identity, self._scan, self._concluding = identity, None, False
        self._scan_due = self._world.clock.monotonic()
        self._say_how_it_is()

    def _is_the_former(self, known: RootIdentity, now: RootIdentity) -> bool:
        """The same directory of the same file system; or files of ours are in it, where we know them."""
        same_directory = known.inode == now.inode
        same_system = known.filesystem == now.filesystem and (now.filesystem != 0 or known.dev == now.dev)
        return (same_directory and same_system) or self._discoverer.recognizes(self.policy)

    def _say_how_it_is(self) -> None:
        if self._replaced:
            reason = "another directory is at its path than before: unmounted, or replaced"
            hint = "mount or move the former one back; new files in this one are taken all the same"
            self._say("waiting", reason, hint)
        elif self.blind:
            first = self.blind[0]
            where = first.prefix.decode("utf-8", "backslashreplace")
            more = f" (and {len(self.blind) - 1} more)" if len(self.blind) > 1 else ""
            reason = f"a part of it cannot be read: {where}: {first.reason}{more}"
            self._say("waiting", reason, "make it readable for syncd's user, or exclude it")
        else:
            self._say("ok", None)

    def _accept_replacement(self, files: int) -> None:
        """A directory in use, with nothing of ours missing from it, is the folder from now on."""
        waiting = self._world.ledger.live(WAITING_AT_MOST)
        missing = any(
            row.folder == self.policy.path and not self._discoverer.has(self.policy, row) for row in waiting
        )
        if files and not missing and len(waiting) < WAITING_AT_MOST and self.identity is not None:
            self._world.ledger.accept_root(self.policy.path, self.identity)
            self._replaced = False
            self._scan_due = self._world.clock.monotonic()
            log.info("folder_accepted", folder=self.policy.path)

    # -- scanning

    def scan_soon(self, why: str) -> None:
        """Bring the next scan forward, but not so far that storms of hints become storms of scans."""
        pause = max(SCAN_PAUSE_S, self.scan_seconds)
        soon = self._world.clock.monotonic() + (pause if self.scans_done or self._scan else 0.0)
        if soon < self._scan_due:
            log.debug("scan_soon", folder=self.policy.path, why=why)
            self._scan_due = soon

    def scan_now(self) -> None:
        """A person wants it: no pause. What is under way goes on, and another scan follows."""
        self._scan_due = self._world.clock.monotonic()

    def work(self) -> Findings:
        """The next bit of a scan, if one is due or under way."""
        if self.identity is None:
            return Findings()
        try:
            return self._work()
        except FolderUnavailable as missing:
            self._lose(missing)
        except Transient:  # the ledger is full: nothing was written, so all of it must be seen again
            self._scan, self._concluding = None, False
            self._scan_due = self._world.clock.monotonic() + SCAN_PAUSE_S
            raise
        return Findings()

    def _work(self) -> Findings:
        now = self._world.clock.monotonic()
        if self._scan is None:
            if now < self._scan_due:
                return Findings()
            self.check_root()  # another card may have come since the last look: its files are no new versions of ours
            if self.identity is None:
                return Findings()
            self._scan_due = now + self.policy.rescan_s
            self._scan_began = now
            self._scan = begin_scan(self.policy, self._world, replaced=self._replaced)
        findings = Findings()
        if not self._concluding:
            self._concluding, findings = self._discoverer.advance(self.policy, self._scan)
        return findings + self._conclude(self._scan) if self._concluding else findings

    def _conclude(self, scan: Scan) -> Findings:
        self.check_root()  # nothing counts as missing if the folder itself went away meanwhile
        if self._scan is not scan:
            return Findings()
        finished, findings = self._discoverer.conclude(self.policy, scan)
        if not finished:
            return findings
        self._scan, self._concluding = None, False
        self.scans_done += 1
        if self.scans_done == 1:
            self._world.ledger.first_scan_ended(self.policy.path)
        self.last_scan_at = self._world.clock.now()
        self.scan_seconds = self._world.clock.monotonic() - self._scan_began
        self.blind = tuple(scan.blind)
        if self._replaced:
            self._accept_replacement(scan.files)
        self._say_how_it_is()
        return findings

    def look_at(self, paths: Iterable[bytes]) -> Findings:
        """Look at some paths out of turn."""
        if self.identity is not None:
            self.check_root()
        if self.identity is None:
            return Findings()
        # Where nobody tells of the other name of a rename, only a scan can say that a file was not replaced but renamed.
        later: list[bytes] | None = None if self.watch == "inotify" else []
        try:
            return self._discoverer.look_at(self.policy, paths, replaced=self._replaced, later=later)
        except FolderUnavailable as missing:
            self._lose(missing)
            return Findings()

    def seconds_to_next(self) -> float:
        """Until this folder has something to do."""
        if self.identity is None:
            return SCAN_PAUSE_S
        if self._scan is not None:
            return 0.0
        return max(self._scan_due - self._world.clock.monotonic(), 0.0)

    def scanning(self) -> bool:
        """Whether a scan is under way."""
        return self._scan is not None
