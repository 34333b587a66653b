"""The whole daemon in one thread against the strict store over real HTTP, with a script of troubles in between."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.endpoint import Endpoint, Issuer
from support.house import BUCKET, House, build_house
from support.script import Rule, Script
from support.witness import Words, Writes, assert_no_secret, assert_sound, session_secrets

from syncd.adapters.credentials.keeper import open_keeper
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.retrying import RetryingStore
from syncd.adapters.s3.store import S3Store
from syncd.demo.store import Habits, Record, Store
from syncd.errors import SyncdError
from syncd.model import CredentialSet, ProofKind, State, Transfer

PART = 5
SMALL = b"123456"[:PART]  # one PutObject
LARGE = b"0123456789ab"  # three parts
TIMEOUT = 0.3  # of the impatient client; the other one waits long enough for any machine
PATIENT = 10.0
TOKEN = "tok-CANARY-of-the-faults"
CANARIES = ("tok-CANARY", "scripted-canary")
"""How every token begins, and what the troubles of the API hand out."""


class Current:
    """Stands for whatever the test of the moment uses, so that one S3 client serves them all."""

    def __init__(self) -> None:
        self.to: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.to, name)


@dataclass
class Keys:
    """Our port `Credentials` over sets that a test hands out one after the other."""

    sets: list[CredentialSet]
    renewals: int = 0

    def current(self) -> CredentialSet:
        return self.sets[0]

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:
        assert dead is not None
        self.renewals += 1
        if len(self.sets) > 1 and rejected == self.sets[0]:
            self.sets.pop(0)
        return self.sets[0]


@dataclass
class Line:
    """The store, the credential API before it, and one client, for many tests."""

    store: Store
    endpoint: Endpoint
    credentials: Current = field(default_factory=Current)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.s3, self.impatient = self._client(PATIENT), self._client(TIMEOUT)

    def _client(self, timeout: float) -> S3Store:
        settings = Settings(endpoint_url=self.store.url, connect_timeout=timeout, read_timeout=timeout)
        return S3Store(Clients(settings, self.credentials))

    def close(self) -> None:
        self.s3.close()
        self.impatient.close()

    def long_lived(self, prefix: str) -> CredentialSet:
        return CredentialSet(
            access_key=self.store.access_key,
            secret_key=self.store.secret_key,
            session_token=None,
            expires_at=None,
            bucket=BUCKET,
            prefix=prefix,
        )

    @contextmanager
    def prepared(self) -> Iterator[str]:
        """The store as on its first day, and a prefix that nobody used before."""
        self._as_new()
        yield f"t{next(self.numbers)}/"
        self._as_new()

    def _as_new(self) -> None:
        self.store.habits, self.store.faults = Habits(), None
        self.endpoint.faults = self.endpoint.override = None


class Scene:
    """One device and its inbox; `trouble` scripts what happens on the way to the store."""

    def __init__(self, line: Line, place: Path, prefix: str, **options: Any) -> None:
        self.line, self.store, self.prefix = line, line.store, prefix
        self.clock = options.pop("clock", None) or FakeClock(start=time.time())  # the store has the real time
        self.words, self.writes = Words(), Writes(line.store)
        self.words.listen()
        self.former_secrets = set(session_secrets(line.store))
        self.script = self.store.faults = Script(took_effect=self.writes.saw)
        self.seen_before = len(self.store.log)
        self.root = place / "inbox"
        self.root.mkdir()
        self.state = place / "state" / "state.db"
        self.keys: Any = options.pop("credentials", None) or Keys([line.long_lived(prefix)])
        line.credentials.to = self.keys
        client = line.impatient if options.pop("impatient", False) else line.s3
        retrying = RetryingStore(client, credentials=self.keys, clock=self.clock, stop=threading.Event())
        self.house: House = build_house(
            self.root,
            self.state,
            options.pop("store", retrying),
            clock=self.clock,
            credentials=self.keys,
            key="{prefix}{path}",
            part_size=options.pop("part_size", PART),
            **options,
        )
        self.files: dict[str, bytes] = {}

    def close(self) -> None:
        self.house.world.ledger.close()

    def trouble(self, *rules: Rule) -> Script:
        """From now on."""
        self.script.add(*rules)
        return self.script

    def drop(self, name: str, data: bytes = LARGE) -> None:
        """A new file in the inbox, or another version of it."""
        self.files[name] = data
        (self.root / name).write_bytes(data)

    def put_by_a_stranger(self, name: str, data: bytes) -> None:
        """Somebody else's object comes under the key that this file has."""
        client = self.line.s3._clients.current()
        client.put_object(Bucket=BUCKET, Key=self.prefix + name, Body=data)

    def run(self, until: Callable[[], bool] | None = None) -> None:
        self.house.run(ticks=5000, until=until)

    def rescan(self) -> None:
        """Until every folder was looked through once more."""
        (desk,) = self.house.clerk.folders
        target = desk.scans_done + 1
        desk.scan_soon("a test wants it")
        self.run(until=lambda: desk.scans_done >= target)

    def row(self, name: str) -> Transfer:
        return self.house.row(name)

    def told(self, name: str) -> list[str]:
        """The story of a file."""
        folder = str(self.root).encode()
        return [entry.why for entry in self.house.world.ledger.history(folder, name.encode(), 200)]

    def waited(self) -> float:
        """Seconds since the device was switched on."""
        return self.clock.mono - 1_000.0

    def requests(self, operation: str | None = None) -> list[Record]:
        """What this device asked of the store."""
        seen = self.store.log[self.seen_before :]
        return [each for each in seen if operation in {None, each.operation}]

    def objects(self) -> dict[str, bytes]:
        """What lies below the device's prefix."""
        return {
            key.removeprefix(self.prefix): self.store.read(key)
            for key in self.store.objects()
            if key.startswith(self.prefix)
        }

    def uploads(self) -> list[str]:
        """Open uploads below the device's prefix."""
        return [upload.key for upload in self.store.uploads() if upload.key.startswith(self.prefix)]

    def arrives(self, *, writes: int = 1, proof: ProofKind | None = ProofKind.CHECKSUM) -> None:
        """Run to rest, then hold everything against the promises.

        `writes`: so often each file was written, whatever was heard of it. No upload is left open; one whose Create was
        lost may be, and is counted, where we were told that we may not list uploads.
        """
        self.rescan()
        self.run()
        assert self.objects() == self.files, self.script.told
        assert {path.name: path.read_bytes() for path in self.root.iterdir()} == self.files
        hidden = self.met("ListMultipartUploads", "403 AccessDenied")
        assert len(self.uploads()) <= min(hidden, self.suspected()), self.script.told
        self.is_sound()
        for name in self.files:
            row = self.row(name)
            assert row.state is State.DONE
            assert row.proof is not None
            assert proof in {None, row.proof.kind}, row.proof
            key = self.prefix + name
            assert self.script.writes()[key] == writes, self.script.told
            assert self.writes.done().count((key, sha256(self.files[name]))) == writes, self.script.told

    def is_sound(self) -> None:
        """The ledger holds together, suspects no more than there was, and neither it nor the log holds a secret."""
        assert_sound(self.state)
        suspected, lost = self.suspected(), self.met("CreateMultipartUpload")
        assert suspected <= lost, f"{suspected} orphans are suspected after {lost} troubled Creates"
        issued = set(session_secrets(self.store)) - self.former_secrets
        assert_no_secret([*issued, *CANARIES, self.store.secret_key], self.words.said, self.state)

    def met(self, operation: str, trouble: str = "") -> int:
        """How many such requests suffered (this)."""
        return sum(f" {operation} " in line and trouble in line for line in self.script.told)

    def suspected(self) -> int:
        """How many uploads may have been left open, as the status tells it."""
        return self.house.world.ledger.totals().possible_orphans

    def bytes_received(self) -> int:
        """Of all bodies that arrived whole, whatever came of them."""
        return sum(each.received for each in self.requests() if each.operation in {"PutObject", "UploadPart"})


