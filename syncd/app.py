"""The composition root: from the configuration to a daemon. The only module that knows every concrete class."""

from __future__ import annotations

import os
import random
import secrets
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from syncd.act.board import Board
from syncd.act.gate import Gate
from syncd.act.mailbox import Mailbox
from syncd.act.world import DestinationPolicy, FolderPolicy, World
from syncd.adapters.clock import SystemClock
from syncd.adapters.credentials.api import fetch_once
from syncd.adapters.credentials.keeper import CredentialKeeper, open_keeper
from syncd.adapters.disk import LocalDisk, ignore_lease_signals
from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.adapters.pools import BodyThreads, FileThreads
from syncd.adapters.s3 import open_store
from syncd.adapters.watch import InotifyWatcher, NullWatcher
from syncd.clerk import Clerk
from syncd.config.model import Config, Folder
from syncd.daemon import Daemon
from syncd.decide.keys import parse
from syncd.decide.plan import PlanPolicy
from syncd.decide.select import Selection
from syncd.decide.settle import SettlePolicy
from syncd.model import Algorithm, CredentialSet
from syncd.ports import Clock, Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that was built, for those who look in."""

    config: Config
    clock: Clock
    world: World
    ledger: SqliteLedger
    keeper: CredentialKeeper
    gate: Gate
    clerk: Clerk
    mailbox: Mailbox
    daemon: Daemon
    started_at: float


def build(config: Config, clock: Clock | None = None) -> App:
    """Open the ledger (and its lock) and put the house together; nothing runs yet.

    Raises LedgerHeld, LedgerFailure, ConfigError. The daemon's `run` closes what was opened.
    """
    clock = clock or SystemClock()
    os.umask(0o077)
    ignore_lease_signals()
    stop, mailbox = threading.Event(), Mailbox()
    gate = Gate(clock, random.random)
    with ExitStack() as unwind:
        ledger = open_ledger(Path(config.state), clock)
        unwind.callback(ledger.close)
        keeper = _keeper(config, clock, mailbox, gate)
        store, sums = open_store(
            credentials=keeper,
            clock=clock,
            stop=stop,
            region=config.destination.region,
            endpoint_url=config.destination.endpoint_url,
            addressing_style=config.destination.addressing_style,
            ca_file=None if config.destination.ca_file is None else str(config.destination.ca_file),
            connect_timeout=config.upload.connect_timeout.total_seconds(),
            read_timeout=config.upload.read_timeout.total_seconds(),
            connections=config.upload.files + config.upload.parts + 2,
        )
        unwind.callback(store.close)
        bodies = BodyThreads(config.upload.parts, body_buffer(config))
        files = FileThreads(config.upload.files)
        watcher = _watcher(config, mailbox, clock)
        world = World(
            device=config.device,
            folders={policy.path: policy for policy in map(folder_policy, config.folders)},
            destination=destination_policy(config),
            plan=PlanPolicy(
                part_size=config.upload.part_size, multipart_threshold=config.upload.multipart_threshold
            ),
            ledger=ledger,
            disk=LocalDisk(),
            store=store,
            sums=sums,
            credentials=keeper,
            clock=clock,
            bodies=bodies,
            bodies_at_once=config.upload.parts,
            board=Board(clock),
            hints=mailbox,
            token=lambda: secrets.token_hex(16),
            chance=random.random,
            stop=stop,
        )
        clerk = Clerk(
            world, files=files, files_at_once=config.upload.files, mailbox=mailbox, gate=gate, watcher=watcher
        )
        daemon = Daemon(
            clerk=clerk,
            mailbox=mailbox,
            stop=stop,
            clock=clock,
            pools=(files, bodies),  # visits end when their bodies have
            starters=(keeper.start,),
            closers=(keeper.stop, watcher.close, store.close, ledger.close),
        )
        unwind.pop_all()
    return App(
        config=config,
        clock=clock,
        world=world,
        ledger=ledger,
        keeper=keeper,
        gate=gate,
        clerk=clerk,
        mailbox=mailbox,
        daemon=daemon,
        started_at=clock.now(),
    )


def _keeper(config: Config, clock: Clock, mailbox: Mailbox, gate: Gate) -> CredentialKeeper:
    def changed() -> None:
        gate.probe_now()
        mailbox.wake()

    api = config.credentials.api
    return open_keeper(
        url=api.url,
        device=config.device,
        token_file=api.token_file,
        ca_file=api.ca_file,
        timeout=api.timeout.total_seconds(),
        renew_before=api.renew_before.total_seconds(),
        clock=clock,
        on_change=changed,
    )


def fetch_credentials(config: Config, clock: Clock | None = None) -> CredentialSet:
    """Ask the credential API once, daemon or not. Raises ConfigError, Transient, LockedOut."""
    api = config.credentials.api
    fetched = fetch_once(
        url=api.url,
        device=config.device,
        token_file=api.token_file,
        ca_file=api.ca_file,
        timeout=api.timeout.total_seconds(),
        clock=clock or SystemClock(),
    )
    return fetched.credentials


def _watcher(config: Config, mailbox: Mailbox, clock: Clock) -> Watcher:
    if all(folder.watch == "poll" for folder in config.folders):
        return NullWatcher()
    recursive = {os.fsencode(folder.path): folder.recursive for folder in config.folders}
    return InotifyWatcher(mailbox, recursive, clock)


def body_buffer(config: Config) -> int:
    """Bytes of each body's buffer: a part fits if its share of `upload.memory` allows, else it is streamed."""
    share = config.upload.memory // config.upload.parts
    return min(share, max(config.upload.part_size, config.upload.multipart_threshold))


def folder_policy(folder: Folder) -> FolderPolicy:
    """One folder's section as the steps see it."""
    return FolderPolicy(
        path=os.fsencode(folder.path),
        name=folder.name,
        template=parse(folder.key),
        selection=Selection(include=folder.include, exclude=folder.exclude, recursive=folder.recursive),
        settle=SettlePolicy(
            quiet_s=folder.complete_when.quiet.total_seconds(),
            check_writer=folder.complete_when.not_open != "off",
            marker=folder.complete_when.marker,
        ),
        rescan_s=folder.rescan.total_seconds(),
    )


def destination_policy(config: Config) -> DestinationPolicy:
    """The destination's section as the steps see it."""
    named = config.destination.checksum
    return DestinationPolicy(
        bucket=config.destination.bucket,
        prefix=config.destination.prefix,
        checksum=None if named == "auto" else Algorithm(named),
        endpoint=config.destination.endpoint_url or "aws",
    )
