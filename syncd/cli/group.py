"""Which verbs there are, one sentence each. A verb's module is imported when it is called, so that help is fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

from syncd import __version__

VERBS: Final = {
    "run": "Watch the folders and upload what is finished.",
    "check": "Say what is wrong with the configuration, and in which line.",
    "doctor": "Look at everything that the daemon leans on, and say what to do about what is wrong.",
    "status": "Show what the daemon does, what waits, and why.",
    "files": "List the files that syncd knows, and how far each one is.",
    "explain": "Tell where one file stands and what it waits for.",
    "retry": "Take up files again that were set aside.",
    "plan": "Show what would be done with the files that are there now.",
    "verify": "Ask the destination whether the objects are what was proven.",
    "orphans": "Show uploads that are open at the destination and that nobody goes on with.",
    "pause": "Send nothing until resume, or for a while.",
    "resume": "End a pause.",
    "rescan": "Scan every folder now.",
    "creds": "Ask the credential API and show what it answers.",
    "schema": "Print the JSON Schema of the configuration.",
    "credential-api": "The other half: hand devices their temporary credentials.",
    "demo": "See it all work on this machine: a local store, a recording, an upload.",
}


class LazyGroup(click.Group):
    """Knows its verbs by name: each lives in a module of `package`, named like it, as `command`."""

    def __init__(self, *args: Any, verbs: Mapping[str, str], package: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._verbs = verbs
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table."""
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb, imported now; None for a name that is none."""
        if cmd_name not in self._verbs:
            return None
        command: click.Command = import_module(f"{self._package}.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table: nothing is imported to be listed."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(self._verbs.items()))


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package="syncd.cli",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="VERB [ARGUMENTS]...",
    epilog="Each verb has its own --help. Without -c, $SYNCD_CONFIG is read, then /etc/syncd/config.yaml.",
)
@click.version_option(__version__, message="syncd %(version)s")
def syncd() -> None:
    """Upload recordings from watched folders to S3, with temporary credentials, and prove that they arrived."""
