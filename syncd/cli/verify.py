"""`syncd verify`: are the objects still what was proven, and the local files too?"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.asking import absolute, ask, configured
from syncd.cli.listing import Pages, tell_json
from syncd.cli.options import complete_path, config_option
from syncd.console.words import path_text, plain

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.errands import Abroad

Entry = dict[str, Any]


@click.command("verify")
@config_option
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=complete_path)
@click.option("--local", is_flag=True, help="Read the local files too, and compare their bytes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(config_file: Path, paths: tuple[str, ...], local: bool, as_json: bool) -> int:
    """Ask the destination whether the objects are what was proven.

    One HEAD for each uploaded file, or for each PATH: token, size and checksum must be those of the ledger. Nothing is
    changed. A local file that is gone is no disagreement. Ends with 1 on any disagreement, or when a PATH is not
    uploaded.
    """
    where = [absolute(path) for path in paths]
    config = configured(config_file)
    from syncd.errands import abroad  # noqa: PLC0415 - heavy, and not for --help

    with abroad(config) as there:
        audit = _Audit(config, there, where, local=local)
        if as_json:
            tell_json("files", audit, audit.totals)
        else:
            for entry in audit:
                for problem in entry["problems"]:
                    click.echo(plain(f"{entry['path']}: {problem}"))
            click.echo(audit.sentence())
    return 1 if audit.disagreed else 0


class _Audit:
    """Every file that is asked for, looked at; some at once, for most of the time is waiting."""

    def __init__(self, config: Config, there: Abroad, paths: list[bytes], *, local: bool) -> None:
        self._config = config
        self._there = there
        self._paths = paths
        self._local = local
        self.agreed = 0
        self.disagreed = 0

    def __iter__(self) -> Iterator[Entry]:
        with ThreadPoolExecutor(self._config.upload.files) as pool:
            for bundle in _bundles(self._asked_for()):
                for entry in pool.map(self._look, bundle):
                    self.agreed += not entry["problems"]
                    self.disagreed += bool(entry["problems"])
                    yield entry

    def totals(self) -> dict[str, Any]:
        """How many agree and how many do not."""
        return {"agreed": self.agreed, "disagreed": self.disagreed}

    def sentence(self) -> str:
        """The same for people."""
        return f"{self.agreed:,} agree, {self.disagreed:,} disagree"

    def _asked_for(self) -> Iterator[Entry]:
        if not self._paths:
            yield from Pages(self._config, "files", lambda view, at: view.proven(None, int(at or 0)))
        for path in self._paths:
            yield from self._at(path)

    def _at(self, path: bytes) -> list[Entry]:
        _, found = ask(self._config, lambda view: view.proven(path))
        files: list[Entry] = found["files"]
        return files or [{"path": path_text(path), "key": None, "problems": [found["why"]]}]

    def _look(self, file: Entry) -> Entry:
        from syncd.errands import Claim, look_at_object, read_local  # noqa: PLC0415

        if "problems" in file:
            return {**file, "local": None}
        claim = Claim.read(file)
        problems = look_at_object(claim, self._there)
        local, told = read_local(claim, self._there.sums) if self._local else (None, None)
        return {
            "path": file["path"],
            "key": file["key"],
            "problems": problems + ([told] if told is not None else []),
            "local": local,
        }


def _bundles(files: Iterator[Entry], size: int = 64) -> Iterator[list[Entry]]:
    """So few at once that what was found is told soon, and memory has a bound."""
    bundle: list[Entry] = []
    for file in files:
        bundle.append(file)
        if len(bundle) == size:
            yield bundle
            bundle = []
    yield bundle
