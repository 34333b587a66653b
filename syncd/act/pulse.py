"""Who hears bytes going out between two acknowledgements, so that nobody takes a slow link for a dead one.

A body counts as moving when a byte of it goes out that never went out before. Trying the same again is no progress, so
a destination that takes every body and keeps none falls silent all the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from syncd.errors import SyncdError
from syncd.model import Condition, OpenUpload, Part, RemoteObject, Stored, Target
from syncd.ports import Body, Clock, ObjectStore

READINGS = 2
"""A body may be read once to be signed and once to be sent; further readings are further attempts."""

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class BodyName:
    """Which body: of which transfer (by its token), and which part of it; 0 for the only one."""

    token: str
    number: int


class Pulse:
    """Remembers how far each body ever went, and when each transfer last moved. Any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._furthest: OrderedDict[BodyName, int] = OrderedDict()
        self._moved_at: OrderedDict[str, float] = OrderedDict()
        self._last_at = clock.monotonic()

    def went(self, body: BodyName, position: int) -> None:
        """The body has gone out up to here."""
        with self._lock:
            if position <= self._furthest.get(body, 0):
                return
            self._furthest[body] = position
            self._beat(body.token)

    def arrived(self, body: BodyName) -> None:
        """It was acknowledged: nothing more to remember."""
        with self._lock:
            self._furthest.pop(body, None)
            self._beat(body.token)

    def looked(self) -> None:
        """A block of a file was read to be compared with what is known of it."""
        self._last_at = self._clock.monotonic()

    def _beat(self, token: str) -> None:
        self._moved_at[token] = self._last_at = self._clock.monotonic()
        for known in (self._furthest, self._moved_at):
            if len(known) > _REMEMBERED:
                known.popitem(last=False)

    def moved_at(self, token: str | None) -> float | None:
        """Monotonic time at which a byte of this transfer last went further than ever; None if none did."""
        with self._lock:
            return None if token is None else self._moved_at.get(token)

    def last_at(self) -> float:
        """Monotonic time at which a byte of any transfer last went further than ever, or was compared; at first the start."""
        with self._lock:
            return self._last_at


class HeardBody:
    """A body whose reading is heard. What was read before has gone out when the next block is asked for."""

    def __init__(self, body: Body, name: BodyName, pulse: Pulse) -> None:
        self._body = body
        self._name = name
        self._pulse = pulse
        self._readings = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self._body.size

    @property
    def checksum(self) -> str:
        """The inner body's."""
        return self._body.checksum

    def read_at(self, offset: int, size: int) -> memoryview:
        """Hand through, and tell."""
        self._readings += offset == 0
        if self._readings <= READINGS:
            self._pulse.went(self._name, (self._readings - 1) * self.size + offset)
        return self._body.read_at(offset, size)

    def sent(self, count: int) -> None:
        """Hand through."""
        self._body.sent(count)


class HeardStore:
    """An object store whose bodies are heard; everything else goes straight through."""

    def __init__(
        self,
        store: ObjectStore,
        pulse: Pulse,
        passed: Callable[[], None] = lambda: None,
        ended: Callable[[SyncdError | None], None] = lambda _: None,
    ) -> None:
        """`passed` is called for every body that the store took: the destination works. `ended`: for every body, with its failure."""
        self._store = store
        self._pulse = pulse
        self._passed = passed
        self._ended = ended

    def create(self, target: Target) -> str:
        """As the store does it."""
        return self._store.create(target)

    def list_parts(self, target: Target, upload_id: str) -> Iterator[Part]:
        """As the store does it."""
        return self._store.list_parts(target, upload_id)

    def complete(
        self,
        target: Target,
        upload_id: str,
        parts: list[Part],
        *,
        size: int,
        checksum: str,
        condition: Condition,
    ) -> Stored:
        """As the store does it."""
        return self._store.complete(
            target, upload_id, parts, size=size, checksum=checksum, condition=condition
        )

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """As the store does it."""
        self._store.abort(bucket, key, upload_id)

    def head(self, bucket: str, key: str) -> RemoteObject | None:
        """As the store does it."""
        return self._store.head(bucket, key)

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        """As the store does it."""
        return self._store.list_uploads(bucket, key)

    def uploads_below(self, bucket: str, prefix: str) -> list[OpenUpload] | None:
        """As the store does it."""
        return self._store.uploads_below(bucket, prefix)

    def put(self, target: Target, body: Body, condition: Condition) -> Stored:
        """As the store does it, heard."""
        with self._heard(BodyName(target.token, 0), body) as heard:
            return self._store.put(target, heard, condition)

    def upload_part(self, target: Target, upload_id: str, number: int, body: Body) -> Part:
        """As the store does it, heard."""
        with self._heard(BodyName(target.token, number), body) as heard:
            return self._store.upload_part(target, upload_id, number, heard)

    @contextlib.contextmanager
    def _heard(self, name: BodyName, body: Body) -> Iterator[HeardBody]:
        try:
            yield HeardBody(body, name, self._pulse)
        except SyncdError as failure:
            self._ended(failure)
            raise
        self._pulse.arrived(name)
        self._passed()
        self._ended(None)
