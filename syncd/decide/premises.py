"""What the facts that `syncd doctor` gathered about this machine and its folders mean: verdicts, and troubles if any.

Thresholds are here, words in `troubles`; `doctor` judges the servers. Nothing is asked or measured here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from syncd.decide.dispose import DisposalPolicy, certain_by_rule
from syncd.decide.findings import Check, Finding, skipped, well, without
from syncd.decide.settle import SettlePolicy
from syncd.decide.troubles import here
from syncd.decide.words import size

LEDGER_FULL_BYTES: Final = 2_000_000
LEDGER_TIGHT_BYTES: Final = 100_000_000
FOLDER_TIGHT_BYTES: Final = 1_000_000_000

OF_A_FOLDER: Final = (Check.FOLDER_SPACE, Check.WRITERS, Check.DISPOSAL)


def user(me: str, owner: str | None) -> Finding:
    """Whether rights are judged for the one who needs them. `owner`: of the ledger, None where there is none yet."""
    if owner is not None and owner != me:
        return here.OTHER_USER.found(me=me, owner=owner)
    return well(
        Check.USER, f"{me}, as the daemon" if owner else f"{me}; there is no ledger yet to compare with"
    )


def watches(directories: int | None, limit: int | None, *, instance: bool, more: bool = False) -> Finding:
    """Whether the kernel grants as many inotify watches as there are directories; `more`: there are more than were counted."""
    if not instance:
        return here.NO_INSTANCE.found()
    if directories is None:
        return skipped([Check.WATCHES], "how many directories there are cannot be told in time")[0]
    if limit is not None and directories > limit:
        return here.FEW_WATCHES.found(directories=directories, limit=limit, wanted=2 * directories)
    least = "at least " if more else ""
    return well(
        Check.WATCHES, f"{least}{directories} of at most {limit or 'any number of'} directories to watch"
    )


def descriptors(limit: int, *, files: int, parts: int) -> Finding:
    """Whether as many files may be open as uploads, connections, ledger, watches and those who look in need."""
    wanted = 32 + 2 * (files + parts)
    if limit < wanted:
        return here.FEW_DESCRIPTORS.found(limit=limit, wanted=wanted)
    return well(Check.DESCRIPTORS, f"{limit} files may be open at once")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """Where the ledger is kept. `made`: its directory is there, else `directory` is the one above; `hindered`: why it cannot be written; `exposed`: what others may look into, and its mode."""

    directory: str
    me: str
    made: bool = True
    hindered: str | None
    far: bool
    exposed: tuple[str, int] | None
    free_bytes: int | None


def ledger(facts: LedgerFacts) -> list[Finding]:
    """Whether the ledger can be kept, and kept safe."""
    return [_ledger_place(facts), _ledger_space(facts)]


def _ledger_place(facts: LedgerFacts) -> Finding:
    if facts.hindered is not None and not facts.made:
        return here.LEDGER_NOT_MADE.found(directory=facts.directory, me=facts.me)
    if facts.hindered is not None:
        return here.LEDGER_UNWRITABLE.found(directory=facts.directory, me=facts.me, reason=facts.hindered)
    if facts.far:
        return here.LEDGER_FAR.found(directory=facts.directory)
    if facts.exposed is not None:
        path, mode = facts.exposed
        return here.LEDGER_EXPOSED.found(path=path, mode=f"{mode:04o}")
    return well(Check.LEDGER, f"{facts.directory} can be written by {facts.me}")


def _ledger_space(facts: LedgerFacts) -> Finding:
    if facts.free_bytes is None:
        return skipped([Check.LEDGER_SPACE], "how much is free cannot be told")[0]
    free = size(facts.free_bytes)
    if facts.free_bytes < LEDGER_FULL_BYTES:
        return here.LEDGER_FULL.found(directory=facts.directory, free=free)
    if facts.free_bytes < LEDGER_TIGHT_BYTES:
        return here.LEDGER_TIGHT.found(directory=facts.directory, free=free)
    return well(Check.LEDGER_SPACE, f"{free} free at {facts.directory}")


# -- a folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """Why files cannot be taken out of a folder; `where`: the first directory that hinders."""

    where: str
    read_only: bool = False
    sticky: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFacts:
    """A folder that is there. `may_ask`: the kernel would tell of writers; `target`: why files cannot be moved there."""

    path: str
    me: str
    mounted: bool
    free_bytes: int | None
    may_ask: bool
    hindrance: Hindrance | None = None
    target: str | None = None
    same_file_system: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWish:
    """What the configuration wants of it."""

    settle: SettlePolicy
    disposal: DisposalPolicy
    require_mount: bool


def folder(facts: FolderFacts, wish: FolderWish, *, only_size: bool) -> list[Finding]:
    """Whether its files can be found, judged to be finished, and put away. `only_size`: no proof but that is to be had."""
    if wish.require_mount and not facts.mounted:
        return [here.FOLDER_UNMOUNTED.found(path=facts.path), *without(OF_A_FOLDER, Check.FOLDER)]
    return [
        well(Check.FOLDER, f"{facts.path} can be read"),
        _space(facts),
        _writers(facts, wish),
        _disposal(facts, wish, only_size=only_size),
    ]


def _space(facts: FolderFacts) -> Finding:
    if facts.free_bytes is None:
        return skipped([Check.FOLDER_SPACE], f"how much is free at {facts.path} cannot be told")[0]
    if facts.free_bytes < FOLDER_TIGHT_BYTES:
        return here.FOLDER_FULL.found(path=facts.path, free=size(facts.free_bytes))
    return well(Check.FOLDER_SPACE, f"{size(facts.free_bytes)} free at {facts.path}")


def _writers(facts: FolderFacts, wish: FolderWish) -> Finding:
    certain = wish.disposal.keeps or certain_by_rule(wish.disposal, has_marker=wish.settle.marker is not None)
    if wish.settle.check_writer and facts.may_ask:
        return well(Check.WRITERS, f"the kernel tells who writes in {facts.path}")
    if wish.settle.check_writer and wish.settle.require_answer:
        return here.WRITERS_REQUIRED.found(path=facts.path)
    if not certain:
        return here.WRITERS_UNKNOWN.found(path=facts.path, word=wish.disposal.word)
    how = "cannot be told" if wish.settle.check_writer else "are not asked for (not_open: off)"
    return well(Check.WRITERS, f"writers in {facts.path} {how}: what is quiet counts as finished")


def _disposal(facts: FolderFacts, wish: FolderWish, *, only_size: bool) -> Finding:
    if wish.disposal.keeps:
        return well(Check.DISPOSAL, f"files of {facts.path} are kept")
    word = wish.disposal.word
    if facts.hindrance is not None:
        return _hindered(facts, facts.hindrance, word)
    if facts.target is not None:
        target = (wish.disposal.move_to or b"").decode("utf-8", "backslashreplace")
        return here.TARGET_AWAY.found(path=facts.path, target=target, reason=facts.target, me=facts.me)
    if only_size:
        return here.UNPROVEN.found(path=facts.path, word=word)
    far = "" if facts.same_file_system else ", to another file system: they are copied first"
    return well(Check.DISPOSAL, f"files of {facts.path} can be {word}{far}")


def _hindered(facts: FolderFacts, hindrance: Hindrance, word: str) -> Finding:
    if hindrance.read_only:
        return here.READ_ONLY.found(path=facts.path, word=word)
    kind = here.STICKY if hindrance.sticky else here.NOT_DISPOSABLE
    return kind.found(where=hindrance.where, word=word, me=facts.me)
