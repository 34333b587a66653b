"""How a new ledger finds out whether it is the first of its device, or takes the place of one that was lost."""

from __future__ import annotations

LOOKS_IN_VAIN = 20
"""So many new files that the store does not know, one after the other: this is no lost ledger but a new device."""


class Strangers:
    """How many files in a row were looked for at the store in vain, in the life of this process."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._met_one = False

    def worth_a_look(self) -> bool:
        """Whether another small file of a first scan is looked for."""
        return self._met_one or self._in_a_row < LOOKS_IN_VAIN

    def met(self, *, known: bool) -> None:
        """What a look brought."""
        self._met_one = self._met_one or known
        self._in_a_row += 1
