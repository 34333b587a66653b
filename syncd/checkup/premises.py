"""This machine as the daemon would find it: who asks, what the kernel grants, the ledger's place, the folders."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from syncd.adapters import limits, machine, rights
from syncd.adapters.disk import LocalDisk, PatientDisk
from syncd.adapters.mounts import leads_far, lies_on_another_machine
from syncd.config.model import Config, Folder
from syncd.decide import premises
from syncd.decide.dispose import DisposalPolicy
from syncd.decide.findings import Check, Finding, without
from syncd.decide.troubles import here
from syncd.errors import FolderUnavailable
from syncd.policies import folder_policy

_PATIENCE_S: Final = 5.0
_OF_OTHERS, _WRITABLE_BY_OTHERS = 0o077, 0o022


def who(config: Config) -> Finding:
    """Whether the rights that are seen are the daemon's."""
    return premises.user(_name(os.geteuid()), machine.in_time(lambda: _owner(config.state), otherwise=None))


def _owner(ledger: Path) -> str | None:
    try:
        return _name(ledger.stat().st_uid)
    except OSError:
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


# -- the machine


def machine_itself(config: Config) -> Iterator[Finding]:
    """Limits and the ledger's place."""
    watched = [folder for folder in config.folders if folder.watch != "poll"]
    counts = [_directories(folder) for folder in watched]
    yield premises.watches(
        None if None in counts else sum(filter(None, counts)),
        limits.watches(),
        instance=not watched or limits.may_watch(),
        more=rights.MOST in counts,
    )
    upload = config.upload
    yield premises.descriptors(limits.open_files(_daemon(config)), files=upload.files, parts=upload.parts)
    facts = machine.in_time(lambda: _ledger_facts(config.state), otherwise=None)
    yield from premises.ledger(facts or _silent(config.state))


def _daemon(config: Config) -> int | None:
    """The one that runs, if any: its limits and mounts count."""
    return machine.lock_holder(Path(f"{config.state}.lock"))


def _directories(folder: Folder) -> int | None:
    """At most some ten thousand; None where it takes too long to count them."""
    root = os.fsencode(folder.path)
    silent: int | None = None
    return machine.in_time(
        lambda: sum(1 for _ in rights.directories(root, descend=_selected(folder))), otherwise=silent
    )


def _selected(folder: Folder) -> rights.Descend:
    """What is excluded (`lost+found`, the trash of a desktop) is in nobody's way."""
    return folder_policy(folder).selection.descends


def _ledger_facts(ledger: Path) -> premises.LedgerFacts:
    directory = next((place for place in ledger.parents if place.is_dir()), Path("/"))
    return premises.LedgerFacts(
        directory=str(directory),
        me=_name(os.geteuid()),
        made=ledger.parent.is_dir(),
        hindered=_hindered(directory, ledger),
        far=lies_on_another_machine(directory),
        exposed=_exposed(ledger),
        free_bytes=LocalDisk().free_bytes(os.fsencode(directory)),
    )


def _silent(ledger: Path) -> premises.LedgerFacts:
    return premises.LedgerFacts(
        directory=str(ledger.parent),
        me=_name(os.geteuid()),
        made=True,
        hindered="it does not answer",
        far=True,
        exposed=None,
        free_bytes=None,
    )


def _hindered(directory: Path, ledger: Path) -> str | None:
    place = os.fsencode(directory)
    if rights.is_read_only(place):
        return "it is mounted read-only"
    if not rights.may_change(place):
        return "permission denied"
    if ledger.exists() and not os.access(ledger, os.R_OK | os.W_OK, effective_ids=True):
        return f"{ledger.name} is another user's"
    return None


def _exposed(ledger: Path) -> tuple[str, int] | None:
    for path, forbidden in ((ledger.parent, _WRITABLE_BY_OTHERS), (ledger, _OF_OTHERS)):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & forbidden:
            return str(path), mode
    return None


# -- the folders


def folders(config: Config, *, only_size: bool) -> Iterator[Finding]:
    """Each watched folder."""
    disk = PatientDisk(LocalDisk(), far=leads_far, patience_s=_PATIENCE_S)
    pid = _daemon(config)
    for folder in config.folders:
        yield from _folder(folder, disk, pid, only_size=only_size)


def _folder(folder: Folder, disk: PatientDisk, pid: int | None, *, only_size: bool) -> Iterator[Finding]:
    root, policy = os.fsencode(folder.path), folder_policy(folder)
    try:
        identity = disk.root(root)
    except FolderUnavailable as away:
        yield here.FOLDER_AWAY.found(error=away, hint=away.hint or "see dmesg")
        yield from without(premises.OF_A_FOLDER, Check.FOLDER)
        return
    disposal = policy.disposal
    facts = premises.FolderFacts(
        path=str(folder.path),
        me=_name(os.geteuid()),
        mounted=identity.is_mount,
        free_bytes=disk.free_bytes(root),
        may_ask=machine.may_take_leases(root, pid),
        hindrance=None if disposal.keeps else _hindrance(root, folder, pid),
        target=_target(disposal, pid),
        same_file_system=disposal.move_to is None or _device(disposal.move_to) == identity.dev,
    )
    wish = premises.FolderWish(settle=policy.settle, disposal=disposal, require_mount=policy.require_mount)
    yield from premises.folder(facts, wish, only_size=only_size)


def _hindrance(root: bytes, folder: Folder, pid: int | None) -> premises.Hindrance | None:
    silent: rights.Removal | None = rights.Removal(root)
    anybodys = machine.has_capability(machine.CAP_FOWNER)
    found = machine.in_time(
        lambda: rights.hindrance(root, descend=_selected(folder), anybodys=anybodys, pid=pid),
        otherwise=silent,
    )
    if found is None:
        return None
    where = found.where.decode("utf-8", "backslashreplace")
    return premises.Hindrance(where=where, read_only=found.read_only, sticky=found.sticky)


def _target(disposal: DisposalPolicy, pid: int | None) -> str | None:
    """Why nothing can be moved there; None where all is well."""
    target = disposal.move_to
    if target is None:
        return None
    silent: str | None = "it does not answer"
    return machine.in_time(lambda: _target_trouble(target, pid), otherwise=silent)


def _target_trouble(target: bytes, pid: int | None) -> str | None:
    if not Path(os.fsdecode(target)).is_dir():
        return "there is no such directory"
    if rights.is_read_only(target, pid):
        return "it is mounted read-only"
    return None if rights.may_change(target) else "permission denied"


def _device(path: bytes) -> int | None:
    return machine.in_time(lambda: rights.device(path), otherwise=None)
