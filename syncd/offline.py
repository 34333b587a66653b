"""The composition root of the verbs that look in while no daemon runs: the ledger, the disk, and nothing that sends.

Kept apart from `app` so that asking for the status loads no S3 client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from syncd import __version__
from syncd.adapters import machine
from syncd.adapters.clock import SystemClock
from syncd.adapters.disk import LocalDisk, PatientDisk, ignore_lease_signals
from syncd.adapters.ledger import SqliteLedger, open_ledger, open_readonly
from syncd.adapters.mounts import leads_far
from syncd.config.model import Config
from syncd.errors import LedgerFailure, SyncdError
from syncd.inside import Inside, Scene
from syncd.policies import credential_source, destination_policy, folder_policies, plan_policy
from syncd.ports import Clock


@contextmanager
def look_in(config: Config) -> Iterator[Inside]:
    """Status and explain from the ledger as it lies there, opened to read only; an empty one where there is none yet.

    Raises LedgerFailure where we may not look, SyncdError where a daemon holds the ledger after all.
    """
    _refuse_if_held(config)
    with _opened(config, open_readonly) as ledger:
        yield Inside(scene(config, ledger))


@contextmanager
def take_over(config: Config, *, need_ledger: bool = False) -> Iterator[Inside]:
    """To change something without a daemon: takes its lock meanwhile. Raises LedgerHeld, LedgerFailure.

    `need_ledger`: raises SyncdError where there is none yet, for what is written would be lost.
    """
    if need_ledger and not _is_there(Path(config.state)):
        hint = "the first start makes it: a ledger that somebody else made might not be syncd's to open"
        raise SyncdError(f"syncd is not running and has no ledger yet: {config.state}", hint=hint)
    with _opened(config, open_ledger) as ledger:
        yield Inside(scene(config, ledger))


@contextmanager
def _opened(config: Config, opened: Callable[[Path, Clock], SqliteLedger]) -> Iterator[SqliteLedger]:
    """The ledger; where there is none yet an empty one elsewhere, for looking in leaves nothing behind."""
    ignore_lease_signals()  # so that writers can be asked for
    with ExitStack() as stack:
        path, clock = Path(config.state), SystemClock()
        if _is_there(path):
            ledger = opened(path, clock)
        else:
            ledger = open_ledger(Path(stack.enter_context(TemporaryDirectory())) / "empty.db", clock)
        stack.callback(ledger.close)
        yield ledger


def scene(config: Config, ledger: SqliteLedger) -> Scene:
    """What the answers are gathered from."""
    return Scene(
        version=__version__,
        device=config.device,
        source=credential_source(config),
        folders=folder_policies(config),
        destination=destination_policy(config),
        ledger=ledger,
        disk=PatientDisk(LocalDisk(), far=leads_far),
        clock=SystemClock(),
        sight=machine,
        plan=plan_policy(config),
    )


def _is_there(path: Path) -> bool:
    """Raises LedgerFailure where we may not even look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise LedgerFailure(
            f"syncd is not running as far as you may see: {path}: {error.strerror}",
            hint="run this as root or as syncd's own user",
        ) from error
    return True


def _refuse_if_held(config: Config) -> None:
    """A daemon that holds the ledger is running, whatever its socket says."""
    pid = machine.lock_holder(Path(f"{config.state}.lock"))
    if pid is not None:
        raise SyncdError(
            f"syncd runs (pid {pid}), but does not answer at {config.socket}",
            hint="it may be starting or ending; else console.socket is another one for it ($RUNTIME_DIRECTORY)",
        )
