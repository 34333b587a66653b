"""Which parts of an interrupted upload still count: the ledger, the store's own list and the plan must agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from syncd.model import Part, PartSpan


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`keep`: as good as sent. `check`: the store has it, compare with the local bytes. `send`: the rest."""

    keep: tuple[Part, ...]
    check: tuple[tuple[PartSpan, Part], ...]
    send: tuple[PartSpan, ...]


def reconcile(plan: Iterable[PartSpan], recorded: Iterable[Part], listed: Iterable[Part]) -> Reconciled:
    """Sort the plan's parts by what ledger and ListParts know of them."""
    ours = {part.number: part for part in recorded}
    theirs = {part.number: part for part in listed}
    keep: list[Part] = []
    check: list[tuple[PartSpan, Part]] = []
    send: list[PartSpan] = []
    for span in plan:
        here, there = ours.get(span.number), theirs.get(span.number)
        if there is None or there.size != span.size:
            send.append(span)
        elif here is not None and agree(here, there):
            keep.append(here)
        else:
            check.append((span, there))
    return Reconciled(tuple(keep), tuple(check), tuple(send))


def agree(here: Part, there: Part) -> bool:
    """Whether ledger and store speak of the same bytes."""
    same_sum = here.checksum is None or there.checksum is None or here.checksum == there.checksum
    return here.size == there.size and here.etag.strip('"') == there.etag.strip('"') and same_sum
