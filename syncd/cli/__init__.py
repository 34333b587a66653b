"""The verbs. Errors become exit codes here and nowhere else; no traceback ever reaches a user.

group      which verbs there are; each is imported only when it is called
options    what several verbs take from the command line
asking     the daemon, or without one the ledger
listing    answers that may be long, page by page
findings   what doctor and creds --try found, line by line or as a document
progress   bars, on a terminal only
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence

import click

from syncd.cli.group import syncd
from syncd.console.words import plain
from syncd.errors import ConfigError, Fatal, SyncdError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code: 0 fine, 1 undone, 2 wrong usage, 3 ledger held, 78 bad configuration."""
    return _told(lambda: syncd.main(arguments, prog_name="syncd", standalone_mode=False))


def _told(verb: Callable[[], object]) -> int:
    """What the verb answered as an exit code, after telling what went wrong on stderr."""
    try:
        code = verb()
        if sys.stdout is not None:  # None: closed by the caller, `>&-`
            sys.stdout.flush()
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _let_go_of_stdout()
        return 1
    except SyncdError as error:
        return _tell(error)
    except OSError as error:
        return _tell_unwritten(error) if error.errno == errno.ENOSPC else _tell_unexpected(error)
    except Exception as failure:  # noqa: BLE001 - the last door: a sentence instead of a traceback
        return _tell_unexpected(failure)
    return code if isinstance(code, int) else 0


def _tell(error: SyncdError) -> int:
    lines = error.problems if isinstance(error, ConfigError) else [f"syncd: {error}"]
    if error.hint is not None:
        lines = [*lines, f"hint: {error.hint}"]
    for line in lines:
        click.echo(plain(line), err=True)
    return error.exit_code if isinstance(error, Fatal) else 1


def _tell_unwritten(error: OSError) -> int:
    """Whoever keeps state has translated a full disk before; what is left is the disk that stdout goes to."""
    _let_go_of_stdout()
    click.echo(f"syncd: the answer could not be written: {error.strerror}", err=True)
    return 1


def _tell_unexpected(failure: Exception) -> int:
    """Trace and words are for the log of those who debug: there they are without secrets."""
    import structlog  # noqa: PLC0415 - only where something went wrong

    if structlog.is_configured():
        structlog.get_logger().debug("unexpected_failure", exc_info=failure)
    click.echo(f"syncd: this should not have happened ({type(failure).__name__})", err=True)
    click.echo("hint: please report it, with the log at level debug", err=True)
    return 1


def _let_go_of_stdout() -> None:
    """Whoever read it is gone; Python would complain about that once more at its end."""
    import os  # noqa: PLC0415 - as rare as it is

    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a path of ours
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
