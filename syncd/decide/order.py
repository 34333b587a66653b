"""Which of the files that are due go next: the oldest first, with priorities that age, and no kind in another's way.

Large files hold their place for hours, small ones for moments. So large ones never take the last place, and one of them
always gets a place however many small ones come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from syncd.model import Transfer

BULKY_BYTES = 16 * 2**20
"""From this size on a file counts as large; the ledger's index of the queue has the same number."""

AGEING_S = 300.0
"""One step of priority is worth so much waiting: a lower one that has waited longer goes first all the same."""


def is_bulky(transfer: Transfer) -> bool:
    """Whether it is a large file."""
    return transfer.fingerprint.size >= BULKY_BYTES


def choose(
    due: Iterable[Transfer],
    priority: Callable[[Transfer], int],
    *,
    now: float,
    room: int,
    large_room: int,
    large_in_hand: int,
) -> list[Transfer]:
    """At most `room` of those that are due, at most `large_room` of them large, the first one first."""

    def rank(transfer: Transfer) -> tuple[float, int]:
        since = min(transfer.not_before or transfer.discovered_at, now)
        return since - priority(transfer) * AGEING_S, transfer.id

    ranked = sorted(due, key=rank)
    chosen: list[Transfer] = []
    for transfer in ranked:
        if len(chosen) == room:
            break
        if is_bulky(transfer):
            if large_room == 0:
                continue
            large_room -= 1
        chosen.append(transfer)
    first_large = next(filter(is_bulky, ranked), None)
    none_goes = large_in_hand == 0 and not any(map(is_bulky, chosen))
    if first_large is not None and none_goes and large_room > 0 and chosen:
        chosen[-1] = first_large
    return chosen
