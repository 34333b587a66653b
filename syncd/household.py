"""What the daemon is made of, built from one configuration and changed by the next: SIGHUP swaps parts while others work.

A part is built anew only where the configuration that concerns it differs. What is in hand ends with the parts it began
with, so no body in flight is dropped; what nobody uses any more is closed then. Everything but `state` can change.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from syncd import __version__
from syncd.act.board import Board
from syncd.act.gate import Gate
from syncd.act.mailbox import Mailbox
from syncd.act.meter import Meter
from syncd.act.pulse import HeardStore, Pulse
from syncd.act.world import World
from syncd.adapters import machine
from syncd.adapters.credentials.identity import Identity
from syncd.adapters.credentials.keeper import CredentialKeeper, open_chain_keeper, open_keeper
from syncd.adapters.disk import LocalDisk, PatientDisk
from syncd.adapters.hands import HandsFile
from syncd.adapters.ledger import SqliteLedger, open_readonly
from syncd.adapters.mounts import is_remote, leads_far
from syncd.adapters.pools import BodyThreads, FileThreads, times_run
from syncd.adapters.rate import SharedRate
from syncd.adapters.s3 import open_store
from syncd.adapters.server_time import LearntTime
from syncd.adapters.watch import InotifyWatcher, NullWatcher
from syncd.clerk import Clerk, Plant
from syncd.config.model import Api, Config
from syncd.console.doors import Doors
from syncd.console.facts import CredentialFacts
from syncd.console.headline import headline
from syncd.errors import ConfigError, LockedOut, SyncdError
from syncd.inside import Inside, Live, Scene
from syncd.policies import (
    credential_source,
    destination_policy,
    folder_policies,
    plan_policy,
    proxy_secrets,
)
from syncd.ports import Clock, Credentials, Pace, ServerTime, Watcher

if TYPE_CHECKING:  # botocore comes in only when the destination is opened
    from syncd.adapters.s3.retrying import RetryingStore
    from syncd.adapters.s3.sums import AwsSums

log = structlog.get_logger()

KEEPERS_REMEMBERED = 5
WORKER_HANGS_S = 600.0


@dataclass(frozen=True, slots=True)
class _Retired:
    """Something that is closed when nothing of before this age is in hand."""

    age: int
    close: Callable[[], None]


class Household:
    """All the parts, and how they are swapped. `reload` and `sweep` belong to the main thread."""

    def __init__(self, config: Config, clock: Clock, ledger: SqliteLedger) -> None:
        self.config, self.clock, self.ledger = config, clock, ledger
        self.mailbox, self.stop, self.pulse = Mailbox(), threading.Event(), Pulse(clock)
        self._paused = threading.Event()
        self.gate = Gate(clock, random.random)
        self.hands = HandsFile(Path(f"{config.state}.inhand"), clock)
        self.bodies = BodyThreads(config.upload.parts, clock, body_buffer(config))
        self.files = FileThreads(config.upload.files, clock)
        self._meter = Meter(clock)
        self._board = Board(clock, self._meter.acknowledged)
        self._server_time = LearntTime(clock)
        self._pace = SharedRate(clock, self.stop, config.upload.max_rate)
        self._retired: list[_Retired] = []
        self._started_at = clock.now()
        self.keeper = self._new_keeper(config)
        self._keepers = [self.keeper]  # the last ones: what is in hand may still sign with a former one's
        self._store, self._sums = self._new_store(config)
        self._watcher = _watcher(config, self.mailbox, clock)
        self._disk = PatientDisk(LocalDisk(), far=leads_far)
        self.world = self._new_world(config)
        self.clerk = Clerk(
            self.world,
            files=self.files,
            files_at_once=config.upload.files,
            mailbox=self.mailbox,
            gate=self.gate,
            watcher=self._watcher,
            hands=self.hands,
        )
        self._reader: SqliteLedger | None = None
        self.doors = Doors(
            socket=config.socket,
            listen=config.console.listen,
            view=lambda: Inside(self._scene()),
            page_view=self._page_view,
            clock=clock,
        )

    # -- its life

    def start(self) -> None:
        """What has threads of its own begins. Raises SyncdError where the socket cannot be had."""
        self.doors.start()
        self.keeper.start()

    def close(self) -> None:
        """Let go of everything."""
        self.doors.stop()
        for each in self._retired:
            each.close()
        self.keeper.stop()
        self._watcher.close()
        self._store.close()
        if self._reader is not None:
            self._reader.close()
        self.ledger.close()
        self.hands.close()

    def secrets(self) -> tuple[str, ...]:
        """What no log may show."""
        kept = [secret for keeper in self._keepers for secret in keeper.secrets()]
        return (*kept, *proxy_secrets(self.config))

    # -- another configuration

    def reload(self, load: Callable[[], Config]) -> bool:
        """Go on under the configuration as it is now; a broken one is told and changes nothing. True if it was taken."""
        try:
            config = load()
        except ConfigError as broken:
            for problem in broken.problems:
                log.error("reload_refused", problem=problem)  # noqa: TRY400 - no trace of ours is wanted
            return False
        if config.state != self.config.state:
            log.warning("reload_keeps_state", state=str(self.config.state), hint="restart to move the ledger")
            config = config.model_copy(update={"state": self.config.state})
        self._take_over(config)
        log.info("reloaded", folders=[folder.name for folder in config.folders])
        return True

    def _take_over(self, config: Config) -> None:
        was, self.config = self.config, config
        old_keeper, old_store, old_watcher = self.keeper, self._store, self._watcher
        self._pace.change(config.upload.max_rate)
        self.files.resize(config.upload.files)
        self.bodies.resize(config.upload.parts, body_buffer(config))
        other_credentials = (was.credentials, was.device) != (config.credentials, config.device)
        if other_credentials:
            self.keeper = self._new_keeper(config)
            self._keepers = [self.keeper, *self._keepers][:KEEPERS_REMEMBERED]
            self.keeper.start()
        if other_credentials or _line(was) != _line(config):
            self._store, self._sums = self._new_store(config)
        if _watched(was) != _watched(config):
            self._watcher = _watcher(config, self.mailbox, self.clock)
        self.world = self._new_world(config)
        plant = Plant(world=self.world, files_at_once=config.upload.files, watcher=self._watcher)
        age = self.clerk.change(plant)
        self._retire(age, old_keeper.stop, kept=old_keeper is self.keeper)
        self._retire(age, old_store.close, kept=old_store is self._store)
        self._retire(age, old_watcher.close, kept=old_watcher is self._watcher)
        self.gate.probe_now()
        self.doors.change(socket=config.socket, listen=config.console.listen)

    def _retire(self, age: int, close: Callable[[], None], *, kept: bool) -> None:
        if not kept:
            self._retired.append(_Retired(age, close))

    def mend(self) -> list[str]:
        """Begin anew what has died, and name it."""
        parts = {
            "files": self.files.mend,
            "bodies": self.bodies.mend,
            "credentials": self.keeper.mend,
        }
        return [*(name for name, mend in parts.items() if mend()), *self.doors.mend()]

    def working(self) -> dict[str, int | None]:
        """The workers that have something in hand, each with how often it has run."""
        threads = self.files.in_hand() | self.bodies.in_hand()
        return {name: times_run(thread) for thread, name in threads.items()}

    def patience_s(self) -> float:
        """No wait of a worker's is as long: it hangs."""
        upload, api = self.config.upload, self.config.credentials.api
        longest = max(upload.read_timeout, upload.connect_timeout, *([] if api is None else [api.timeout]))
        return max(WORKER_HANGS_S, 3 * longest.total_seconds())

    def headline(self) -> str:
        """The same sentence as everywhere, for the service manager."""
        try:
            return headline(self.doors.console.view.status())
        except SyncdError as error:
            return str(error)

    def sweep(self) -> None:
        """Close what nobody uses any more."""
        over = [each for each in self._retired if self.clerk.works_in_age(each.age)]
        for each in over:
            each.close()
            self._retired.remove(each)

    # -- the parts

    def _page_view(self) -> Inside:
        """It reads by a connection of its own: no look at a long history keeps the ledger from those who write."""
        self._reader = self._reader or open_readonly(Path(self.config.state), self.clock)
        return Inside(replace(self._scene(), ledger=self._reader))

    def _page_away(self) -> str | None:
        return self.doors.page_away()

    def _new_keeper(self, config: Config) -> CredentialKeeper:
        def changed() -> None:
            if self.keeper.snapshot().state in {"ok", "stale"}:
                self.gate.credentials_came()
            else:
                self.gate.probe_now("credentials")  # for the reason as it is now
            self.mailbox.wake()

        api, chain = config.credentials.api, config.credentials.chain
        if api is None:
            return open_chain_keeper(
                profile=None if chain is None else chain.profile,
                clock=self.clock,
                on_change=changed,
                server_time=self._server_time,
            )
        return open_keeper(
            url=api.url,
            device=config.device,
            token_file=api.token_file,
            ca_file=api.ca_file,
            identity=client_identity(api),
            timeout=api.timeout.total_seconds(),
            renew_before=api.renew_before.total_seconds(),
            clock=self.clock,
            on_change=changed,
            server_time=self._server_time,
        )

    def _new_store(self, config: Config) -> tuple[RetryingStore, AwsSums]:
        return open_destination(
            config,
            credentials=self.keeper,
            clock=self.clock,
            stop=self.stop,
            server_time=self._server_time,
            pace=self._pace,
            tried_again=self._meter.tried_again,
        )

    def _new_world(self, config: Config) -> World:
        return World(
            device=config.device,
            folders=folder_policies(config),
            destination=destination_policy(config),
            plan=plan_policy(config),
            ledger=self.ledger,
            disk=self._disk,
            store=HeardStore(self._store, self.pulse, self.gate.passed, self._meter.body_ended),
            sums=self._sums,
            credentials=self.keeper,
            clock=self.clock,
            bodies=self.bodies,
            bodies_at_once=config.upload.parts,
            board=self._board,
            hints=self.mailbox,
            token=lambda: secrets.token_hex(16),
            chance=random.random,
            stop=self.stop,
            paused=self._paused,
            server_time=self._server_time,
            retention_s=config.retention.total_seconds(),
            looked=self.pulse.looked,
        )

    def _scene(self) -> Scene:
        live = Live(
            clerk=self.clerk,
            gate=self.gate,
            board=self._board,
            mailbox=self.mailbox,
            credentials=self._credential_facts,
            bucket=self._bucket,
            started_at=self._started_at,
            prefix=self._prefix,
            page_away=self._page_away,
            meter=self._meter,
            pulse=self.pulse,
        )
        return Scene(
            version=__version__,
            device=self.config.device,
            source=credential_source(self.config),
            folders=self.world.folders,
            destination=self.world.destination,
            ledger=self.ledger,
            disk=self.world.disk,
            clock=self.clock,
            sight=machine,
            plan=self.world.plan,
            live=live,
        )

    def _bucket(self) -> str | None:
        try:
            return self.keeper.current().bucket
        except LockedOut:
            return None

    def _prefix(self) -> str | None:
        try:
            return self.world.destination.prefix_for(self.keeper.current(), self.config.device)
        except LockedOut:
            return self.world.destination.prefix

    def _credential_facts(self) -> CredentialFacts:
        known = self.keeper.snapshot()
        return CredentialFacts(
            source=known.source,
            state=known.state,
            expires_at=known.expires_at,
            renewed_at=known.renewed_at,
            failure=known.failure,
            hint=known.hint,
            since=known.since,
            clock_offset_s=self._server_time.offset(),
        )


