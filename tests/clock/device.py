"""A device in one thread with a clock that is set, jumps and sleeps; its servers, over real HTTP, have the true time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.clock import START, FakeClock
from support.endpoint import Endpoint, Issuer
from support.house import House, build_house
from support.witness import Words, Writes, assert_no_secret, assert_sound, session_secrets

from syncd.adapters.credentials.keeper import CredentialKeeper, open_keeper
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.retrying import RetryingStore
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.timing import Timing
from syncd.adapters.server_time import LearntTime
from syncd.demo.store import Store
from syncd.demo.store.faults import Fault, Record
from syncd.model import State

TOKEN = "a-token-of-the-device"
HOUR = 3600.0
AGAINST_SIGNATURES = {
    *("RequestTimeTooSkewed", "ExpiredToken", "InvalidToken", "InvalidAccessKeyId"),
    *("SignatureDoesNotMatch", "AuthorizationHeaderMalformed"),
}


class Current:
    """Stands for whatever belongs to the device of the moment, so that one S3 client serves many devices."""

    def __init__(self) -> None:
        self.to: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)


class Outage:
    """Lets so many requests to S3 suffer a fault, before they take effect; tells of those that did."""

    def __init__(self) -> None:
        self.left = 0
        self.fault = Fault(drop=True)
        self.lost_creates = 0
        self.took_effect: Callable[[Record], None] = lambda record: None

    def before(self, record: Record) -> Fault | None:
        if self.left <= 0 or record.operation == "AssumeRole":
            return None
        self.left -= 1
        self.lost_creates += record.operation == "CreateMultipartUpload"
        return self.fault

    def after(self, record: Record) -> Fault | None:
        self.took_effect(record)
        return None


class Servers:
    """S3, STS and the credential API. Their time goes by as the device's does, and never jumps."""

    def __init__(self, place: Path) -> None:
        self.clock = FakeClock()
        self.outage = Outage()
        self.numbers = itertools.count(1)
        self.token_file = place / "token"
        self.token_file.write_text(TOKEN)
        self.token_file.chmod(0o600)
        self.store = Store(place / "store", min_part_size=5, min_session_seconds=1, clock=self.true)
        self.store.faults = self.outage
        self.store.start()
        issuer = Issuer(
            url=self.store.url,
            access_key=self.store.access_key,
            secret_key=self.store.secret_key,
            role_arn=self.store.role_arn,
            bucket=self.store.bucket,
            region=self.store.region,
        )
        self.endpoint = Endpoint(issuer, token=TOKEN, device="cam", session_seconds=900, clock=self.true)
        self.endpoint.start()
        self.device_clock, self.device_time, self.device_credentials = Current(), Current(), Current()
        timing = Timing(clock=self.device_clock, server_time=self.device_time)
        settings = Settings(endpoint_url=self.store.url, connect_timeout=5, read_timeout=5)
        self.s3 = S3Store(Clients(settings, self.device_credentials, timing))

    def true(self) -> float:
        return START + self.clock.boot

    def stop(self) -> None:
        self.s3.close()
        self.endpoint.stop()
        self.store.stop()


