"""A machine with syncd's package installed, inside a systemd that was booted for the tests."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from support.whole import TOKEN, Servers

CONFIG = Path("/etc/syncd/config.yaml")
TOKEN_FILE = Path("/etc/syncd/token")
CAPTURE = Path("/srv/capture")
STATE = Path("/var/lib/syncd")
DROP_INS = Path("/etc/systemd/system/syncd.service.d")


class Machine:
    """A Debian with syncd installed, and what it talks to."""

    def __init__(self, servers: Servers) -> None:
        self.servers, self.store = servers, servers.store
        self.device = "cam"

    def configure(self, **changes: Any) -> None:
        """A configuration like the one that was installed, with these sections changed."""
        document = {
            "device": self.device,
            "credentials": {"api": {"url": self.servers.endpoint.url, "token_file": str(TOKEN_FILE)}},
            "destination": {"endpoint_url": self.store.url},
            "folders": [
                {"path": str(CAPTURE), "complete_when": {"quiet": "1s"}, **changes.pop("folder", {})}
            ],
            "upload": {"part_size": "5MiB", "multipart_threshold": "5MiB"},
            "state": str(STATE / "state.db"),
            "console": {"socket": "/run/syncd/control.sock"},
            **changes,
        }
        CONFIG.write_text(json.dumps(document))  # which is YAML
        TOKEN_FILE.write_text(TOKEN)
        run("systemd-tmpfiles", "--create", "syncd.conf")

    def drop_in(self, name: str, *lines: str) -> None:
        DROP_INS.mkdir(exist_ok=True)
        (DROP_INS / f"{name}.conf").write_text("[Service]\n" + "".join(f"{line}\n" for line in lines))
        run("systemctl", "daemon-reload")

    def has(self, path: str) -> bool:
        return f"{self.device}/{path}" in self.store.objects()

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(run("syncd", "status", "--json"))
        return document


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, (command, done.returncode, done.stdout, done.stderr, journal())
    return done.stdout


def journal() -> str:
    return subprocess.run(
        ["journalctl", "-u", "syncd", "-n", "40", "--no-pager", "-o", "cat"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def shown(name: str) -> str:
    """A property of the unit."""
    return run("systemctl", "show", "syncd", "--property", name, "--value").strip()


@contextmanager
def as_user(user: str, script: str) -> Iterator[IO[bytes]]:
    """A shell of another user; what is written goes to its stdin. It has ended when the context ends."""
    command = ["runuser", "-u", user, "--", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        yield child.stdin


def wait_until(condition: Callable[[], bool], seconds: float = 30.0, *, what: str = "it") -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s; {journal()}"
        time.sleep(0.05)  # other processes are watched
