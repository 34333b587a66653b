"""`syncd credential-api add-device NAME`: let a device in, and show its token once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.console.words import plain
from syncd.errors import ConfigError, SyncdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.credential_api.devices import Device
    from syncd.credential_api.dynamodb import Table


@click.command("add-device")
@click.argument("name")
@click.option(
    "--registry",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="SYNCD_API_REGISTRY",
    show_envvar=True,
    help="The YAML file to put it into; made if there is none.",
)
@click.option(
    "--table", metavar="NAME", envvar="SYNCD_API_TABLE", show_envvar=True, help="Or the DynamoDB table."
)
@click.option(
    "--region",
    envvar=["SYNCD_API_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
    show_envvar=True,
    help="The region of the table.",
)
@click.option("--bucket", help="Where it uploads to. [default: defaults.bucket of the file]")
@click.option("--prefix", help="Below what. [default: NAME/]")
@click.option(
    "--expires", metavar="TIME", help="When it ends, such as 2027-01-01T00:00:00Z. [default: never]"
)
@click.option(
    "--list-uploads", is_flag=True, help="It may list open uploads: the keys of all devices in the bucket."
)
@click.option("--tagging", is_flag=True, help="It may tag its objects.")
@click.option("--kms-key-arn", metavar="ARN", help="The key that its objects are encrypted with, no alias.")
@click.option(
    "--another-token",
    is_flag=True,
    help="One more token for a device that is there; take the old one out when the new one is in use.",
)
def command(
    *,
    name: str,
    registry: Path | None,
    table: str | None,
    region: str | None,
    bucket: str | None,
    prefix: str | None,
    expires: str | None,
    list_uploads: bool,
    tagging: bool,
    kms_key_arn: str | None,
    another_token: bool,
) -> int:
    """Let the device NAME in, and show its token once.

    It goes into exactly one of --registry and --table. The token goes to stdout, alone, so that it can be sent into a file; what is kept is its SHA-256. A lost token is
    replaced by another one, it cannot be shown again.
    """
    from syncd.credential_api.devices import digest_of, new_token  # noqa: PLC0415 - not for --help

    if (registry is None) == (table is None):
        raise click.UsageError("exactly one of --registry and --table is needed")
    token = new_token()
    if another_token:
        if any((bucket, prefix, expires, list_uploads, tagging, kms_key_arn)):
            raise click.UsageError(
                "--another-token changes nothing else of the device: leave the other options out"
            )
        _add_token(registry, table, region, name, digest_of(token))
    else:
        usual = _usual_bucket(registry)
        device = _device(
            name=name,
            bucket=bucket or usual,
            prefix=prefix or f"{name}/",
            expires_at=_moment(expires),
            list_uploads=list_uploads,
            tagging=tagging,
            kms_key_arn=kms_key_arn,
        )
        _add(registry, table, region, device, digest_of(token), spell_bucket=device.bucket != usual)
    click.echo(token, nl=sys.stdout.isatty())  # botocore refuses a token file with a newline in it
    place = plain(str(registry or table))
    text = f"{name} is in {place}. Its token, on stdout, is not shown again: put it into the device's token_file, which only syncd's user may read"
    click.echo(text, err=True)
    return 0


def _usual_bucket(registry: Path | None) -> str | None:
    from syncd.credential_api.enrol import default_bucket  # noqa: PLC0415 - not for --help

    return None if registry is None else default_bucket(registry)


def _device(**fields: Any) -> Device:
    from syncd.credential_api.devices import Device, problems_of  # noqa: PLC0415 - not for --help

    if fields["bucket"] is None:
        raise click.UsageError("--bucket is needed")
    device = Device(**fields)
    if problems := list(problems_of(device)):
        raise click.UsageError("; ".join(problems))
    return device


def _moment(text: str | None) -> float | None:
    from syncd.credential_api.devices import moment_of  # noqa: PLC0415 - not for --help

    try:
        return None if text is None else moment_of(text)
    except ValueError:
        raise click.UsageError(
            "--expires must be a time with its zone, such as 2027-01-01T00:00:00Z"
        ) from None


def _add(
    registry: Path | None,
    table: str | None,
    region: str | None,
    device: Device,
    digest: str,
    *,
    spell_bucket: bool,
) -> None:
    from syncd.credential_api.enrol import add_device  # noqa: PLC0415 - not for --help

    if registry is not None:
        _change(registry, lambda: add_device(registry, device, digest, spell_bucket=spell_bucket))
    else:
        _change(table, lambda: _table(table, region).add(device, digest))


def _add_token(registry: Path | None, table: str | None, region: str | None, name: str, digest: str) -> None:
    from syncd.credential_api.enrol import add_token  # noqa: PLC0415 - not for --help

    if registry is not None:
        _change(registry, lambda: add_token(registry, name, digest))
    else:
        _change(table, lambda: _table(table, region).add_token(name, digest))


def _table(table: str | None, region: str | None) -> Table:
    from syncd.credential_api.local import BadSurroundings, local_table  # noqa: PLC0415 - heavy

    try:
        return local_table(table or "", region)
    except BadSurroundings as bad:
        raise ConfigError([f"syncd: {bad}"]) from None


def _change(where: object, change: Callable[[], None]) -> None:
    """Do it; what cannot be done is told with its place."""
    from syncd.credential_api.devices import BadRegistration, DevicesUnavailable  # noqa: PLC0415 - not for --help
    from syncd.credential_api.enrol import NotEditable, ReadersLost  # noqa: PLC0415

    hint = None
    try:
        change()
    except BadRegistration as bad:
        raise ConfigError(bad.problems) from None
    except OSError as trouble:
        reason = trouble.strerror or str(trouble)
        if isinstance(trouble, ReadersLost):
            hint = "do it as root or as a member of that group: the service that reads the file would lose it"
    except DevicesUnavailable as trouble:
        reason = str(trouble)
    except NotEditable as trouble:
        reason = str(trouble)
        hint = "write devices: as one key with a line of its own for each device below it, then try again"
    else:
        return
    raise SyncdError(f"{where} was not changed: {reason}", hint=hint)
