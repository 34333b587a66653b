"""How often somebody may ask: so many at once, then one more after every while.

Each one is a single number, the moment from which all of its calls are free again (the generic cell rate algorithm), and
there are never more of them than `at_most`: the ones that asked longest ago are forgotten first. Of a Lambda each
container counts for itself.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST = 30
EVERY_S = 10.0
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`burst` calls at once, and one more every `every` seconds."""

    burst: int = BURST
    every: float = EVERY_S


class Bucket:
    """One rate for many, each known by a name."""

    def __init__(
        self, rate: Rate, *, monotonic: Callable[[], float] = time.monotonic, at_most: int = REMEMBERED
    ) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._at_most = at_most
        self._lock = threading.Lock()  # guards _free_at
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str) -> float:
        """Count one call: 0 where it may go on, else the seconds after which it may be tried again."""
        with self._lock:
            now = self._monotonic()
            free_at = max(self._free_at.get(name, now), now)
            wait = free_at - now - self._rate.every * (self._rate.burst - 1)
            if wait > 0:
                return wait
            self._free_at[name] = free_at + self._rate.every
            self._free_at.move_to_end(name)
            while len(self._free_at) > self._at_most:
                self._free_at.popitem(last=False)
            return 0.0

    def __len__(self) -> int:
        return len(self._free_at)


class Throttle:
    """Two of them: for each device, and for wrong tokens from each address.

    Right tokens are never held up by wrong ones of the same address: behind it may be a whole site with one lost machine.
    """

    def __init__(self, rate: Rate | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._devices = Bucket(rate or Rate(), monotonic=monotonic)
        self._strangers = Bucket(rate or Rate(), monotonic=monotonic)

    def device(self, name: str) -> float:
        """As `Bucket.take`, for one device."""
        return self._devices.take(name)

    def stranger(self, source: str) -> float:
        """As `Bucket.take`, for wrong tokens from an address."""
        return self._strangers.take(_network(source))


def _network(source: str) -> str:
    """An IPv6 customer has a whole /64 of addresses, which count as one."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source[:64]
    return source if address.version == 4 else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))  # noqa: PLR2004 - the version
