"""The whole daemon in this process, built from a configuration as an operator writes it: real threads, real HTTP.

For keys whose way leads from the YAML file to a request: what is not passed on anywhere between is seen here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from support.endpoint import Endpoint, Issuer

from syncd.app import App, build
from syncd.config import Surroundings, load
from syncd.demo.store import Store
from syncd.demo.store.faults import Record
from syncd.demo.store.objects import ObjectRecord
from syncd.model import State, Transfer

TOKEN = "a-token-of-the-whole"
PART = 5 << 20


class Servers:
    """The strict store and the credential API, for many daemons: each has a prefix of its own."""

    def __init__(self, place: Path, **options: Any) -> None:
        self.store = Store(place / "store", min_session_seconds=1, **options)
        self.store.start()
        self.token_file = place / "token"
        self.token_file.write_text(TOKEN)
        self.token_file.chmod(0o600)
        issuer = Issuer(
            url=self.store.url,
            access_key=self.store.access_key,
            secret_key=self.store.secret_key,
            role_arn=self.store.role_arn,
            bucket=self.store.bucket,
            region=self.store.region,
        )
        self.endpoint = Endpoint(issuer, token=TOKEN, session_seconds=900)
        self.endpoint.start()

    def close(self) -> None:
        self.endpoint.stop()
        self.store.stop()


class Whole:
    """One daemon. `destination` and the like replace or complete the sections of its configuration."""

    def __init__(self, servers: Servers, place: Path, **sections: dict[str, Any]) -> None:
        self.servers, self.store, self.place = servers, servers.store, place
        self.device = f"d{time.monotonic_ns()}"
        self.inbox = place / "inbox"
        self.inbox.mkdir(parents=True)
        self.seen_before = len(self.store.log)
        self.config = place / "config.yaml"
        self.write(**sections)
        umask = os.umask(0o077)
        self.app: App = build(load(self.config, Surroundings.from_system()))
        os.umask(umask)
        self.app.household.start()

    def write(self, **sections: dict[str, Any]) -> None:
        """The configuration file; a section that is None is left out."""
        api = {"url": self.servers.endpoint.url, "token_file": str(self.servers.token_file)}
        usual: dict[str, Any] = {
            "device": self.device,
            "credentials": {"api": api},
            "destination": {"endpoint_url": self.store.url},
            "upload": {"part_size": "5MiB", "multipart_threshold": "5MiB"},
        }
        folder = {
            "path": str(self.inbox),
            "complete_when": {"quiet": "0s"},
            "watch": "poll",
            "key": "{prefix}{path}",
            **sections.pop("folder", {}),
        }
        document = {
            **usual,
            **sections,
            "destination": usual["destination"] | sections.get("destination", {}),
            "folders": [folder],
            "state": f"{self.place}/state/state.db",
            "console": {"socket": f"{self.place}/s/c.sock", **sections.get("console", {})},
        }
        self.config.write_text(json.dumps(document))  # which is YAML

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.household.stop.set()
        for pool in (self.app.household.files, self.app.household.bodies):
            assert pool.close(10.0)
        self.app.household.close()

    def reload(self) -> bool:
        """What SIGHUP does."""
        return self.app.household.reload(lambda: load(self.config, Surroundings.from_system()))

    # -- files and objects

    def drop(self, name: str, data: bytes = b"12345") -> None:
        """A new file, of which the daemon is told as a watcher would."""
        (self.inbox / name).write_bytes(data)
        self.app.mailbox.path(os.fsencode(self.inbox), name.encode())

    def sends(self, name: str, data: bytes = b"12345") -> ObjectRecord:
        """Drop a file and wait until it is done; its object."""
        self.drop(name, data)
        self.run(lambda: self.done(name))
        return self.object(name)

    def sends_all(self, files: dict[str, bytes]) -> list[ObjectRecord]:
        """The same for several, at once."""
        for name, data in files.items():
            self.drop(name, data)
        self.run(lambda: all(map(self.done, files)))
        return [self.object(name) for name in files]

    def run(self, until: Callable[[], bool], seconds: float = 60.0) -> None:
        """The clerk's rounds until the condition holds."""
        end = time.monotonic() + seconds
        while not until():
            pause = self.app.clerk.tick()
            if time.monotonic() > end:
                rows = [(row.path, row.state, row.hint) for row in self.app.ledger.live(10)]
                raise AssertionError(f"it does not come about: {rows}, gate {self.app.gate.closed()}")
            self.app.clock.wait(self.app.mailbox.knock, min(pause, 0.1))

    def done(self, name: str) -> bool:
        row = self.app.ledger.at(os.fsencode(self.inbox), name.encode())
        return row is not None and row.state is State.DONE

    def row(self, name: str) -> Transfer:
        row = self.app.ledger.at(os.fsencode(self.inbox), name.encode())
        assert row is not None
        return row

    def proof(self, name: str) -> str | None:
        """By what the object was proven."""
        proof = self.row(name).proof
        return None if proof is None else proof.kind

    def told(self, name: str) -> list[str]:
        """The story of a file."""
        return [line.why for line in self.app.ledger.history(os.fsencode(self.inbox), name.encode(), 200)]

    def status(self) -> dict[str, Any]:
        """The status document."""
        return self.app.household.doors.console.view.status()

    def closed(self) -> str | None:
        """Why nothing is sent."""
        closed = self.app.gate.closed()
        return None if closed is None else closed.code

    def hint(self) -> str:
        """What an operator is told about that."""
        closed = self.app.gate.closed()
        return "" if closed is None else closed.hint or ""

    def object(self, name: str) -> ObjectRecord:
        return self.store.record(f"{self.device}/{name}")

    def requests(self) -> list[Record]:
        """What was asked of S3 since this daemon began."""
        return [each for each in self.store.log[self.seen_before :] if each.operation != "AssumeRole"]


LARGE = bytes(PART) + b"and a second part"
