"""What would be done with the files that are there now: a scan of its own, page by page, against what the ledger knows.

Writes nothing and sends nothing. What a scan does not enter (excluded directories) or see (symlinks) is not named.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import Any

from syncd.act.plan import condition_for
from syncd.act.world import FolderPolicy
from syncd.decide.compare import moved_here
from syncd.decide.foresee import Action, FileFacts, foresee
from syncd.decide.keys import KeyFacts, key_for
from syncd.decide.plan import part_count, part_size_for
from syncd.decide.settle import marker_path
from syncd.errors import FolderUnavailable, Refused, SyncdError
from syncd.inside.explain import how_far
from syncd.inside.scene import Scene, shown
from syncd.model import Blind, Entry, Fingerprint, State, Transfer, Writer

PAGE = 2000
_NOWHERE = frozenset({State.SUPERSEDED, State.VANISHED})
_NOT_SETTLED = frozenset({State.DISCOVERED, State.DONE})
UNKNOWN_PREFIX = "{prefix}"
"""Stands in keys where nobody knows the prefix: it is the credential API's, which is not asked for a plan."""


def plan_document(at: str | None, scene: Scene) -> dict[str, Any]:
    """A page of files with what would be done; `next` goes on from there, null after the last. Raises LedgerFailure."""
    folders = list(scene.folders)
    folder, after = _read(at) if at is not None else (folders[0], b"")
    if folder not in scene.folders:  # taken out of the configuration since the last page
        return {"files": [], "next": None}
    files, last = _page(scene.folders[folder], after, scene)
    if last is not None:
        return {"files": files, "next": _written(folder, last)}
    rest = folders[folders.index(folder) + 1 :]
    return {"files": files, "next": _written(rest[0], b"") if rest else None}


def _written(folder: bytes, after: bytes) -> str:
    return f"{folder.hex()}:{after.hex()}"


def _read(at: str) -> tuple[bytes, bytes]:
    try:
        folder, after = at.split(":")
        return bytes.fromhex(folder), bytes.fromhex(after)
    except ValueError as error:
        raise SyncdError("a page begins where the one before said") from error


def _page(policy: FolderPolicy, after: bytes, scene: Scene) -> tuple[list[dict[str, Any]], bytes | None]:
    """The next files of a folder, and the path of the last one; None when there are no more."""
    trouble = scene.trouble(policy.path)
    if trouble is not None:
        return [_unseen(policy.path, trouble[0])], None
    try:
        with closing(_scan(policy, after, scene)) as entries:
            found = list(islice(entries, PAGE))
    except FolderUnavailable as missing:
        return [_unseen(policy.path, str(missing))], None
    files = [_file(item, policy, scene) for item in found]
    last = found[-1] if len(found) == PAGE else None
    return files, None if last is None else last.path if isinstance(last, Entry) else last.prefix


def _scan(policy: FolderPolicy, after: bytes, scene: Scene) -> Generator[Entry | Blind]:
    """Everything that is entered, excluded files too; whole directories before `after` are passed over."""

    def descend(path: bytes) -> bool:
        inside = path + b"/"
        return policy.selection.descends(path) and (inside > after or after.startswith(inside))

    scan = scene.disk.scan(
        policy.path, recursive=policy.selection.recursive, descend=descend, take=lambda path: path > after
    )
    for item in scan:
        if isinstance(item, Entry) or item.prefix > after:
            yield item


def _unseen(path: bytes, why: str) -> dict[str, Any]:
    return _entry(shown(path), Action.WAIT, why)


def _entry(path: str, action: Action, why: str, **known: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(("state", "key", "parts", "size", "sent"))
    return {"path": path, "action": action.value, "why": why, **unknown, **known}


# -- one file


def _file(item: Entry | Blind, policy: FolderPolicy, scene: Scene) -> dict[str, Any]:
    if isinstance(item, Blind):
        return _unseen(policy.path + b"/" + item.prefix, item.reason)
    exclusion = policy.selection.exclusion(item.path)
    row = _row(item, policy, scene, renamed_too=exclusion is None)
    key, parts, refusal = (None, None, None) if exclusion else _aim(item, row, policy, scene)
    open_question = exclusion is None and (row is None or row.state in _NOT_SETTLED)
    said = foresee(
        FileFacts(
            now=scene.clock.now(),
            seen=item.fingerprint,
            row=row,
            exclusion=exclusion,
            settle=policy.settle,
            writer=_writer(item, policy, scene) if open_question else Writer.UNKNOWN,
            marker_there=_marker(item, policy, scene) if open_question else None,
            refusal=refusal,
        )
    )
    return _entry(
        shown(policy.path + b"/" + item.path),
        said.action,
        said.why,
        state=row.state.value if row else None,
        key=key,
        parts=parts if said.action is Action.SEND else None,
        size=item.fingerprint.size,
        sent=how_far(row, scene)[0] if row else None,
    )


def _row(item: Entry, policy: FolderPolicy, scene: Scene, *, renamed_too: bool) -> Transfer | None:
    """What stands for the file, one at a time: of those that are gone a folder may have a million."""
    row = scene.ledger.at(policy.path, item.path)
    if row is not None and row.state not in _NOWHERE:
        return row
    return _renamed(item, policy, scene) if renamed_too else None


def _renamed(item: Entry, policy: FolderPolicy, scene: Scene) -> Transfer | None:
    """The row of a file that was renamed to this path, and that a scan will let follow."""
    for row in scene.ledger.like(item.fingerprint):
        elsewhere = row.folder == policy.path and row.path != item.path and moved_here(row, item.fingerprint)
        if elsewhere and not scene.disk.exists(policy.path, row.path):
            return row
    return None


def _writer(item: Entry, policy: FolderPolicy, scene: Scene) -> Writer:
    if not policy.settle.check_writer:
        return Writer.UNKNOWN
    try:
        return scene.disk.writer(policy.path, item.path)
    except SyncdError:
        return Writer.UNKNOWN


def _marker(item: Entry, policy: FolderPolicy, scene: Scene) -> bool | None:
    marker = marker_path(policy.settle, item.path)
    return None if marker is None else scene.disk.exists(policy.path, marker)


def _aim(
    item: Entry, row: Transfer | None, policy: FolderPolicy, scene: Scene
) -> tuple[str | None, int | None, str | None]:
    """Its key, its parts, and why it could not go; what is planned keeps its plan."""
    size = item.fingerprint.size
    if row is not None and row.key is not None and not _new_version(row, item.fingerprint):
        return row.key, part_count(size, row.part_size), None
    try:
        key, known = _key(item, policy, scene)
        parts = part_count(size, part_size_for(size, scene.plan))
        if known is not None:
            condition_for((policy.path, item.path), known, key, scene.ledger)
    except Refused as refused:
        return None, None, str(refused)
    return key, parts, None


def _new_version(row: Transfer, seen: Fingerprint) -> bool:
    return row.fingerprint.size != seen.size


def _key(item: Entry, policy: FolderPolicy, scene: Scene) -> tuple[str, str | None]:
    """The key, and the bucket if both are known for certain."""
    live = scene.live
    prefix = live.prefix() if live else scene.destination.prefix
    bucket = scene.destination.bucket or (live.bucket() if live else None)
    facts = KeyFacts(
        prefix=UNKNOWN_PREFIX if prefix is None else prefix,
        device=scene.device,
        folder=policy.name,
        path=item.path,
        mtime_ns=item.fingerprint.mtime_ns,
    )
    return key_for(policy.template, facts), bucket if prefix is not None else None