class Device:
    """Clerk, keeper and learnt time of one device; `step` lets each do what is due, then time goes by."""

    def __init__(
        self, place: Path, servers: Servers, *, ahead: float = 0.0, quiet_s: float = 0.0, **options: Any
    ) -> None:
        number = next(servers.numbers)
        self.servers, self.quiet_s = servers, quiet_s
        self.seen_before = len(servers.store.log)
        self.clock = servers.clock = FakeClock()
        servers.outage.left = servers.outage.lost_creates = 0
        self.writes, self.words = Writes(servers.store), Words()
        servers.outage.took_effect = self.writes.saw
        self.former_secrets = set(session_secrets(servers.store))
        self.prefix, self.files = f"cam/{number}/", dict[str, bytes]()
        self.state = place / f"state {number}" / "state.db"
        servers.endpoint.override = None
        servers.endpoint.session_seconds = 900
        self.clock.wall = servers.true() + ahead
        self.learnt = LearntTime(self.clock)
        self.keeper = self._keeper()
        servers.device_clock.to, servers.device_time.to = self.clock, self.learnt
        servers.device_credentials.to = self.keeper
        self.inbox = place / f"inbox {number}"
        self.inbox.mkdir()
        store = RetryingStore(servers.s3, credentials=self.keeper, clock=self.clock, stop=threading.Event())
        self.house: House = build_house(
            self.inbox,
            self.state,
            store,
            clock=self.clock,
            credentials=self.keeper,
            quiet_s=quiet_s,
            key=f"{{prefix}}{number}/{{path}}",
            rescan_s=5.0,
            **options,
        )
        self._keep_at = self.clock.monotonic()
        self._first_seen: dict[bytes, float] = {}
        self.settled_after: dict[bytes, float] = {}
        """Monotonic seconds from the first sight of each file to the step that called it finished."""

    def _keeper(self) -> CredentialKeeper:
        servers = self.servers
        return open_keeper(
            url=servers.endpoint.url,
            device="cam",
            token_file=servers.token_file,
            ca_file=None,
            timeout=10,
            renew_before=600,
            clock=self.clock,
            on_change=self._credentials_changed,
            jitter=lambda: 0.5,
            server_time=self.learnt,
        )

    def _credentials_changed(self) -> None:
        self.house.gate.probe_now("credentials")
        self.house.mailbox.wake()

    def drop(self, name: str, data: bytes = b"0123456789ab") -> None:
        self.files[name] = data
        (self.inbox / name).write_bytes(data)

    def step(self, at_least: float = 0.0) -> None:
        """One round of the keeper, if its thread's wait is over or somebody woke it, and one of the clerk."""
        if self.clock.monotonic() >= self._keep_at or self.keeper._wake.is_set():
            self.keeper._wake.clear()
            self._keep_at = self.clock.monotonic() + self.keeper.tick()
        began = self.clock.monotonic()
        delay = self.house.clerk.tick()
        self._note(began)
        self.clock.advance(max(delay, at_least, 0.001))

    def _note(self, now: float) -> None:
        for path, state in self.house.states().items():
            first = self._first_seen.setdefault(path, now)
            if state is not State.DISCOVERED:
                self.settled_after.setdefault(path, now - first)

    def arrived(self) -> bool:
        """Whether everything in the inbox is done, and nothing is left to clear up."""
        states = self.house.states()
        there = {path.name.encode() for path in self.inbox.iterdir()}
        return set(states) == there and set(states.values()) <= {State.DONE} and self.house.at_rest()

    def run(self, within_s: float, *, at_least: float = 0.0) -> float:
        """Until everything arrived; the monotonic seconds that it took. Fails when they are more than `within_s`."""
        began = self.clock.monotonic()
        while not self.arrived():
            taken = self.clock.monotonic() - began
            assert taken <= within_s, (
                f"{self.house.states()} after {taken} s, gate {self.house.gate.closed()}"
            )
            self.step(at_least)
        self.judge()
        return self.clock.monotonic() - began

    def judge(self) -> None:
        """The oracle of the whole suite, once all has arrived."""
        there = {path.name: path.read_bytes() for path in self.inbox.iterdir()}
        assert there == self.files, "a source file was touched"
        assert self.objects() == self.files, "an object has not the bytes that it should have"
        self.writes.assert_once_per_version({self.prefix + name: [data] for name, data in self.files.items()})
        counted = self.house.world.ledger.totals().possible_orphans
        left = [each for each in self.servers.store.uploads() if each.key.startswith(self.prefix)]
        assert len(left) <= counted <= self.servers.outage.lost_creates, (
            "an upload was left open, or suspected"
        )
        assert_sound(self.state)
        issued = set(session_secrets(self.servers.store)) - self.former_secrets
        assert_no_secret([*issued, TOKEN], self.words.said, self.state)

    def objects(self) -> dict[str, bytes]:
        """What lies under this device's keys."""
        store = self.servers.store
        keys = [key for key in store.objects() if key.startswith(self.prefix)]
        return {key.removeprefix(self.prefix): store.read(key) for key in keys}

    def step_until(self, condition: Callable[[], object], steps: int = 500) -> None:
        """Until something that tests only wait for has come about."""
        for _ in range(steps):
            if condition():
                return
            self.step()
        raise AssertionError(f"it does not come about: {self.house.world.ledger.live(10)}")

    def requests(self) -> list[Record]:
        """What this device asked of S3."""
        return [each for each in self.servers.store.log[self.seen_before :] if each.operation != "AssumeRole"]

    def refusals(self) -> list[str]:
        """S3's reasons against the time or the credentials of this device's signatures."""
        return [record.code for record in self.requests() if record.code in AGAINST_SIGNATURES]

    def close(self) -> None:
        self.house.world.ledger.close()
