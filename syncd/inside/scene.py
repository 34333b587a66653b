"""What those who look in lean on: ledger, disk and clock always, the clerk and its neighbours while a daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from syncd.act.board import Board
from syncd.act.folders import FolderDesk
from syncd.act.gate import Gate
from syncd.act.mailbox import Mailbox
from syncd.act.meter import Meter
from syncd.act.pulse import Pulse
from syncd.act.world import DestinationPolicy, FolderPolicy
from syncd.clerk import Clerk
from syncd.console.facts import CredentialFacts
from syncd.decide.pause import holds
from syncd.decide.plan import PlanPolicy
from syncd.errors import FolderUnavailable
from syncd.model import Pause
from syncd.ports import Clock, Disk, Ledger


class Sight(Protocol):
    """What the machine tells about paths."""

    def real_path(self, path: bytes) -> bytes:
        """The path with every symlink above its last part resolved."""
        ...

    def real_root(self, path: bytes) -> bytes:
        """Where a folder's path leads."""
        ...

    def kind_of(self, root: bytes, path: bytes) -> str:
        """What lies there: a value of `decide.explain.Kind`."""
        ...

    def may_take_leases(self, root: bytes) -> bool:
        """Whether writers can be told of in this folder."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A daemon that runs in this process. `bucket`: what the credentials name, if they name one.

    `prefix`: what new keys begin with; None while that is not known. `page_away`: why there is no page, where one is wanted.
    """

    clerk: Clerk
    gate: Gate
    board: Board
    mailbox: Mailbox
    credentials: Callable[[], CredentialFacts]
    bucket: Callable[[], str | None]
    started_at: float
    prefix: Callable[[], str | None] = lambda: None
    page_away: Callable[[], str | None] = lambda: None
    meter: Meter | None = None
    pulse: Pulse | None = None

    def desk(self, folder: bytes) -> FolderDesk | None:
        """The desk of a watched folder."""
        return next((desk for desk in self.clerk.folders if desk.policy.path == folder), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the answers are gathered from. `live` None: no daemon runs. `source`: the host that gives credentials."""

    version: str
    device: str
    source: str
    folders: Mapping[bytes, FolderPolicy]
    destination: DestinationPolicy
    ledger: Ledger
    disk: Disk
    clock: Clock
    sight: Sight
    plan: PlanPolicy = field(default_factory=PlanPolicy)
    live: Live | None = None

    def pause(self) -> Pause | None:
        """What a person wants, while it holds."""
        pause = self.ledger.pause()
        return pause if holds(pause, self.clock.now()) else None

    def trouble(self, folder: bytes) -> tuple[str, str | None] | None:
        """Why the folder's files cannot be read now, and a hint; None while they can."""
        desk = self.live.desk(folder) if self.live else None
        if desk is not None and desk.is_there():
            return None
        if desk is not None and desk.state == "blocked":
            return desk.reason or "it is not there", desk.hint
        try:  # nobody has looked yet
            self.disk.root(folder)
        except FolderUnavailable as missing:
            return str(missing), missing.hint
        return None


def shown(path: bytes) -> str:
    """A path as text: bytes that are not UTF-8 backslash-escaped."""
    return path.decode("utf-8", "backslashreplace")