class KeptScene(Scene):
    """With the real keeper of credentials and the API over HTTP; the script meets its requests too."""

    def __init__(self, line: Line, place: Path, prefix: str, **options: Any) -> None:
        clock = FakeClock(start=time.time())
        token_file = place / "token"
        token_file.write_text(TOKEN)
        token_file.chmod(0o600)
        self.keeper = open_keeper(
            url=line.endpoint.url,
            device=prefix.rstrip("/"),
            token_file=token_file,
            ca_file=None,
            timeout=options.pop("api_timeout", PATIENT),
            renew_before=600,
            clock=clock,
            on_change=self._changed,
            jitter=lambda: 0.5,
        )
        super().__init__(line, place, prefix, clock=clock, credentials=self.keeper, **options)
        line.endpoint.faults = self.script
        self._keep_at = clock.monotonic()

    def _changed(self) -> None:
        self.house.gate.probe_now("credentials")
        self.house.mailbox.wake()

    def keep(self) -> None:
        """What the keeper's thread would do now."""
        if self.clock.monotonic() >= self._keep_at:
            self._keep_at = self.clock.monotonic() + self.keeper.tick()

    def run(self, until: Callable[[], bool] | None = None) -> None:
        finished = until or (lambda: self.house.at_rest() and self.keeper.snapshot().renewals > 0)
        for _ in range(5000):
            self.keep()
            self.house.tick()
            if finished():
                return
        raise AssertionError(f"it does not come to rest: {self.house.gate.closed()}, {self.script.told}")


def issuer_of(store: Store) -> Issuer:
    return Issuer(
        url=store.url,
        access_key=store.access_key,
        secret_key=store.secret_key,
        role_arn=store.role_arn,
        bucket=store.bucket,
        region=store.region,
    )


def raised(call: Any) -> SyncdError:
    """The one of our kinds that the call raises."""
    try:
        call()
    except SyncdError as error:
        return error
    raise AssertionError("nothing was raised")


def noise(size: int, seed: int = 1) -> bytes:
    """Content that looks like nothing else."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
