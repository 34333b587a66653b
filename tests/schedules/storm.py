"""One schedule: the whole daemon in one thread over real HTTP, while requests fail, files change and the process dies.

Everything is drawn from one seed: the files, when they change, which requests suffer what, where a life ends, which habits
the store has, whether uploads may be listed. Time is a FakeClock's; only black holes cost real time.
"""

from __future__ import annotations

import itertools
import random
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.endpoint import Endpoint, Issuer
from support.house import House, build_house
from support.lives import Crash, Fuse
from support.script import API_KINDS, KINDS, Rule, Script

from syncd.adapters.credentials.keeper import CredentialKeeper, open_keeper
from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.retrying import RetryingStore
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.timing import Timing
from syncd.adapters.server_time import LearntTime
from syncd.demo.store import Habits, Store
from syncd.model import State

PART = 5
TIMEOUT = 0.25
TOKEN = "tok-CANARY-of-the-storm"
SIZES = (0, 1, 4, 5, 6, 10, 11, 17, 23)
LIST_UPLOADS = "s3:ListBucketMultipartUploads"
SILENT = [name for name in (*KINDS, *API_KINDS) if "hole" in name or "never" in name]
SLOW = [*SILENT, "API 100 MB", "dripping Complete", "throttled body", "API drips"]
"""They cost real time, so a schedule has few of them."""


class Current:
    """Stands for whatever belongs to the schedule of the moment, so that one S3 client serves them all."""

    def __init__(self) -> None:
        self.to: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)


class Servers:
    """S3, STS and the credential API, for many schedules; their time is that of the schedule."""

    def __init__(self, place: Path) -> None:
        self.clock = FakeClock()
        self.token_file = place / "token"
        self.token_file.write_text(TOKEN)
        self.token_file.chmod(0o600)
        self.store = Store(
            place / "store",
            min_part_size=PART,
            min_session_seconds=1,
            clock=self.now,
            role_may=(LIST_UPLOADS,),
        )
        self.store.start()
        issuer = Issuer(
            url=self.store.url,
            access_key=self.store.access_key,
            secret_key=self.store.secret_key,
            role_arn=self.store.role_arn,
            bucket=self.store.bucket,
            region=self.store.region,
        )
        self.endpoint = Endpoint(issuer, token=TOKEN, session_seconds=900, clock=self.now)
        self.endpoint.start()
        self.numbers = itertools.count(1)
        self.device_clock, self.device_time, self.credentials = Current(), Current(), Current()
        settings = Settings(endpoint_url=self.store.url, connect_timeout=TIMEOUT, read_timeout=TIMEOUT)
        timing = Timing(clock=self.device_clock, server_time=self.device_time)
        self.s3 = S3Store(Clients(settings, self.credentials, timing))

    def now(self) -> float:
        return self.clock.now()

    def stop(self) -> None:
        self.s3.close()
        self.endpoint.stop()
        self.store.stop()


@dataclass
class Versions:
    """What a path held, one after the other; the last one is what it holds now, None if it is gone."""

    contents: list[bytes | None] = field(default_factory=list)

    def known(self) -> set[bytes]:
        return {content for content in self.contents if content is not None}