def open_destination(
    config: Config,
    *,
    credentials: Credentials,
    clock: Clock,
    stop: threading.Event,
    server_time: ServerTime,
    pace: Pace | None = None,
    tried_again: Callable[[SyncdError], None] = lambda _: None,
) -> tuple[RetryingStore, AwsSums]:
    """The configured destination, and the sums for it; whoever opens it closes it."""
    where, upload = config.destination, config.upload
    return open_store(
        credentials=credentials,
        clock=clock,
        stop=stop,
        server_time=server_time,
        pace=pace,
        tried_again=tried_again,
        region=where.region,
        endpoint_url=where.endpoint_url,
        addressing_style=where.addressing_style,
        ca_file=None if where.ca_file is None else str(where.ca_file),
        proxy=where.proxy,
        expected_bucket_owner=where.expected_bucket_owner,
        connect_timeout=upload.connect_timeout.total_seconds(),
        read_timeout=upload.read_timeout.total_seconds(),
        connections=upload.files + upload.parts + 2,
    )


def _line(config: Config) -> tuple[object, ...]:
    """What the connection to the destination is made of."""
    where, upload = config.destination, config.upload
    return (
        (where.region, where.endpoint_url, where.addressing_style, where.ca_file),
        (where.proxy, where.expected_bucket_owner),
        upload.connect_timeout,
        upload.read_timeout,
        upload.files + upload.parts,
    )


def _watched(config: Config) -> dict[bytes, bool]:
    """What the kernel is asked to watch: folders, and whether with all below them."""
    return {os.fsencode(folder.path): folder.recursive for folder in config.folders if folder.watch != "poll"}


def _watcher(config: Config, mailbox: Mailbox, clock: Clock) -> Watcher:
    watched = _watched(config)
    return InotifyWatcher(mailbox, watched, clock, is_remote=is_remote) if watched else NullWatcher()


def client_identity(api: Api) -> Identity | None:
    """Who we are to the credential API by TLS, where that is configured."""
    if api.client_cert is None or api.client_key is None:
        return None
    return Identity(api.client_cert, api.client_key)


def body_buffer(config: Config) -> int:
    """Bytes of each body's buffer: a part fits if its share of `upload.memory` allows, else it is streamed."""
    share = config.upload.memory // config.upload.parts
    return min(share, max(config.upload.part_size, config.upload.multipart_threshold))
