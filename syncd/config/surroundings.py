"""What the configuration takes from the machine where it is silent: environment, host name, home, symlinks.

All of it is passed in, so that a configuration reads the same in a test as under systemd. Nothing is looked up at
import.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEVICE_LENGTH = 58


class _RealPath:
    """Where a path leads. A file server that does not answer is waited for once, not longer; then paths stay as written."""

    PATIENCE_S = 5.0

    def __init__(self) -> None:
        self._answers = True

    def __call__(self, path: str) -> str:
        if not self._answers:
            return path
        found: list[str] = []
        asking = threading.Thread(
            target=lambda: found.append(os.path.realpath(path)), name="real-path", daemon=True
        )
        asking.start()
        asking.join(self.PATIENCE_S)
        self._answers = bool(found)
        return found[0] if found else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The machine as the configuration sees it. `home`: None where the user has none."""

    environ: Mapping[str, str]
    host_name: str
    home: Path | None
    real_path: Callable[[str], str] = field(default_factory=_RealPath)

    @classmethod
    def from_system(cls) -> Surroundings:
        """This process's own."""
        home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is no home
        return cls(
            environ=dict(os.environ),
            host_name=socket.gethostname(),
            home=Path(home) if os.path.isabs(home) else None,  # noqa: PTH117 - a str, not yet a Path
        )

    def directory(self, variable: str) -> Path | None:
        """The first entry of a variable like $STATE_DIRECTORY, in which systemd separates several by colons."""
        first = self.environ.get(variable, "").partition(":")[0]
        return Path(first) if first.startswith("/") else None

    def device(self) -> str:
        """The host name, made fit for a key. Raises ValueError where nothing of it is."""
        fit = re.sub(r"[^A-Za-z0-9._-]", "-", self.host_name)
        fit = re.sub(r"^[^A-Za-z0-9]+", "", fit)[:DEVICE_LENGTH]
        if not fit:
            raise ValueError("is missing, and the host name cannot stand for it: give the device a name")
        return fit

    def token_file(self) -> Path:
        """Where systemd's LoadCredential= puts the token. Raises ValueError outside such a unit."""
        directory = self.directory("CREDENTIALS_DIRECTORY")
        if directory is None:
            raise ValueError(
                "is missing, expected the absolute path of the file that holds the API token"
                " (its default, $CREDENTIALS_DIRECTORY/token, needs LoadCredential= in the systemd unit)"
            )
        return directory / "token"

    def ledger(self) -> Path:
        """Where the ledger lies by default. Raises ValueError where there is neither state directory nor home."""
        directory = self.directory("STATE_DIRECTORY")
        if directory is not None:
            return directory / "state.db"
        state_home = self.environ.get("XDG_STATE_HOME", "")
        # The XDG base directory specification: relative paths in its variables are to be ignored.
        if state_home.startswith("/"):
            return Path(state_home) / "syncd" / "state.db"
        if self.home is None:
            raise ValueError("is missing, and there is no home directory to put it in: give an absolute path")
        return self.home / ".local" / "state" / "syncd" / "state.db"

    def control_socket(self, ledger: Path) -> Path:
        """Where the control socket lies by default."""
        return (self.directory("RUNTIME_DIRECTORY") or ledger.parent) / "control.sock"


def default_path(environ: Mapping[str, str]) -> Path:
    """The configuration file where the command line names none."""
    return Path(environ.get("SYNCD_CONFIG") or "/etc/syncd/config.yaml")
