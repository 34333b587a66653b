"""One schedule: the whole daemon in one thread over real HTTP, while requests fail, files change and the process dies.

Everything is drawn from one seed: the files, when they change, which requests suffer what, where a life ends, which habits
the store has, whether uploads may be listed, what becomes of a file that arrived. Time is a FakeClock's; only black holes
cost real time. After every step and every crash what lies on the disk is judged, at the end everything.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.endpoint import Endpoint, Issuer
from support.house import House, build_house
from support.lives import Crash, Fuse
from support.script import API_KINDS, KINDS, Moment, Rule, Script
from support.witness import WRITES, Words, Writes, assert_no_secret, assert_sound, session_secrets

from syncd.act.verify import NOT_TAKEN, WHOLE_TIMES
from syncd.adapters.credentials.keeper import CredentialKeeper, open_keeper
from syncd.adapters.ledger import SqliteLedger, open_ledger
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.retrying import RetryingStore
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.timing import Timing
from syncd.adapters.server_time import LearntTime
from syncd.decide.dispose import DisposalPolicy
from syncd.decide.select import ASIDE
from syncd.demo.store import Habits, Record, Store
from syncd.model import ProofKind, State, Transfer

PART = 5
TIMEOUT = 0.25
TOKEN = "tok-CANARY-of-the-storm"
CANARIES = (TOKEN, "scripted-canary")  # the second one stands in the sets that the API's troubles hand out
RATES = (0.05, 0.25)
WITHIN = 3.0
"""The rate that was drawn is reached to within so many requests: at the end some have no trouble that could meet them."""
FIRST_LIFE = 30
"""At how many outside calls at most the first life ends: nearly every schedule comes as far."""
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
class Weather(Script):
    """A script whose `kinds` come over as many of all requests as `rate` says, whichever requests there are.

    Each request suffers with a chance that grows while less happened than was drawn, and then one of the kinds that can
    meet it; the plain rules come first. AssumeRole is the API's own request, not the device's.
    """

    kinds: Sequence[Rule] = ()
    rate: float = 0.0
    asked: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._to_come: dict[str, Rule] = {}  # for after the effect, by request

    def debt(self) -> float:
        """How many more requests should have suffered by now."""
        return self.rate * self.asked - self.hits

    def _first_hit(self, record: Record, when: Moment) -> Rule | None:
        if record.operation == "AssumeRole":
            return None
        if when == "after":
            return self._to_come.pop(record.request_id, None) or super()._first_hit(record, when)
        self.asked += 1
        rule = super()._first_hit(record, when)
        return rule if rule is not None else self._by_chance(record)

    def _by_chance(self, record: Record) -> Rule | None:
        """What begins now; what comes after the effect is kept until then."""
        meeting = [rule for rule in self.kinds if rule.matches(record, rule.when)]
        if self._random.random() >= self.rate + max(0.0, self.debt()) / 4 or self.debt() <= 0 or not meeting:
            return None
        rule = self._random.choice(meeting)
        if rule.when == "before":
            return rule
        self._to_come[record.request_id] = rule
        return None


@dataclass
class Versions:
    """What a path held, one after the other; the last one is what it holds now, None if it is gone."""

    contents: list[bytes | None] = field(default_factory=list)

    def held(self) -> list[bytes]:
        return [content for content in self.contents if content is not None]

    def known(self) -> set[bytes]:
        return set(self.held())


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
        self.in_doubt = 0
        """Crashes that left an intent to open an upload: each may have left one open that nobody knows."""
        self.sent = place / "sent"
        self.sent.mkdir()
        self.disposal = self.chance.choice(
            (
                *(DisposalPolicy(), DisposalPolicy()),
                DisposalPolicy(delete=True),
                DisposalPolicy(move_to=os.fsencode(self.sent)),
            )
        )
        self.may_list = self.chance.random() < 0.5
        servers.endpoint.bucket_actions = (LIST_UPLOADS,) if self.may_list else ()
        servers.endpoint.session_seconds = self.chance.choice((60, 900, 3600))
        servers.store.habits = Habits(
            complete_again=self.chance.choice(("same answer", "NoSuchUpload")),
            gone_code=self.chance.choice(("NoSuchUpload", "NoSuchKey")),
            hides_missing=self.chance.random() < 0.5,
        )
        self.writes = Writes(servers.store)
        self.too_early: list[str] = []
        """Files that had gone, and not by the recorder, when their object was written."""
        self.script = self._weather()
        servers.store.faults = servers.endpoint.faults = self.script
        self.words = Words()
        self.words.listen()
        self.former_secrets = set(session_secrets(servers.store))
        self.seen_before = len(servers.store.log)
        self.asked: list[tuple[str, str, int | None, str]] = []
        self.house: House
        self.keeper: CredentialKeeper
        self.ledger: SqliteLedger

    def _weather(self) -> Weather:
        """Kinds that together come over 5 to 25 % of all calls; one of those that cost real time comes once."""
        quick = [name for name in KINDS if name not in SLOW]
        quick_api = [name for name in API_KINDS if name not in SLOW]
        chosen = [KINDS[name]() for name in self.chance.sample(quick, self.chance.randrange(3, 9))]
        chosen += [API_KINDS[name]() for name in self.chance.sample(quick_api, 3)]
        slow = self.chance.choice([name for name in KINDS if name in SLOW])
        return Weather(
            rules=[KINDS[slow](nth=self.chance.randrange(1, 25), times=1)],
            seed=self.seed,
            kinds=chosen,
            rate=self.chance.uniform(*RATES),
            took_effect=self._took_effect,
        )

    def _took_effect(self, record: Record) -> None:
        """In a thread of the store: what is amiss is told later."""
        self.writes.saw(record)
        name = record.key.removeprefix(self.prefix)
        there = (self.inbox / name).exists() or name not in self.files
        if record.operation in WRITES and not there and self.files[name].contents[-1] is not None:
            self.too_early.append(name)

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
            disposal=self.disposal,
            wrap=fuse.wrap if fuse else lambda port: port,
        )
        self._keep_at = self.clock.monotonic()

    def end(self) -> None:
        """The process is gone: the ledger's files are as they are, nobody has closed them."""
        self.crashes += 1
        self.in_doubt += sum(row.state is State.CREATING for row in self.ledger.live(1000))
        self._judge_files()
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
        self._live_again(Fuse(self.chance.randrange(1, FIRST_LIFE), after=self.chance.random() < 0.5))
        for _ in range(steps):
            if self.chance.random() < 0.15:
                self._meddle()
            try:
                self.step()
            except Crash:
                self.end()
                self._live_again(self._fuse())
            self._judge_files()
        debt = self.script.debt()
        assert abs(debt) <= WITHIN, f"{self.script.rate:.0%} of {self.script.asked} requests: {debt} too few"

    def _fuse(self) -> Fuse | None:
        doomed = self.chance.random() < 0.5
        return Fuse(self.chance.randrange(1, 60), after=self.chance.random() < 0.5) if doomed else None

    def _live_again(self, fuse: Fuse | None) -> None:
        while True:
            try:
                self.begin(fuse)
            except Crash:
                self.end()
                fuse = self._fuse()
            else:
                return

    def _meddle(self) -> None:
        there = [name for name in self.files if (self.inbox / name).exists()]
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
                self.end()
                self.begin(None)
                target = 2
                continue
            self._judge_files()
            if self.house.clerk.folders[0].scans_done >= target and self.house.at_rest():
                return
        rows = [(row.path, row.state, row.hint) for row in self.ledger.live(10)]
        raise AssertionError(f"it does not come to rest: {rows}, gate {self.house.gate.closed()}")

    # -- the oracle of the whole suite

    def _judge_files(self) -> None:
        """No file of the recorder's is touched, none went without a proof, none that was moved is another now."""
        assert not self.too_early, f"{self.too_early} went before the object was there"
        aside = {path.read_bytes() for path in self.inbox.iterdir() if path.name.encode().startswith(ASIDE)}
        for name, versions in self.files.items():
            now = versions.contents[-1]
            if now is None:
                continue
            if (self.inbox / name).exists():
                assert (self.inbox / name).read_bytes() == now, f"{name}: the source file is another"
                continue
            row = self.ledger.at(str(self.inbox).encode(), name.encode())
            assert row is not None, f"{name} is gone and unknown"
            assert row.proof is not None, f"{name} went without a proof"
            assert row.proof.kind is not ProofKind.SIZE, f"{name} went on the size of its object"
            assert self.servers.store.read(self.prefix + name) == now, (
                f"{name} went, and its object is another"
            )
            if now in aside:
                continue
            assert not self.disposal.keeps, f"{name} is gone, and was to be kept"
            if self.disposal.move_to is not None:
                moved = self.sent / name
                assert moved.exists(), f"{name} was moved, and is nowhere"
                assert moved.read_bytes() == now, f"{name} was moved, and is another now"

    def judge(self) -> None:
        """When all has come to rest."""
        objects = {
            key.removeprefix(self.prefix): self.servers.store.read(key)
            for key in self.servers.store.objects()
            if key.startswith(self.prefix)
        }
        rows = {row.path.decode(): row for row in self._rows()}
        for name, versions in self.files.items():
            now, stored = versions.contents[-1], objects.get(name)
            if now is not None:
                if self._was_lied_about(name, rows[name]):
                    continue
                assert rows[name].parked_reason is None, (name, rows[name].parked_reason)
                assert rows[name].state is State.DONE, (name, rows[name].state)
                assert stored == now, f"{name}: another content than the file's"
                self._judge_end(name, rows[name])
            else:
                assert stored is None or stored in versions.known(), f"{name}: a content that it never had"
        assert objects.keys() <= self.files.keys(), "an object for something else"
        self.writes.assert_once_per_version(
            {self.prefix + name: versions.held() for name, versions in self.files.items()}
        )
        self._judge_uploads()
        self._judge_what_is_left()

    def _was_lied_about(self, name: str, row: Transfer) -> bool:
        """Parked as documented, for a store that took no list: it had told, of this file, that many ETags that were wrong."""
        lies = [
            line
            for line in self.script.told
            if f"{self.prefix}{name}" in line and ("wrong ETag" in line or "empty ETag" in line)
        ]
        return (row.parked_reason or "").startswith(NOT_TAKEN) and len(lies) >= WHOLE_TIMES

    def _judge_end(self, name: str, row: Transfer) -> None:
        """What was to become of a file that arrived became of it; a proof by size alone keeps it."""
        assert row.proof is not None
        kept = self.disposal.keeps or row.proof.kind is ProofKind.SIZE
        assert (self.inbox / name).exists() == kept, f"{name}: {self.disposal}, and {row.proof}"

    def _judge_uploads(self) -> None:
        """Those that are open are counted; no more are suspected than crashes and lost Creates explain."""
        counted = self.ledger.totals().possible_orphans
        open_uploads = [each for each in self.servers.store.uploads() if each.key.startswith(self.prefix)]
        if self.may_list:
            assert not open_uploads, "an upload was left open"
        assert len(open_uploads) <= counted, "an orphan that nobody counted"
        lost = sum(" CreateMultipartUpload " in line for line in self.script.told)
        assert counted <= self.in_doubt + lost, (
            f"{counted} orphans are suspected after {self.in_doubt} crashes and {lost} lost Creates"
        )

    def _judge_what_is_left(self) -> None:
        """The ledger is sound, and neither that of any life nor the log holds a secret."""
        assert_sound(self.place / f"life-{self.lives}" / "state.db")
        states = [self.place / f"life-{life}" / "state.db" for life in range(self.lives + 1)]
        issued = set(session_secrets(self.servers.store)) - self.former_secrets
        assert issued, "no set was given out, so none can be looked for"
        assert_no_secret([*issued, *CANARIES], self.words.said, *states)

    def _rows(self) -> Any:
        return self.ledger.between(str(self.inbox).encode(), b"", None, 1000)

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
