"""The verbs of the other half: serve it, let devices in, and print what has to exist in the account."""

from __future__ import annotations

from typing import Final

import click

from syncd.cli.group import LazyGroup

VERBS: Final = {
    "serve": "Answer devices from this machine.",
    "add-device": "Let a device in, and show its token once.",
    "policies": "Print the policies that role and bucket need.",
    "template": "Print the CloudFormation template of all of it.",
    "package": "Build the zip file for the Lambda.",
}


@click.group(
    "credential-api",
    cls=LazyGroup,
    verbs=VERBS,
    package="syncd.cli.credential_api",
    subcommand_metavar="VERB [ARGUMENTS]...",
    epilog="Each verb has its own --help.",
)
def command() -> None:
    """The other half: hand devices their temporary credentials."""
