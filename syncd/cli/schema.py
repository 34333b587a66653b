"""`syncd schema`: the configuration's JSON Schema."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of the configuration.

    For editors and generators. `syncd check` says more: rules between keys, bounds, and what this machine lacks.
    """
    from syncd.config.schema import json_schema  # noqa: PLC0415 - keeps `--help` free of it

    click.echo(json.dumps(json_schema(), indent=2))
