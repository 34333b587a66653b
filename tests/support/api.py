"""`syncd credential-api serve` as a child process, its registry made by `add-device`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from support.child import SYNCD, Child
from support.estate import Estate
from support.rgw import REGION, free_ports

LISTENS = "credential-api listens on "


class Api:
    """The credential API of one estate. `session`: how long what it hands out lives, such as `6s`."""

    def __init__(self, estate: Estate, place: Path, *, session: str = "1h") -> None:
        self._bucket = estate.bucket
        self._secrets = [estate.api.secret]
        self._registry = place / "devices.yaml"
        [port] = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/v1/credentials"
        options = {
            "--registry": str(self._registry),
            "--role-arn": estate.role.arn,
            "--region": REGION,
            "--session": session,
            "--sts-endpoint-url": estate.gateway.url,
            "--listen": f"127.0.0.1:{port}",
        }
        keys = {
            "AWS_ACCESS_KEY_ID": estate.api.access,
            "AWS_SECRET_ACCESS_KEY": estate.api.secret,
            "AWS_SESSION_TOKEN": estate.api.token or "",
        }
        words = [word for option in options.items() for word in option]
        self.server = Child("credential-api", "serve", *words, env=keys)

    def start(self) -> None:
        """Answer; devices may be added before and after."""
        self.server.start(LISTENS)

    def stop(self) -> None:
        """End it in good order; it never told a traceback, a token or a key."""
        assert self.server.stop() == 0, self.server.said[-5:]
        told = "".join(self.server.said)
        assert "Traceback" not in told
        assert not [secret for secret in self._secrets if secret in told]

    def add_device(self, name: str) -> str:
        """Its token, shown once."""
        words = ["add-device", name, "--registry", str(self._registry), "--bucket", self._bucket]
        done = subprocess.run(
            [*SYNCD, "credential-api", *words], capture_output=True, text=True, timeout=30, check=True
        )
        self._secrets.append(done.stdout.strip())
        return self._secrets[-1]

    def write_entry(self, name: str, **changes: Any) -> None:
        """What an operator does to a device's entry with an editor."""
        document = yaml.safe_load(self._registry.read_text())
        document["devices"][name] |= changes
        partial = self._registry.with_suffix(".new")
        partial.write_text(yaml.safe_dump(document))
        partial.chmod(0o600)
        partial.rename(self._registry)
