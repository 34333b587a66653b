"""`syncd doctor`: everything that the daemon leans on, looked at once, with the remedy for what is wrong."""

from __future__ import annotations

from pathlib import Path

import click

from syncd.cli.asking import configured
from syncd.cli.options import config_option


@click.command("doctor")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(config_file: Path, as_json: bool) -> int:
    """Look at everything that the daemon leans on, and say what to do about what is wrong.

    Network, credentials, store, limits, ledger, folders: one line each. The daemon is not needed and not disturbed; no
    recording is touched. One object is written, {prefix}.syncd/doctor. Run it as the daemon's user: rights are judged
    for the one who asks. Ends with 1 if anything failed.
    """
    from syncd.checkup import examine  # noqa: PLC0415 - heavy, and not for --help
    from syncd.cli.findings import document, tell  # noqa: PLC0415
    from syncd.config.surroundings import Surroundings  # noqa: PLC0415
    from syncd.decide.findings import passed  # noqa: PLC0415

    findings = []
    for finding in examine(configured(config_file), Surroundings.from_system()):
        findings.append(finding)
        if not as_json:
            tell(finding)
    if as_json:
        click.echo(document(findings))
    return 0 if passed(findings) else 1
