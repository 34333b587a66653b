"""How long trouble waits: minutes to days are a column in the ledger, so that a restart forgets nothing.

Full jitter between a floor and an exponential ceiling; chance comes in as a number, so that tests choose it.
"""

from __future__ import annotations

FLOOR_S = 1.0
FILE_CEILING_S = 300.0
PROBE_FIRST_S = 2.0
PROBE_CEILING_S = 60.0
STRIKES_AT_MOST = 5
"""A file that was in hand so often in a row when the process ended is parked."""
ALONE_FROM = 2
"""With so many strikes a file is handled alone, after all others."""
FAR_FUTURE_S = 3600.0
"""A `not_before` further away than this was written under another clock: it counts as due."""


def file_delay(attempts: int, chance: float, *, wish: float | None = None) -> float:
    """Seconds until a file that failed `attempts` times (1 or more) is tried again; `wish`: Retry-After."""
    ceiling = min(FILE_CEILING_S, FLOOR_S * 2.0 ** min(attempts, 20))
    return max(FLOOR_S + (ceiling - FLOOR_S) * chance, wish or 0.0)


def probe_delay(failures: int, chance: float, *, wish: float | None = None) -> float:
    """Seconds until a locked-out or unreachable destination is tried again; `failures` counts from 1."""
    ceiling = min(PROBE_CEILING_S, PROBE_FIRST_S * 2.0 ** min(failures - 1, 20))
    return max(ceiling * (0.5 + 0.5 * chance), wish or 0.0)
