"""`syncd credential-api package`: the zip file for the Lambda."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from syncd import __version__
from syncd.errors import SyncdError


@click.command("package")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it.  [default: syncd-api-VERSION-DIGEST.zip, here]",
)
def command(output: Path | None) -> None:
    """Build the zip file for the Lambda and print its name, and nothing else.

    The name has a digest of what is in it: the same code gives the same file, other code another name, which is what
    makes CloudFormation take it.
    """
    from syncd.credential_api.package import build  # noqa: PLC0415 - not for --help

    packed = build()
    digest = hashlib.sha256(packed).hexdigest()[:12]
    path = output or Path(f"syncd-api-{__version__}-{digest}.zip")
    try:
        path.write_bytes(packed)
    except OSError as error:
        raise SyncdError(
            f"{path} cannot be written: {error.strerror}", hint="name another place with --output"
        ) from error
    click.echo(path)
