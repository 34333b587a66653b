"""`syncd credential-api add-device NAME`: let a device in, and show its token once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.words import plain
from syncd.errors import ConfigError, SyncdError

if TYPE_CHECKING:
    from syncd.credential_api.devices import Device


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
@click.option("--region", envvar="SYNCD_API_REGION", show_envvar=True, help="The region of the table.")
@click.option("--bucket", help="Where it uploads to. [default: defaults.bucket of the file]")
@click.option("--prefix", help="Below what. [default: NAME/]")
@click.option(
    "--expires", metavar="TIME", help="When it ends, such as 2027-01-01T00:00:00Z. [default: never]"
)
@click.option(
    "--list-uploads", is_flag=True, help="It may list open uploads: the keys of all devices in the bucket."
)
@click.option("--tagging", is_flag=True, help="It may tag its objects.")
@click.option("--kms-key-arn", metavar="ARN", help="The key that its objects are encrypted with.")
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
) -> int:
    """Let the device NAME in, and show its token once.

    The token goes to stdout, alone, so that it can be sent into a file; what is kept is its SHA-256. A lost token is
    replaced by another one, it cannot be shown again.
    """
    from syncd.credential_api.devices import Device, digest_of, new_token, problems_of  # noqa: PLC0415 - not for --help
    from syncd.credential_api.enrol import default_bucket  # noqa: PLC0415

    if (registry is None) == (table is None):
        raise click.UsageError("exactly one of --registry and --table is needed")
    usual = default_bucket(registry) if registry is not None else None
    where = bucket or usual
    if where is None:
        raise click.UsageError("--bucket is needed")
    device = Device(
        name=name,
        bucket=where,
        prefix=prefix or f"{name}/",
        expires_at=_moment(expires),
        list_uploads=list_uploads,
        tagging=tagging,
        kms_key_arn=kms_key_arn,
    )
    if problems := list(problems_of(device)):
        raise click.UsageError("; ".join(problems))
    token = new_token()
    if registry is not None:
        _into_file(registry, device, digest_of(token), spell_bucket=where != usual)
    else:
        _into_table(table or "", region, device, digest_of(token))
    click.echo(token)
    place = plain(str(registry or table))
    text = f"{name} is in {place}. Its token, on stdout, is not shown again: put it into the device's token_file, mode 0600"
    click.echo(text, err=True)
    return 0


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.UsageError("--expires must be a time with its zone, such as 2027-01-01T00:00:00Z")
    return moment.timestamp()


def _into_file(registry: Path, device: Device, digest: str, *, spell_bucket: bool) -> None:
    from syncd.credential_api.devices import BadRegistration  # noqa: PLC0415 - not for --help
    from syncd.credential_api.enrol import NotEditable, add_device  # noqa: PLC0415

    try:
        add_device(registry, device, digest, spell_bucket=spell_bucket)
    except BadRegistration as bad:
        raise ConfigError(bad.problems) from None
    except NotEditable as not_editable:
        raise SyncdError(
            f"{registry} was not changed: {not_editable}",
            hint="write devices: as one key with a line of its own for each device below it, then try again",
        ) from None
    except OSError as trouble:
        raise SyncdError(f"{registry} was not changed: {trouble.strerror or trouble}") from None


def _into_table(table: str, region: str | None, device: Device, digest: str) -> None:
    from syncd.credential_api.devices import BadRegistration, DevicesUnavailable  # noqa: PLC0415 - not for --help
    from syncd.credential_api.local import BadSurroundings, local_table  # noqa: PLC0415

    try:
        local_table(table, region).add(device, digest)
    except BadSurroundings as bad:
        raise ConfigError([f"syncd: {bad}"]) from None
    except BadRegistration as bad:
        raise ConfigError(bad.problems) from None
    except DevicesUnavailable as trouble:
        raise SyncdError(f"the table {table} was not changed: {trouble}") from None
