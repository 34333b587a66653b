"""`syncd creds`: ask the credential API itself, and show what it answers; secrets only to those who ask for them."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from syncd.cli.asking import configured
from syncd.cli.options import config_option
from syncd.errors import SyncdError
from syncd.model import CredentialSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.config import Config

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
@click.option(
    "--try",
    "attempt",
    is_flag=True,
    help="Then write to the destination with them, each step told on stderr.",
)
def command(config_file: Path, form: str, show_secrets: bool, attempt: bool) -> int:
    """Ask the credential API and show what it answers.

    With `credentials.chain` in the configuration, boto3's chain is asked instead. The daemon is not needed and not disturbed. Secrets are hidden unless you ask for them; the form process always has
    them, and goes to a program, never to a terminal. With --try the one object {prefix}.syncd/doctor is written, in one
    piece and by multipart upload, and an upload of it is aborted: all that the daemon needs to be allowed. Ends with 1
    if a step fails.
    """
    if form == "process" and sys.stdout.isatty():
        raise SyncdError(
            "the form process holds secrets in the clear and is for a program to read, not for a terminal",
            hint="put it into credential_process of an AWS profile, or use --format json",
        )
    config = configured(config_file)
    if attempt:
        return _try(config, lambda found: _show(found, form, show_secrets=show_secrets))
    from syncd import app  # noqa: PLC0415 - heavy, and not for --help

    _show(app.fetch_credentials(config), form, show_secrets=show_secrets)
    return 0


def _show(found: CredentialSet, form: str, *, show_secrets: bool) -> None:
    match form:
        case "process":
            click.echo(json.dumps({"Version": 1} | _keys(found, show=True)))
        case "env":
            click.echo("\n".join(_environment(found, show=show_secrets)))
        case _:
            click.echo(json.dumps(_document(found, show=show_secrets), indent=2))


def _try(config: Config, show: Callable[[CredentialSet], None]) -> int:
    """0 if every step went well."""
    from syncd.attempt import attempt  # noqa: PLC0415 - heavy, and not for --help
    from syncd.cli.findings import tell  # noqa: PLC0415
    from syncd.decide.findings import Verdict  # noqa: PLC0415
    from syncd.errands import abroad  # noqa: PLC0415
    from syncd.policies import destination_policy  # noqa: PLC0415

    failed = False
    with abroad(config) as there:
        show(there.credentials)
        for finding in attempt(there, destination_policy(config), config.device):
            failed = failed or finding.verdict is Verdict.FAIL
            tell(finding, err=True)
    return 1 if failed else 0


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
