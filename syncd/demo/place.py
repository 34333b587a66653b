"""Where a demo lives: one directory with the store, the inbox, the token, the configuration and the ledger.

A second start in the same directory goes on with what is there; token, ports and configuration are made anew.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syncd.errors import Fatal

DEVICE: Final = "demo-camera"
QUIET_S: Final = 2
_LONGEST_SOCKET: Final = 107  # man 7 unix: sun_path has 108 bytes, the last of them NUL
_ROOM: Final = 2.1  # the recording, the store's copy, and a little

_CONFIGURATION = """\
# The configuration of the demo, written anew at each start of it. config.example.yaml has every key.
# Try it: change something, and ask `syncd check -c` what it thinks of this file.

device: {device}                # our name; the credential API lets us write below it

credentials:
  api:
    url: {api}
    token_file: {token}

destination:                       # bucket, prefix and region come with the credentials
  endpoint_url: {store}
  addressing_style: path

folders:
  - path: {inbox}
    complete_when:
      quiet: {quiet}s                    # so short because nobody wants to wait in a demo

upload:
  part_size: 5MiB
  multipart_threshold: 5MiB

state: {state}

console:
  socket: {socket}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The demo's directory and what lies in it. `ours`: made for this run, nobody named it."""

    directory: Path
    ours: bool

    @property
    def inbox(self) -> Path:
        """The watched folder."""
        return self.directory / "inbox"

    @property
    def store(self) -> Path:
        """The local S3's disk."""
        return self.directory / "store"

    @property
    def token(self) -> Path:
        """What the credential API knows us by."""
        return self.directory / "token"

    @property
    def registry(self) -> Path:
        """The devices that the credential API knows: us."""
        return self.directory / "devices.yaml"

    @property
    def configuration(self) -> Path:
        """What the daemon reads."""
        return self.directory / "config.yaml"

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.directory / "syncd.log"

    def furnish(self) -> None:
        """Make what is missing. Raises Fatal where that is not possible."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.inbox.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unusable(self.directory, error) from error

    def need_room_for(self, size: int) -> None:
        """Raise Fatal unless a recording of this size and its copy fit."""
        free = shutil.disk_usage(self.directory).free
        if free < size * _ROOM:
            text = (
                f"{self.directory} has {free // 10**6} MB free, the demo needs {int(size * _ROOM) // 10**6}"
            )
            raise Fatal(text, hint="name a directory on another disk: syncd demo --dir DIR")

    def write_token(self, token: str) -> None:
        """For the daemon to read, and for nobody else."""
        self.token.unlink(missing_ok=True)
        descriptor = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token)

    def write_configuration(self, *, api: str, store: str) -> None:
        """A configuration as an operator might write it."""
        values = {
            "api": api,
            "store": store,
            "token": str(self.token),
            "inbox": str(self.inbox),
            "state": str(self.directory / "state" / "state.db"),
            "socket": str(self._socket()),
        }
        quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
        text = _CONFIGURATION.format(device=DEVICE, quiet=QUIET_S, **quoted)
        try:
            self.configuration.write_text(text, encoding="utf-8")
        except UnicodeEncodeError:
            raise Fatal(
                "the directory's name is not UTF-8, and a configuration must be", hint="choose another --dir"
            ) from None

    def _socket(self) -> Path:
        beside = self.directory / "control.sock"
        if len(os.fsencode(beside)) <= _LONGEST_SOCKET:
            return beside
        return Path(tempfile.mkdtemp(prefix="syncd-demo-")) / "control.sock"

    def remove(self) -> None:
        """Take everything away again."""
        shutil.rmtree(self.directory, ignore_errors=True)


def find_place(named: Path | None, size: int) -> Place:
    """The directory that was named, else a fresh one where there is room. Raises Fatal."""
    if named is not None:
        place = Place(named.absolute(), ours=False)
        place.furnish()
        place.need_room_for(size)
        return Place(place.directory.resolve(), ours=False)
    place = Place(_fresh_directory(), ours=True)
    place.furnish()
    try:
        place.need_room_for(size)
    except Fatal:
        place.remove()
        raise
    return place


def _fresh_directory() -> Path:
    """In the user's cache, which is on a disk; /tmp may be memory."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    above = Path(cache if cache.startswith("/") else os.path.expanduser("~/.cache"))  # noqa: PTH111 - expanduser() of Path raises where there is no home
    try:
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="syncd-demo-", dir=above)).resolve()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="syncd-demo-")).resolve()


def _unusable(directory: Path, error: OSError) -> Fatal:
    return Fatal(
        f"{directory} cannot be used: {error.strerror}",
        hint="name a directory of yours: syncd demo --dir DIR",
    )
