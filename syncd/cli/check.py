"""`syncd check`: the configuration, judged by itself and against this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from syncd.adapters.mounts import lies_on_another_machine
from syncd.cli.options import config_option
from syncd.config import Config, Surroundings, load
from syncd.config.check import Finding, warnings
from syncd.config.model import Folder
from syncd.console.words import plain
from syncd.errors import ConfigError


@click.command("check")
@config_option
def command(config_file: Path) -> None:
    """Say what is wrong with the configuration, and in which line.

    Reads the file, then looks whether this machine has what it names. Nothing is changed, nobody is called. Ends with
    0 when the daemon can work (warnings may be worth a look), with 78 when it cannot.
    """
    surroundings = Surroundings.from_system()
    config = load(config_file, surroundings)
    findings = [*warnings(config, surroundings), *_ledger_on_network(config)]
    errors = [_line(config_file, finding) for finding in findings if finding.severity == "error"]
    for finding in findings:
        if finding.severity == "warning":
            click.echo(plain(_line(config_file, finding)), err=True)
    if errors:
        raise ConfigError(errors)
    for line in _summary(config_file, config):
        click.echo(plain(line))


def _ledger_on_network(config: Config) -> list[Finding]:
    """SQLite's WAL needs memory that all its readers share: https://www.sqlite.org/wal.html."""
    if not lies_on_another_machine(config.state.parent):
        return []
    text = f"{config.state.parent} lies on a network file system, where a ledger can be damaged"
    hint = "put it on a disk of this machine"
    return [Finding(severity="warning", where="state", text=text, hint=hint)]


def _line(file: Path, finding: Finding) -> str:
    kind = "warning: " if finding.severity == "warning" else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{file}: {kind}{finding.where}: {finding.text}{hint}"


def _summary(file: Path, config: Config) -> Iterator[str]:
    destination = config.destination
    yield f"{file}: ok"
    yield f"  device       {config.device}"
    yield f"  credentials  {_source(config)}"
    yield (
        f"  destination  bucket {destination.bucket or '(as the API answers)'}"
        f" at {destination.endpoint_url or 'AWS'}, region {destination.region or '(as the API answers)'}"
    )
    yield from map(_folder, config.folders)
    yield f"  ledger       {config.state}"
    yield f"  socket       {config.socket}"


def _source(config: Config) -> str:
    api, chain = config.credentials.api, config.credentials.chain
    if api is not None:
        return f"{api.url}, token in {api.token_file}"
    profile = None if chain is None else chain.profile
    return f"boto3's own chain, profile {profile or '(as the environment says)'}"


def _folder(folder: Folder) -> str:
    return f"  folder       {folder.name}: {folder.path}, keys {folder.key}"
