"""`syncd creds`: ask the credential API itself, and show what it answers; secrets only to those who ask for them."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from syncd.cli.options import config_option
from syncd.errors import SyncdError
from syncd.model import CredentialSet

HIDDEN: Final = "[hidden]"


@click.command("creds")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "env", "process"]),
    default="json",
    show_default=True,
    help="json: as AssumeRole answers. env: lines for a shell. process: for credential_process of the AWS tools.",
)
@click.option("--show-secrets", is_flag=True, help="Do not hide the secret key and the session token.")
def command(config_file: Path, form: str, show_secrets: bool) -> None:
    """Ask the credential API and show what it answers.

    The daemon is not needed and not disturbed. Secrets are hidden unless you ask for them; the form process always has
    them, and goes to a program, never to a terminal.
    """
    if form == "process" and sys.stdout.isatty():
        raise SyncdError(
            "the form process holds secrets in the clear and is for a program to read, not for a terminal",
            hint="put it into credential_process of an AWS profile, or use --format json",
        )
    found = _ask(config_file)
    match form:
        case "process":
            click.echo(json.dumps({"Version": 1} | _keys(found, show=True)))
        case "env":
            click.echo("\n".join(_environment(found, show=show_secrets)))
        case _:
            click.echo(json.dumps(_document(found, show=show_secrets), indent=2))


def _ask(config_file: Path) -> CredentialSet:
    from syncd import app  # noqa: PLC0415 - heavy, and not for --help
    from syncd.config import load  # noqa: PLC0415
    from syncd.telemetry import logs  # noqa: PLC0415

    config = load(config_file)
    logs.configure("warning", config.log.format)
    return app.fetch_credentials(config)


def _document(found: CredentialSet, *, show: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"Credentials": _keys(found, show=show)}
    for section, answered in (
        ("AssumedRoleUser", {"AssumedRoleId": found.role_id, "Arn": found.role_arn}),
        ("Destination", {"Bucket": found.bucket, "Prefix": found.prefix, "Region": found.region}),
    ):
        told = {name: value for name, value in answered.items() if value is not None}
        document |= {section: told} if told else {}
    return document


def _keys(found: CredentialSet, *, show: bool) -> dict[str, str | None]:
    return {
        "AccessKeyId": found.access_key,
        "SecretAccessKey": found.secret_key if show else HIDDEN,
        "SessionToken": (found.session_token if show else HIDDEN) if found.session_token else None,
        "Expiration": None if found.expires_at is None else _moment(found.expires_at),
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _environment(found: CredentialSet, *, show: bool) -> list[str]:
    """What is hidden stands there as a comment, so that no shell takes it for a value."""
    keys = _keys(found, show=True)
    secret = {"AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"], "AWS_SESSION_TOKEN": keys["SessionToken"]}
    lines = [f"export AWS_ACCESS_KEY_ID={shlex.quote(found.access_key)}"]
    for name, value in secret.items():
        if value is not None:
            lines.append(f"export {name}={shlex.quote(value)}" if show else f"# export {name}={HIDDEN}")
    return [*lines, f"# they end at {keys['Expiration'] or 'no known time'}"]
