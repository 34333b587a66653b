"""The composition root: from the configuration to a daemon that can be run, and the verbs that need no daemon."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from syncd.act.gate import Gate
from syncd.act.mailbox import Mailbox
from syncd.act.pulse import Pulse
from syncd.act.world import World
from syncd.adapters.clock import SystemClock
from syncd.adapters.credentials.api import fetch_once
from syncd.adapters.credentials.chain import CredentialChain
from syncd.adapters.credentials.keeper import CredentialKeeper
from syncd.adapters.disk import ignore_lease_signals
from syncd.adapters.ledger import SQLITE_VERSION, SqliteLedger, open_ledger
from syncd.adapters.mounts import lies_on_another_machine
from syncd.clerk import Clerk
from syncd.config.model import Config
from syncd.daemon import Daemon
from syncd.household import Household, client_identity
from syncd.model import CredentialSet
from syncd.ports import Clock, ServerTime
from syncd.telemetry.notify import Notifier
from syncd.watchman import Watchman

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What was built, for those who look in."""

    clock: Clock
    ledger: SqliteLedger
    gate: Gate
    clerk: Clerk
    mailbox: Mailbox
    pulse: Pulse
    daemon: Daemon
    household: Household

    @property
    def world(self) -> World:
        """What the steps lean on now."""
        return self.household.world

    @property
    def keeper(self) -> CredentialKeeper:
        """Who keeps the credentials now."""
        return self.household.keeper


def build(
    config: Config, clock: Clock | None = None, reload: Callable[[Household], None] = lambda _: None
) -> App:
    """Open the ledger (and its lock) and put the house together; nothing runs yet.

    Raises LedgerHeld, LedgerFailure, ConfigError. The daemon's `run` closes what was opened; SIGHUP calls `reload`.
    """
    clock = clock or SystemClock()
    if lies_on_another_machine(Path(config.state).parent):
        log.warning("ledger_on_network_file_system", state=str(config.state), hint="put it on a local disk")
    os.umask(0o077)
    ignore_lease_signals()
    with ExitStack() as unwind:
        ledger = open_ledger(Path(config.state), clock)
        unwind.callback(ledger.close)
        log.info("ledger_opened", state=str(config.state), sqlite=SQLITE_VERSION)
        household = Household(config, clock, ledger)
        unwind.pop_all()
    return _with_daemon(household, reload)


def _with_daemon(household: Household, reload: Callable[[Household], None]) -> App:
    notifier = Notifier()
    watchman = Watchman(
        clock=household.clock,
        notifier=notifier,
        came_round_at=lambda: household.clerk.came_round_at,
        mend=household.mend,
        headline=household.headline,
        working=household.working,
        patience_s=household.patience_s,
        give_up=lambda reason: daemon.fail(reason),  # noqa: PLW0108 - there is no daemon yet
    )

    def errand() -> None:
        household.sweep()
        watchman.look()

    daemon = Daemon(
        clerk=household.clerk,
        mailbox=household.mailbox,
        stop=household.stop,
        clock=household.clock,
        pools=(household.files, household.bodies),  # visits end when their bodies have
        by_ourselves=household.hands.let_all_go,
        reload=lambda: reload(household),
        errand=errand,
        notifier=notifier,
        starters=(household.start,),
        closers=(household.close,),
    )
    return App(
        clock=household.clock,
        ledger=household.ledger,
        gate=household.gate,
        clerk=household.clerk,
        mailbox=household.mailbox,
        pulse=household.pulse,
        daemon=daemon,
        household=household,
    )


def fetch_credentials(
    config: Config, clock: Clock | None = None, server_time: ServerTime | None = None
) -> CredentialSet:
    """Ask the credential API, or the chain, once, daemon or not; `server_time` learns from the answer. Raises ConfigError, Transient, LockedOut."""
    clock = clock or SystemClock()
    api, chain = config.credentials.api, config.credentials.chain
    if api is None:
        profile = None if chain is None else chain.profile
        return CredentialChain(profile=profile, clock=clock).fetch().credentials
    fetched = fetch_once(
        url=api.url,
        device=config.device,
        token_file=api.token_file,
        ca_file=api.ca_file,
        identity=client_identity(api),
        timeout=api.timeout.total_seconds(),
        clock=clock,
        server_time=server_time,
    )
    return fetched.credentials
