"""`syncd credential-api serve` as a process of its own, in front of the strict store's STS."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from syncd.credential_api.devices import Device, digest_of
from syncd.credential_api.enrol import add_device
from syncd.demo.store import Store


class Serving:
    """A store, a registry with devices in it, and the API between them."""

    def __init__(self, place: Path, *options: str, scheme: str = "http") -> None:
        self.place = place
        self.store = Store(place / "store", min_session_seconds=1)
        self.registry = place / "devices.yaml"
        self.tokens: dict[str, str] = {}
        self._options = options
        self._scheme = scheme
        self._child: subprocess.Popen[str] | None = None
        self._log = place / "serve.log"

    def __enter__(self) -> Self:
        self.store.start()
        self.add("cam-07")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.store.stop()

    def add(self, name: str, **more: Any) -> str:
        """Let a device in; its token, which is in a file of its name too."""
        token = self.tokens[name] = f"tok-CANARY-of-{name}"
        device = Device(**{"name": name, "bucket": self.store.bucket, "prefix": f"{name}/", **more})
        add_device(self.registry, device, digest_of(token))
        file = self.place / f"token-{name}"
        file.write_text(token)
        file.chmod(0o600)
        return token

    def token_file(self, name: str = "cam-07") -> Path:
        return self.place / f"token-{name}"

    def command(self, *options: str) -> list[str]:
        serve = [sys.executable, "-m", "syncd", "credential-api", "serve", "--registry", str(self.registry)]
        role = ["--role-arn", self.store.role_arn, "--region", self.store.region]
        return [*serve, *role, "--sts-endpoint-url", self.store.url, "--listen", "127.0.0.1:0", *options]

    @property
    def environ(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": self.store.access_key, "AWS_SECRET_ACCESS_KEY": self.store.secret_key}
        return {**os.environ, **keys}

    def start(self) -> None:
        """Until it says where it listens."""
        with self._log.open("a") as log:
            self._child = subprocess.Popen(
                self.command(*self._options), env=self.environ, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._child.stdout is not None
        self.said = self._child.stdout.readline()
        assert self.said.startswith(f"syncd credential-api listens on {self._scheme}://127.0.0.1:"), self.log
        self.url = self.said.split()[-1]
        self.port = int(self.url.split(":")[2].partition("/")[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit code; 0 where none runs."""
        child, self._child = self._child, None
        if child is None:
            return 0
        child.send_signal(number)
        try:
            return child.wait(20)
        finally:
            child.kill()
            assert child.stdout is not None
            child.stdout.close()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines()]

    def raw(self, request: bytes, timeout: float = 20.0) -> tuple[int, dict[str, str], bytes]:
        """Bytes as they are; status, headers (names in lower case) and body of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as line:
            line.sendall(request)
            return read_answer(line, request)

    def secrets(self) -> list[str]:
        """Whatever must not be told: keys, tokens, and what is kept of them."""
        kept = [each for token in self.tokens.values() for each in (token, digest_of(token))]
        principals = self.store._keyring._principals.values()
        sessions = [each.session for each in principals if each.session is not None]
        given = [secret for session in sessions for secret in (session.secret_key, session.token)]
        return [*kept, self.store.secret_key, *given]


def read_answer(line: socket.socket, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What comes back on the line for this request."""
    method = request.partition(b" ")[0].decode("latin-1")
    with http.client.HTTPResponse(line, method=method) as answer:
        answer.begin()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