class Storm:
    """One device under one seed."""

    def __init__(self, servers: Servers, place: Path, seed: int) -> None:
        self.servers, self.place, self.seed = servers, place, seed
        self.chance = random.Random(seed)
        random.seed(seed)  # tenacity's jitter
        self.prefix = f"s{next(servers.numbers):06d}/"
        self.inbox = place / "inbox"
        self.inbox.mkdir(parents=True)
        self.clock = servers.clock = FakeClock()  # the same moment for each seed
        self.files: dict[str, Versions] = {}
        self.lives = 0
        self.crashes = 0
        self.may_list = self.chance.random() < 0.5
        servers.endpoint.bucket_actions = (LIST_UPLOADS,) if self.may_list else ()
        servers.endpoint.session_seconds = self.chance.choice((60, 900, 3600))
        servers.store.habits = Habits(
            complete_again=self.chance.choice(("same answer", "NoSuchUpload")),
            gone_code=self.chance.choice(("NoSuchUpload", "NoSuchKey")),
            hides_missing=self.chance.random() < 0.5,
        )
        self.script = Script(rules=list(self._rules()), seed=seed)
        servers.store.faults = servers.endpoint.faults = self.script
        self.seen_before = len(servers.store.log)
        self.asked: list[tuple[str, str, int | None, str]] = []
        self.house: House
        self.keeper: CredentialKeeper
        self.ledger: SqliteLedger

    def _rules(self) -> Iterator[Rule]:
        """Kinds whose chances add up to 5 to 25 % of all calls; those that cost real time once or twice."""
        quick = [name for name in KINDS if name not in SLOW]
        chosen = self.chance.sample(quick, self.chance.randrange(3, 9))
        share = self.chance.uniform(0.05, 0.25) / len(chosen)
        for name in chosen:
            yield KINDS[name](probability=share)
        for name in self.chance.sample([name for name in KINDS if name in SLOW], 1):
            yield KINDS[name](nth=self.chance.randrange(1, 25), times=1)
        quick_api = [name for name in API_KINDS if name not in SLOW]
        for name in self.chance.sample(quick_api, 3):
            yield API_KINDS[name](probability=0.08)

    # -- lives

    def begin(self, fuse: Fuse | None) -> None:
        """A new process on the ledger that the last one left."""
        state = self.place / f"life-{self.lives}" / "state.db"
        state.parent.mkdir(exist_ok=True)
        self.ledger = open_ledger(state, self.clock)
        learnt = LearntTime(self.clock)
        self.keeper = open_keeper(
            url=self.servers.endpoint.url,
            device=self.prefix.rstrip("/"),
            token_file=self.servers.token_file,
            ca_file=None,
            timeout=TIMEOUT,
            renew_before=600,
            clock=self.clock,
            on_change=lambda: self.house.gate.probe_now("credentials"),
            jitter=lambda: 0.5,
            server_time=learnt,
        )
        self.servers.device_clock.to, self.servers.device_time.to = self.clock, learnt
        self.servers.credentials.to = self.keeper
        store = RetryingStore(
            self.servers.s3, credentials=self.keeper, clock=self.clock, stop=threading.Event()
        )
        self.house = build_house(
            self.inbox,
            state,
            store,
            clock=self.clock,
            ledger=self.ledger,
            credentials=self.keeper,
            key="{prefix}{path}",
            part_size=PART,
            server_time=learnt,
            rescan_s=20.0,
            wrap=fuse.wrap if fuse else lambda port: port,
        )
        self._keep_at = self.clock.monotonic()

    def end(self) -> None:
        """The process is gone: the ledger's files are as they are, nobody has closed them."""
        left = self.place / f"life-{self.lives}"
        self.lives += 1
        shutil.copytree(left, self.place / f"life-{self.lives}", ignore=shutil.ignore_patterns("*.lock"))
        self.ledger.close()

    def step(self) -> None:
        if self.clock.monotonic() >= self._keep_at or self.keeper._wake.is_set():
            self.keeper._wake.clear()
            self._keep_at = self.clock.monotonic() + self.keeper.tick()
        self.house.tick()

    # -- the storm

    def rage(self, steps: int) -> None:
        """Files come, change and go while the daemon lives and dies."""
        for _ in range(self.chance.randrange(2, 6)):
            self._new_file()
        self._live_again()
        for _ in range(steps):
            if self.chance.random() < 0.15:
                self._meddle()
            try:
                self.step()
            except Crash:
                self.crashes += 1
                self.end()
                self._live_again()

    def _live_again(self) -> None:
        while True:
            doomed = self.chance.random() < 0.5
            fuse = Fuse(self.chance.randrange(1, 60), after=self.chance.random() < 0.5) if doomed else None
            try:
                self.begin(fuse)
            except Crash:
                self.crashes += 1
                self.end()
            else:
                return

    def _meddle(self) -> None:
        there = [name for name, versions in self.files.items() if versions.contents[-1] is not None]
        what = self.chance.random()
        if what < 0.4 or not there:
            self._new_file()
        elif what < 0.8:
            self._change(self.chance.choice(there))
        elif what < 0.9:
            name = self.chance.choice(there)
            (self.inbox / name).unlink()
            self.files[name].contents.append(None)
        else:
            self.clock.advance(self.chance.choice((1.0, 60.0, 1000.0)))

    def _new_file(self) -> None:
        name = f"film-{len(self.files)}"
        self.files[name] = Versions()
        self._change(name)

    def _change(self, name: str) -> None:
        data = self.chance.randbytes(self.chance.choice(SIZES))
        partial = self.place / "partial"
        partial.write_bytes(data)
        partial.rename(self.inbox / name)
        self.files[name].contents.append(data)

    # -- calm

    def settle(self, steps: int = 3000) -> None:
        """The troubles end; everything must come to rest."""
        self.script.on = False
        self.house.clerk.folders[0].scan_soon("the storm is over")
        target = self.house.clerk.folders[0].scans_done + 2
        for _ in range(steps):
            try:
                self.step()
            except Crash:  # the last life was a doomed one
                self.crashes += 1
                self.end()
                self.begin(None)
                target = 2
                continue
            if self.house.clerk.folders[0].scans_done >= target and self.house.at_rest():
                return
        rows = [(row.path, row.state, row.hint) for row in self.ledger.live(10)]
        raise AssertionError(f"it does not come to rest: {rows}, gate {self.house.gate.closed()}")

    def judge(self) -> None:
        """The oracle of the whole suite."""
        objects = {
            key.removeprefix(self.prefix): self.servers.store.read(key)
            for key in self.servers.store.objects()
            if key.startswith(self.prefix)
        }
        rows = {row.path.decode(): row for row in self._rows()}
        for name, versions in self.files.items():
            now, stored = versions.contents[-1], objects.get(name)
            if now is not None:
                assert rows[name].parked_reason is None, (name, rows[name].parked_reason)
                assert rows[name].state is State.DONE, (name, rows[name].state)
                assert stored == now, f"{name}: another content than the file's"
                assert rows[name].proof is not None
            else:
                assert stored is None or stored in versions.known(), f"{name}: a content that it never had"
        assert objects.keys() <= self.files.keys(), "an object for something else"
        for key, count in self.script.writes().items():
            if key.startswith(self.prefix):
                contents = self.files[key.removeprefix(self.prefix)].contents
                most = sum(content is not None for content in contents)
                assert count <= most, f"{key} was written {count} times for {most} versions"
        open_uploads = [
            upload for upload in self.servers.store.uploads() if upload.key.startswith(self.prefix)
        ]
        if self.may_list:
            assert not open_uploads, "an upload was left open"
        assert len(open_uploads) <= self.ledger.totals().possible_orphans, "an orphan that nobody counted"
        self._ledger_is_sound()

    def _rows(self) -> Any:
        return self.ledger.between(str(self.inbox).encode(), b"", None, 1000)

    def _ledger_is_sound(self) -> None:
        state = self.place / f"life-{self.lives}" / "state.db"
        look = sqlite3.connect(f"file:{state}?mode=ro", uri=True)
        assert look.execute("PRAGMA quick_check").fetchone() == ("ok",)
        look.close()
        kept = b"".join(path.read_bytes() for path in state.parent.iterdir() if path.suffix != ".lock")
        for secret in (*self.keeper.secrets(), TOKEN):
            assert secret.encode() not in kept, "a secret stands in the ledger"

    def story(self) -> str:
        """What happened, for whoever has to find out why."""
        history = [
            (row.path.decode(), [entry.why for entry in self.ledger.history(row.folder, row.path, 6)])
            for row in self._rows()
        ]
        return (
            f"seed {self.seed}: {self.crashes} crashes, may list {self.may_list}, {self.servers.store.habits}\n"
            + "\n".join(self.script.told[-40:])
            + f"\n{history}"
        )

    def note_requests(self) -> None:
        """For comparing two runs of one seed, when both are over."""
        self.asked = self.requests()

    def requests(self) -> list[tuple[str, str, int | None, str]]:
        """What the store was asked so far."""
        return [
            (each.operation, each.key.removeprefix(self.prefix), each.part_number, each.code)
            for each in self.servers.store.log[self.seen_before :]
            if each.operation != "AssumeRole"
        ]
