"""Everything a step may lean on: the ports, the policies out of the configuration, and where progress is shown.

Built by `household`, anew at each reload; steps take it as an argument and keep nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from syncd.act.board import Board
from syncd.act.strangers import Strangers
from syncd.decide.dispose import DisposalPolicy
from syncd.decide.keys import Template
from syncd.decide.plan import PlanPolicy
from syncd.decide.select import Selection
from syncd.decide.settle import SettlePolicy
from syncd.model import Algorithm, CredentialSet
from syncd.ports import Clock, Credentials, Disk, Hints, Ledger, ObjectStore, ServerTime, Sums

T = TypeVar("T")


class Bodies(Protocol):
    """The pool that carries bodies: as many at once as there are buffers, so memory has a bound."""

    def submit(self, job: Callable[[memoryview], T], *, flow: int, cost: int) -> Future[T]:
        """Run the job with a buffer of its own; it holds the buffer until it returns.

        `flow`: whose body it is (0: of a file that goes in one piece), `cost`: its bytes; no flow waits for another to end.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPolicy:
    """One watched folder as the steps see it. `path` names it; `name` is for show and for keys."""

    path: bytes
    name: str
    template: Template
    selection: Selection = field(default_factory=Selection)
    settle: SettlePolicy = field(default_factory=SettlePolicy)
    disposal: DisposalPolicy = field(default_factory=DisposalPolicy)
    rescan_s: float = 300.0
    watched: bool = True  # False: scans only
    priority: int = 0  # its files go before those of lower ones that became due a little earlier
    require_mount: bool = False  # True: it waits unless its root is a mount point


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationPolicy:
    """Where objects go. None: what the credential API answers. `checksum` None: automatic."""

    bucket: str | None = None
    prefix: str | None = None
    checksum: Algorithm | None = None
    endpoint: str = "aws"
    metadata: Mapping[str, str] = field(default_factory=dict)  # goes with every object, beside our own
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None
    encryption: str | None = None
    kms_key_id: str | None = None
    content_type: str | None = None  # None: by the file's suffix
    overwrite: bool = False  # what is under a key and is not this device's is replaced

    def bucket_for(self, credentials: CredentialSet) -> str | None:
        """The configuration's bucket, else the API's."""
        return self.bucket or credentials.bucket

    def prefix_for(self, credentials: CredentialSet, device: str) -> str:
        """The configuration's prefix, else the API's, else the device's name."""
        if self.prefix is not None:
            return self.prefix
        return credentials.prefix if credentials.prefix is not None else f"{device}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the steps lean on."""

    device: str
    folders: Mapping[bytes, FolderPolicy]
    destination: DestinationPolicy
    plan: PlanPolicy
    ledger: Ledger
    disk: Disk
    store: ObjectStore
    sums: Sums
    credentials: Credentials
    clock: Clock
    bodies: Bodies
    bodies_at_once: int
    board: Board
    hints: Hints
    token: Callable[[], str]
    chance: Callable[[], float]
    stop: threading.Event
    paused: threading.Event = field(default_factory=threading.Event)
    strangers: Strangers = field(default_factory=Strangers)
    server_time: ServerTime | None = None
    retention_s: float = 90 * 86400.0
    looked: Callable[[], None] = lambda: None  # hears each block of a file that is read to be compared

    def halted(self) -> bool:
        """Whether nothing may be begun: the process is to stop, or a person has paused it."""
        return self.stop.is_set() or self.paused.is_set()

    def true_time(self) -> float:
        """Seconds since the epoch by the servers' clock, once one has told the time: for what is compared with theirs."""
        return self.clock.now() if self.server_time is None else self.server_time.now()
