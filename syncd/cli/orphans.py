"""`syncd orphans`: multipart uploads at the destination that nobody goes on with, and cost money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.asking import ask, configured
from syncd.cli.options import config_option
from syncd.console.status import moment
from syncd.console.words import plain, span_text
from syncd.errors import SyncdError

if TYPE_CHECKING:
    from syncd.config import Config
    from syncd.decide.orphans import Found, Owners
    from syncd.errands import Abroad

_NOTES = {
    "orphan": "nobody's",
    "young": "nobody's, but younger than a day: it may be somebody's who has not told yet",
    "leaving": "given up: the daemon aborts it by itself",
}


@click.command("orphans")
@config_option
@click.option("--abort", is_flag=True, help="Abort those that are nobody's and older than a day.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def command(config_file: Path, abort: bool, as_json: bool) -> int:
    """Show uploads that are open at the destination and that nobody goes on with.

    Looks below this device's prefix, with credentials of its own; that needs s3:ListBucketMultipartUploads. What the
    ledger owns is never aborted, and nothing younger than a day. Another daemon's uploads are nobody's to this one:
    --abort refuses below a prefix that is not this device's alone. Ends with 1 when an abort failed.
    """
    config = configured(config_file)
    from syncd.errands import abroad  # noqa: PLC0415 - heavy, and not for --help

    with abroad(config) as there:
        if abort:
            _refuse_to_guess(config, there)
        found = _found(config, there, abort=abort)
        failures = _abort(found, there) if abort else {}
        _tell(found, failures, there, aborted=abort, as_json=as_json)
    return 1 if failures else 0


def _refuse_to_guess(config: Config, there: Abroad) -> None:
    from syncd.decide.orphans import alone_below  # noqa: PLC0415

    if not alone_below(there.prefix, config.destination.prefix, config.device):
        raise SyncdError(
            f"below the prefix {there.prefix!r} others may have uploads too: none is aborted",
            hint="let destination.prefix name the device; or leave it to a lifecycle rule of the bucket",
        )


def _found(config: Config, there: Abroad, *, abort: bool) -> list[Found]:
    """The uploads first, their owners afterwards: what is opened in between is in no list."""
    from syncd.decide.orphans import sort  # noqa: PLC0415

    uploads = there.store.uploads_below(there.bucket, there.prefix)
    if uploads is None:
        raise SyncdError(
            f"the open uploads of s3://{there.bucket} may not be listed",
            hint="allow s3:ListBucketMultipartUploads on the bucket; a lifecycle rule that aborts them needs no right",
        )
    return sort(uploads, _owners(config, need_ledger=abort), there.server_time.now())


def _owners(config: Config, *, need_ledger: bool) -> Owners:
    from syncd.decide.orphans import Owners  # noqa: PLC0415

    running, known = ask(config, lambda view: view.uploads())
    if not running and need_ledger and not config.state.exists():
        raise SyncdError(
            f"there is no ledger at {config.state}: whose the uploads are cannot be told, and none is aborted",
            hint="name the daemon's own configuration with -c",
        )
    return Owners(**{name: frozenset(known[name]) for name in ("uploads", "creating", "leaving")})


def _abort(found: list[Found], there: Abroad) -> dict[str, str]:
    """What could not be aborted, by upload id, and why."""
    failures: dict[str, str] = {}
    for each in found:
        if each.standing == "orphan":
            try:
                there.store.abort(there.bucket, each.upload.key, each.upload.upload_id)
            except SyncdError as error:
                failures[each.upload.upload_id] = str(error)
    return failures


def _tell(
    found: list[Found], failures: dict[str, str], there: Abroad, *, aborted: bool, as_json: bool
) -> None:
    entries = [
        _entry(each, failures.get(each.upload.upload_id), aborted=aborted)
        for each in found
        if each.standing != "owned"
    ]
    if as_json:
        place = {"bucket": there.bucket, "prefix": there.prefix}
        click.echo(json.dumps({**place, "owned": len(found) - len(entries), "orphans": entries}, indent=2))
        return
    for entry in entries:
        note = "aborted" if entry["aborted"] else entry["error"] or _NOTES[entry["standing"]]
        click.echo(plain(f"{entry['key']}  {entry['upload_id']}  {span_text(entry['age_s'])} old: {note}"))
    click.echo(
        plain(
            f"{len(entries)} without an owner below s3://{there.bucket}/{there.prefix}, {len(found) - len(entries)} on their way"
        )
    )


def _entry(each: Found, error: str | None, *, aborted: bool) -> dict[str, Any]:
    return {
        "key": each.upload.key,
        "upload_id": each.upload.upload_id,
        "initiated_at": moment(each.upload.initiated_at),
        "age_s": round(each.age_s),
        "standing": each.standing.value,
        "aborted": aborted and each.standing == "orphan" and error is None,
        "error": error,
    }
