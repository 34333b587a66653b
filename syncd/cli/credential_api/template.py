"""`syncd credential-api template`: the CloudFormation template."""

from __future__ import annotations

import json

import click


@click.command("template")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
def command(*, as_json: bool) -> None:
    """Print the CloudFormation template: function, roles, table, HTTP API and log.

    For `aws cloudformation deploy --template-file`. Its parameters say what they are for. Nothing is changed anywhere.
    """
    from syncd.credential_api.template import as_yaml, template  # noqa: PLC0415 - not for --help

    document = template()
    click.echo(json.dumps(document, indent=2) if as_json else as_yaml(document), nl=as_json)
