"""The composition root: from the configuration to a daemon. The only module that knows every concrete class."""

from __future__ import annotations

import os
import random
import secrets
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from syncd import __version__
from syncd.act.board import Board
from syncd.act.gate import Gate
from syncd.act.mailbox import Mailbox
from syncd.act.pulse import HeardStore, Pulse
from syncd.act.world import World
from syncd.adapters import machine
from syncd.adapters.clock import SystemClock
from syncd.adapters.credentials.api import fetch_once
from syncd.adapters.credentials.keeper import CredentialKeeper, open_keeper
from syncd.adapters.disk import LocalDisk, ignore_lease_signals
from syncd.adapters.hands import HandsFile
from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.adapters.pools import BodyThreads, FileThreads
from syncd.adapters.rate import SharedRate
from syncd.adapters.s3 import open_store
from syncd.adapters.server_time import LearntTime
from syncd.adapters.watch import InotifyWatcher, NullWatcher
from syncd.adapters.watch.remote import lies_on_another_machine
from syncd.clerk import Clerk
from syncd.config.model import Config
from syncd.console.facts import CredentialFacts
from syncd.console.server import ControlServer
from syncd.daemon import Daemon
from syncd.errors import LockedOut
from syncd.inside import Inside, Live, Scene
from syncd.model import CredentialSet
from syncd.policies import credential_source, destination_policy, folder_policies, plan_policy
from syncd.ports import Clock, ServerTime, Watcher

if TYPE_CHECKING:  # botocore comes in only when the destination is opened
    from syncd.adapters.s3.retrying import RetryingStore
    from syncd.adapters.s3.sums import AwsSums


log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What was built, for those who look in."""

    clock: Clock
    world: World
    ledger: SqliteLedger
    keeper: CredentialKeeper
    gate: Gate
    clerk: Clerk
    mailbox: Mailbox
    pulse: Pulse
    daemon: Daemon


def build(config: Config, clock: Clock | None = None) -> App:
    """Open the ledger (and its lock) and put the house together; nothing runs yet.

    Raises LedgerHeld, LedgerFailure, ConfigError. The daemon's `run` closes what was opened.
    """
    clock = clock or SystemClock()
    if lies_on_another_machine(Path(config.state).parent):
        log.warning("ledger_on_network_file_system", state=str(config.state), hint="put it on a local disk")
    os.umask(0o077)
    ignore_lease_signals()
    with ExitStack() as unwind:
        ledger = open_ledger(Path(config.state), clock)
        unwind.callback(ledger.close)
        app = _assemble(config, clock, ledger)
        unwind.pop_all()
    return app


def _assemble(config: Config, clock: Clock, ledger: SqliteLedger) -> App:
    mailbox, gate, pulse, stop = Mailbox(), Gate(clock, random.random), Pulse(clock), threading.Event()
    server_time = LearntTime(clock)
    keeper = _keeper(config, clock, server_time, mailbox, gate)
    pace = SharedRate(clock, stop, config.upload.max_rate)
    store, sums = _destination(config, clock, server_time, keeper, stop, pace)
    bodies = BodyThreads(config.upload.parts, clock, body_buffer(config))
    files = FileThreads(config.upload.files, clock)
    watcher = _watcher(config, mailbox, clock)
    world = World(
        device=config.device,
        folders=folder_policies(config),
        destination=destination_policy(config),
        plan=plan_policy(config),
        ledger=ledger,
        disk=LocalDisk(),
        store=HeardStore(store, pulse, gate.passed),
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
        server_time=server_time,
    )
    hands = HandsFile(Path(f"{config.state}.inhand"))
    clerk = Clerk(
        world,
        files=files,
        files_at_once=config.upload.files,
        mailbox=mailbox,
        gate=gate,
        watcher=watcher,
        hands=hands,
    )
    live = _live(clerk, gate, mailbox, keeper, server_time, world)
    inside = Inside(_scene(config, world, live))
    console = ControlServer(config.socket, inside)
    daemon = Daemon(
        clerk=clerk,
        mailbox=mailbox,
        stop=stop,
        clock=clock,
        pools=(files, bodies),  # visits end when their bodies have
        by_ourselves=hands.let_all_go,
        starters=(console.start, keeper.start),
        closers=(console.stop, keeper.stop, watcher.close, store.close, ledger.close, hands.close),
    )
    return App(
        clock=clock,
        world=world,
        ledger=ledger,
        keeper=keeper,
        gate=gate,
        clerk=clerk,
        mailbox=mailbox,
        pulse=pulse,
        daemon=daemon,
    )


def _destination(
    config: Config,
    clock: Clock,
    server_time: ServerTime,
    keeper: CredentialKeeper,
    stop: threading.Event,
    pace: SharedRate,
) -> tuple[RetryingStore, AwsSums]:
    where, upload = config.destination, config.upload
    return open_store(
        credentials=keeper,
        clock=clock,
        stop=stop,
        server_time=server_time,
        pace=pace,
        region=where.region,
        endpoint_url=where.endpoint_url,
        addressing_style=where.addressing_style,
        ca_file=None if where.ca_file is None else str(where.ca_file),
        connect_timeout=upload.connect_timeout.total_seconds(),
        read_timeout=upload.read_timeout.total_seconds(),
        connections=upload.files + upload.parts + 2,
    )


def _keeper(
    config: Config, clock: Clock, server_time: ServerTime, mailbox: Mailbox, gate: Gate
) -> CredentialKeeper:
    def changed() -> None:
        gate.probe_now("credentials")
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
        server_time=server_time,
    )


def _scene(config: Config, world: World, live: Live) -> Scene:
    return Scene(
        version=__version__,
        device=config.device,
        source=credential_source(config),
        folders=world.folders,
        destination=world.destination,
        ledger=world.ledger,
        disk=world.disk,
        clock=world.clock,
        sight=machine,
        live=live,
    )


def _live(
    clerk: Clerk,
    gate: Gate,
    mailbox: Mailbox,
    keeper: CredentialKeeper,
    server_time: ServerTime,
    world: World,
) -> Live:
    def bucket() -> str | None:
        try:
            return keeper.current().bucket
        except LockedOut:
            return None

    return Live(
        clerk=clerk,
        gate=gate,
        board=world.board,
        mailbox=mailbox,
        credentials=lambda: _credential_facts(keeper, server_time),
        bucket=bucket,
        started_at=world.clock.now(),
    )


def _credential_facts(keeper: CredentialKeeper, server_time: ServerTime) -> CredentialFacts:
    known = keeper.snapshot()
    return CredentialFacts(
        source=known.source,
        state=known.state,
        expires_at=known.expires_at,
        renewed_at=known.renewed_at,
        failure=known.failure,
        hint=known.hint,
        since=known.since,
        clock_offset_s=server_time.offset(),
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
