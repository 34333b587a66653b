"""An edge machine: inbox, token, configuration, and the daemon as a child process."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from support.child import SYNCD, Child, until


class Edge:
    """One device of that name; `destination` and `upload` complete those sections of its configuration."""

    def __init__(
        self,
        place: Path,
        *,
        api_url: str,
        token: str,
        destination: dict[str, Any],
        name: str = "cam",
        upload: dict[str, Any] | None = None,
    ) -> None:
        place.mkdir()
        self.name, self.place = name, place
        self.inbox = place / "inbox"
        self.inbox.mkdir()
        self.token_file = place / "token"
        self.token_file.touch(0o600)
        self.token_file.write_text(token)
        self.config = place / "config.yaml"
        document = {
            "device": name,
            "credentials": {"api": {"url": api_url, "token_file": str(self.token_file)}},
            "destination": destination,
            "folders": [{"path": str(self.inbox), "complete_when": {"quiet": "0s"}, "key": "{prefix}{path}"}],
            "upload": {"part_size": "5MiB", "multipart_threshold": "5MiB", **(upload or {})},
            "state": f"{place}/state/state.db",
            "console": {"socket": f"{place}/s/c.sock"},
            "log": {"format": "json"},
        }
        self.config.write_text(json.dumps(document))  # which is YAML
        self.daemon = Child("run", "-c", str(self.config))
        self._printed: list[str] = []

    def start(self) -> None:
        self.daemon.start('"event": "started"')

    def stop(self) -> None:
        """End it in good order, and look at what it said: never a traceback, never the token."""
        assert self.daemon.stop() == 0, self.daemon.said[-5:]
        told = "".join(self.daemon.said + self._printed)
        assert "Traceback" not in told
        assert self.token_file.read_text() not in told

    def drop(self, name: str, data: bytes) -> str:
        """A file appears whole, by rename; its key."""
        path = self.inbox / name
        partial = path.with_name(f".{name}.partial")
        partial.write_bytes(data)
        partial.rename(path)
        return f"{self.name}/{name}"

    def ask(self, verb: str, *more: str) -> dict[str, Any]:
        """A verb's answer in JSON."""
        command = [*SYNCD, verb, "-c", str(self.config), *more, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self._printed += [done.stdout, done.stderr]
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def explain(self, name: str) -> dict[str, Any]:
        return self.ask("explain", str(self.inbox / name))

    def wait_until_done(self, name: str, seconds: float = 60.0) -> dict[str, Any]:
        """Until the file is sent and proved; what `explain` says of it."""
        until(
            lambda: self.explain(name)["state"] == "done",
            seconds,
            f"the upload of {name}",
            lambda: f"{self.explain(name)}; {self.daemon.events[-5:]}",
        )
        return self.explain(name)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
