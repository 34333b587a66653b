"""The whole of it with real processes: the store and the credential API in the test's process, syncd as a child.

The child can be killed with -9 and started again; what it logs is kept as events.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from support.endpoint import Endpoint, Issuer
from support.story import assert_one_story
from support.visitor import free_port

from syncd.demo.store import Store
from syncd.demo.store.faults import Fault, Record

BLOCK = 1 << 20
WATCH = os.environ.get("SYNCD_TEST_WATCH", "auto")
"""`poll` runs everything without inotify: hints only save time, the scan is the truth."""
PAGE = os.environ.get("SYNCD_TEST_PAGE") == "1"
"""Every daemon has the page on, and tells one story everywhere before it is stopped: see `support.story`."""
TOKEN = "a-token-of-the-rig"


class Pace:
    """Makes requests take a while, so that there is a middle to be killed in; and tells of every write that was done."""

    def __init__(self, seconds: float = 0.0, wrote: Callable[[str], None] = lambda key: None) -> None:
        self.seconds = seconds
        self.rate: float | None = None  # bytes of a body per second
        self.unknown_s = 0.0  # so long an upload is open before the daemon is told
        self.down = False
        self._wrote = wrote

    def before(self, record: Record) -> Fault | None:
        if self.down and record.operation != "AssumeRole":
            return Fault(drop=True)
        slow = (self.seconds or self.rate) and record.operation in {"UploadPart", "PutObject"}
        return Fault(delay=self.seconds, pace=self.rate) if slow else None

    def after(self, record: Record) -> Fault | None:
        if record.operation in {"PutObject", "CompleteMultipartUpload"} and record.status == 200:
            self._wrote(record.key)
        late = self.unknown_s and record.operation == "CreateMultipartUpload"
        return Fault(delay=self.unknown_s) if late else None


class Rig:
    """One device: an inbox, a configuration, a state; and what it talks to."""

    def __init__(
        self,
        place: Path,
        *,
        session_seconds: int = 900,
        min_part_size: int = 5 << 20,
        clock: Callable[[], float] = time.time,
        role_may: tuple[str, ...] = (),
        **config: Any,
    ) -> None:
        """`clock`: that of the store and of the API; the device has this machine's."""
        self.place = place
        self.inbox = place / "inbox"
        self.inbox.mkdir(parents=True)
        self.store = Store(
            place / "store",
            min_part_size=min_part_size,
            min_session_seconds=1,
            clock=clock,
            role_may=role_may,
        )
        self.written: list[
            tuple[str, str]
        ] = []  # (key, SHA-256) of the object after every write that succeeded
        self.pace = Pace(wrote=self._remember_write)
        self.store.faults = self.pace
        self.store.start()
        issuer = Issuer(
            url=self.store.url,
            access_key=self.store.access_key,
            secret_key=self.store.secret_key,
            role_arn=self.store.role_arn,
            bucket=self.store.bucket,
            region=self.store.region,
        )
        self.endpoint = Endpoint(
            issuer, token=TOKEN, device="cam", session_seconds=session_seconds, clock=clock
        )
        self.endpoint.start()
        token_file = place / "token"
        token_file.write_text(TOKEN)
        token_file.chmod(0o600)
        self.config = place / "config.yaml"
        self.write_config(**{"listen": free_port() if PAGE else None} | config)
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []  # every line of every life, and what other commands printed
        self.around: list[
            str
        ] = []  # goes before the daemon's command line: strace, unshare, a shell with limits
        self.child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def _remember_write(self, key: str) -> None:
        self.written.append((key, hashlib.sha256(self.store.read(key)).hexdigest()))

    def write_config(
        self,
        *,
        quiet: str = "0s",
        part_size: str = "5MiB",
        rescan: str = "2s",
        watch: str = WATCH,
        listen: int | None = None,
        extra: str = "",
    ) -> None:
        page = "" if listen is None else f', listen: "127.0.0.1:{listen}"'
        self.config.write_text(f"""
device: cam
credentials: {{api: {{url: "{self.endpoint.url}", token_file: "{self.place}/token"}}}}
destination: {{endpoint_url: "{self.store.url}", addressing_style: path}}
folders:
  - path: {self.inbox}
    complete_when: {{quiet: {quiet}}}
    rescan: {rescan}
    watch: {watch}
upload: {{part_size: {part_size}, multipart_threshold: {part_size}}}
state: {self.place}/state/state.db
console: {{socket: {self.place}/s/control.sock{page}}}
log: {{level: info, format: json}}
{extra}
""")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.endpoint.stop()
        self.store.stop()

    # -- the daemon

    def command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        return [sys.executable, "-m", "syncd", verb, "-c", str(self.config), *rest]

    def start(self, *options: str) -> None:
        """Start it and wait until it holds its signals and its ledger."""
        self.launch(*options)
        self.wait(lambda: self.has_told("started"), what="the start")

    def launch(self, *options: str) -> None:
        """Start it and wait for nothing. It gets a process group of its own, so that what is around it ends with it."""
        self.events.clear()
        self.child = subprocess.Popen(
            [*self.around, *self.command("run", *options)],
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, args=(self.child,), daemon=True)
        self._reader.start()

    def has_told(self, event: str) -> bool:
        return any(each.get("event") == event for each in self.events)

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            self.said.append(line)
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.events.append({"event": "no json", "line": line})

    def kill(self) -> int:
        """SIGKILL to all of its group; the exit code."""
        if self.child is not None and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        return self.ended()

    def stop(self, patience: float = 30.0) -> int:
        """SIGTERM; the exit code."""
        if PAGE:
            self.assert_one_story()
        self.signal(signal.SIGTERM)
        return self.ended(patience)

    def assert_one_story(self) -> None:
        """Status, page, metrics and log agree, where the page is on."""
        wanted = re.search(r'listen: "127\.0\.0\.1:(\d+)"', self.config.read_text())
        told = self.has_told("page_listens") or self.has_told("page_away")
        runs = self.child is not None and self.child.poll() is None and self.has_told("started")
        if wanted is None or not runs:
            return
        assert told, "the page neither listens nor says why not"
        if f":{wanted[1]}/" in "".join(
            each["url"] for each in self.events if each["event"] == "page_listens"
        ):
            assert_one_story(self.status, int(wanted[1]), self.events)

    def signal(self, number: int) -> None:
        """To the daemon itself, whatever is around it; harmless when it has ended."""
        if self.child is not None and self.child.poll() is None:
            os.kill(self.pid(), number)

    def pid(self) -> int:
        """Of the daemon itself."""
        assert self.child is not None
        own = [event["pid"] for event in self.events if event.get("event") == "started"]
        below = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return own[0] if own else int(below[0]) if self.around and below else self.child.pid

    def ended(self, patience: float = 30.0) -> int:
        """Wait for its end; the exit code, 0 where none runs."""
        child = self.child
        if child is None:
            return 0
        code = child.wait(patience)
        self.child = None
        if self._reader is not None:
            self._reader.join(5.0)
        if child.stdout is not None:
            child.stdout.close()
        return code

    def run(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=timeout, check=False
        )
        self.said += [done.stdout, done.stderr]
        return done

    def status(self) -> dict[str, Any]:
        """The status document."""
        document: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return document

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0, *, what: str = "it") -> None:
        """Until the condition holds; fails with the daemon's last words."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(
                    f"{what} did not happen within {seconds} s; last events: {self.events[-8:]}"
                )
            time.sleep(0.02)  # polling another process: there is no event to wait for

    # -- files and objects

    def drop(self, name: str, data: bytes) -> Path:
        """A file appears whole, by rename."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(data)
        partial.rename(path)
        return path

    def arrived(self) -> int:
        """How many objects there are, without reading them."""
        return len(self.store._buckets[self.store.bucket].objects)

    def assert_everything_arrived_once(self, *, orphans: int = 0) -> None:
        """The oracle over the whole inbox. `orphans`: so many uploads may have been left open by kills."""
        files = [path for path in self.inbox.rglob("*") if path.is_file() and not path.name.startswith(".")]
        self.assert_objects_are({self.key_of(path): sha256_of(path) for path in files}, orphans=orphans)

    def assert_objects_are(self, expected: dict[str, str], *, orphans: int = 0) -> None:
        """These and no others, by SHA-256, each version written once; and what the oracle says of everything else."""
        objects = {key: kept.sha256 for key, kept in self.store.objects().items()}
        assert objects == expected
        assert len(self.written) == len(set(self.written)), "a version was written more than once"
        assert len(self.successes("PutObject", "CompleteMultipartUpload")) <= len(self.written)
        left = self.store.uploads()
        assert len(left) <= orphans, "an upload was left open"
        assert not [each.key for each in left if each.parts], "an upload was left open that had got parts"
        self.assert_ledger_sound()
        self.assert_no_secret_was_told()

    def key_of(self, path: Path) -> str:
        return f"cam/inbox/{path.relative_to(self.inbox)}"

    def assert_ledger_sound(self) -> None:
        """Only when no daemon runs."""
        with sqlite3.connect(self.place / "state" / "state.db") as look:
            assert look.execute("PRAGMA quick_check").fetchone() == ("ok",)
        look.close()

    def assert_no_secret_was_told(self) -> None:
        """Neither the token nor what any session was signed with is in the log, in what was printed, or in the ledger."""
        sessions = [
            principal.session
            for principal in self.store._keyring._principals.values()
            if principal.session is not None
        ]
        secrets = [TOKEN, *(each.secret_key for each in sessions), *(each.token for each in sessions)]
        told = "".join(self.said)
        kept = b"".join(path.read_bytes() for path in (self.place / "state").glob("*"))
        for secret in secrets:
            assert secret not in told, "a secret was told"
            assert secret.encode() not in kept, "a secret is in the ledger"

    def successes(self, *operations: str) -> list[Record]:
        return [
            record for record in self.store.log if record.operation in operations and record.status == 200
        ]


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that no compression and no repetition explains, the same for the same seed."""
    source = random.Random(seed)
    return b"".join(source.randbytes(min(BLOCK, size - at)) for at in range(0, size, BLOCK))
