"""`syncd explain PATH`: one true sentence about a file, and its story."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from syncd.cli.asking import absolute, ask, configured
from syncd.cli.options import complete_path, config_option
from syncd.console.words import bytes_text, plain


@click.command("explain")
@config_option
@click.argument("path", metavar="PATH", shell_complete=complete_path)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(config_file: Path, path: str, as_json: bool) -> int:
    """Tell where one file stands and what it waits for.

    Answers for any path: watched or not, sent, waiting, excluded or never seen.
    """
    where = absolute(path)
    _, document = ask(configured(config_file), lambda view: view.explain(where))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        for line in _lines(document):
            click.echo(plain(line))
    return 0


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield document["path"]
    yield f"  {document['sentence']}"
    if document["hint"]:
        yield f"  hint: {document['hint']}"
    yield from _facts(document)
    if document["history"]:
        yield "  history:"
    for line in document["history"]:
        yield f"    {line['at']}  {line['state']:<11} {line['why']}"


def _facts(document: dict[str, Any]) -> Iterator[str]:
    size, sent = document["size"], document["sent"]
    yield f"  state: {document['state']}"
    if size is not None:
        acknowledged = f", {bytes_text(sent)} at the destination" if sent else ""
        yield f"  size: {size:,} {'byte' if size == 1 else 'bytes'}{acknowledged}"
    for name, label in (("key", "key"), ("proof", "proof"), ("not_before", "next try at")):
        if document[name] is not None:
            yield f"  {label}: {document[name]}"
