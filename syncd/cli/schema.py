"""`syncd schema`: the configuration's JSON Schema."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.option(
    "--markdown", is_flag=True, help="A table for people instead: each key, its default, its meaning."
)
def command(*, markdown: bool) -> None:
    """Print the JSON Schema of the configuration.

    For editors and generators. `syncd check` says more: rules between keys, bounds, and what this machine lacks.
    """
    from syncd.config.schema import json_schema, key_table  # noqa: PLC0415 - keeps `--help` free of it

    click.echo(key_table() if markdown else json.dumps(json_schema(), indent=2), nl=not markdown)
