"""Which open uploads belong to nobody, and which of those may be aborted.

Refuses to guess: an upload under a key that is just being created counts as owned, and a young one is left alone, for it may
be somebody's who has not told yet.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from syncd.model import OpenUpload

OLD_ENOUGH_S = 86_400.0


class Standing(enum.StrEnum):
    """Whose an open upload is."""

    OWNED = "owned"  # of a transfer that goes on with it
    LEAVING = "leaving"  # given up; the daemon aborts it by itself
    YOUNG = "young"  # of nobody we know, but too young to be sure
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """What the ledger says: uploads that go on, keys whose upload may not be recorded yet, uploads that are given up.

    To be asked for after the listing: what was in the ledger before may have been recorded since.
    """

    uploads: Collection[str]
    creating: Collection[str]
    leaving: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An open upload, how old it is, and whose."""

    upload: OpenUpload
    age_s: float
    standing: Standing


def sort(uploads: Iterable[OpenUpload], owners: Owners, now: float) -> list[Found]:
    """Each upload with its standing, the oldest first. `now`: by the store's clock."""
    found = [
        Found(upload=each, age_s=max(now - each.initiated_at, 0.0), standing=_standing(each, owners, now))
        for each in uploads
    ]
    return sorted(found, key=lambda each: (-each.age_s, each.upload.key))


def _standing(upload: OpenUpload, owners: Owners, now: float) -> Standing:
    if upload.upload_id in owners.uploads or upload.key in owners.creating:
        return Standing.OWNED
    if upload.upload_id in owners.leaving:
        return Standing.LEAVING
    return Standing.ORPHAN if now - upload.initiated_at >= OLD_ENOUGH_S else Standing.YOUNG


def alone_below(prefix: str, configured: str | None, device: str) -> bool:
    """Whether what lies below the prefix is this device's alone, as far as can be told: the API gave it, or it names it."""
    return bool(prefix) and (configured is None or device in configured)
