"""`syncd doctor`: everything that the daemon leans on, looked at once, each check told as it is made.

network    the way to a server: name, connection, certificate, proxy
servers    the credential API and the store, asked as the daemon asks them
premises   this machine: who asks, limits, ledger, folders

Beside a running daemon nothing of it is disturbed: no lock, no ledger opened, no capture touched; one object is written.
No request waits longer than some seconds, whatever hangs. What a failed check would have to give is skipped, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from syncd.checkup.premises import folders, machine_itself, who
from syncd.checkup.servers import Servers
from syncd.config.check import Finding as ConfigFinding
from syncd.config.check import warnings
from syncd.config.model import Config
from syncd.config.surroundings import Surroundings
from syncd.decide.findings import Check, Finding, Verdict, well
from syncd.decide.troubles import here

PATIENCE: Final = timedelta(seconds=10)
"""No server is waited for longer, whatever the configuration allows."""


def examine(config: Config, surroundings: Surroundings) -> Iterator[Finding]:
    """Every check's finding, as it is made. Never raises SyncdError but ConfigError."""
    wrong = warnings(config, surroundings, on_disk=False)  # what lies there is looked at below, and better
    yield from map(_told, wrong)
    if not wrong:
        yield well(Check.CONFIGURATION, f"sound, of device {config.device}")
    yield who(config)
    broken = frozenset(each.where for each in wrong if each.severity == "error")
    only_size = config.destination.checksum == "none"
    for finding in Servers(_impatient(config), broken).checked():
        only_size = only_size or (finding.check is Check.PROOF and finding.verdict is Verdict.WARN)
        yield finding
    yield from machine_itself(config)
    yield from folders(config, only_size=only_size)


def _told(finding: ConfigFinding) -> Finding:
    kind = here.WRONG_KEY if finding.severity == "error" else here.DOUBTFUL_KEY
    return kind.found(key=finding.where, text=finding.text, hint=finding.hint or "")


def _impatient(config: Config) -> Config:
    """The same, with nobody waiting long."""
    upload, credentials = config.upload, config.credentials
    short = {
        "connect_timeout": min(upload.connect_timeout, PATIENCE),
        "read_timeout": min(upload.read_timeout, PATIENCE),
    }
    if credentials.api is not None:
        api = credentials.api.model_copy(update={"timeout": min(credentials.api.timeout, PATIENCE)})
        credentials = credentials.model_copy(update={"api": api})
    return config.model_copy(update={"upload": upload.model_copy(update=short), "credentials": credentials})
