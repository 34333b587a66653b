"""Who meddles while a file of three parts is being sent: a stranger at its key, a store that damages, a recorder.

Each scene is a world for `support/lives`: correct code comes through a crash at any point of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count as numbers
from pathlib import Path
from typing import Any

from support.fake_store import TOKEN, FakeStore, Kept
from support.lives import KEY, Trial

from syncd.decide.dispose import DisposalPolicy
from syncd.errors import Doubtful
from syncd.model import Algorithm, Stored, Target

FILM = b"abcdefghijklm"
STRANGERS = b"nopqrstuvwxyz"  # as many bytes as the film has
LAST_PART = 3

Maker = Callable[[int], Trial]
Scene = Callable[[Path], Maker]


class StrangersStore(FakeStore):
    """Somebody else's object comes under the key in the moment before the first Complete."""

    came = False

    def complete(self, target: Target, *args: Any, **kwargs: Any) -> Stored:
        if not self.came:
            self.came = True
            self.objects[KEY] = Kept(STRANGERS, '"strangers"', {}, Algorithm.NONE, "")
        return super().complete(target, *args, **kwargs)


class DamagingStore(FakeStore):
    """The first Complete takes effect, but what is kept is not what was sent; its answer is lost."""

    damaged = False

    def __init__(self, damage: Callable[[Kept], Kept]) -> None:
        super().__init__()
        self._damage = damage

    def complete(self, target: Target, *args: Any, **kwargs: Any) -> Stored:
        stored = super().complete(target, *args, **kwargs)
        if not self.damaged:
            self.damaged = True
            self.objects[KEY] = self._damage(self.objects[KEY])
            raise Doubtful("the answer was lost")
        return stored


def _one_byte_short(kept: Kept) -> Kept:
    return replace(kept, data=kept.data[:-1])


def _other_bytes(kept: Kept) -> Kept:
    return replace(kept, data=STRANGERS, checksum="b3RoZXJz")


def _other_token(kept: Kept) -> Kept:
    return replace(kept, metadata={TOKEN: "of another device"})


def strangers_object(place: Path) -> Maker:
    """Nothing of ours may replace it, and it is no proof of ours: the file is parked."""
    return _maker(place, StrangersStore, writes=0, stays=STRANGERS)


def strangers_object_overwritten(place: Path) -> Maker:
    """With `if_exists: overwrite` it makes way, for one write."""
    return _maker(place, StrangersStore, writes=1, overwrite=True)


def other_size(place: Path) -> Maker:
    """Our token over fewer bytes: written once more."""
    return _maker(place, lambda: DamagingStore(_one_byte_short), writes=2)


def other_checksum(place: Path) -> Maker:
    """Our token and size over other bytes: written once more."""
    return _maker(place, lambda: DamagingStore(_other_bytes), writes=2)


def other_token(place: Path) -> Maker:
    """Our very bytes, written by someone else in the same moment: theirs, not ours."""
    return _maker(place, lambda: DamagingStore(_other_token), writes=1, stays=FILM)


def deleted(place: Path) -> Maker:
    """The file is deleted once its object is proven."""
    return _going(place, DisposalPolicy(delete=True))


def moved(place: Path) -> Maker:
    """The file is moved once its object is proven."""
    return _going(place, DisposalPolicy(move_to=os.fsencode(place / "sent")))


def _going(place: Path, disposal: DisposalPolicy) -> Maker:
    root, sent = place / "inbox", place / "sent"
    root.mkdir(parents=True)

    def make(number: int) -> Trial:
        shutil.rmtree(sent, ignore_errors=True)
        sent.mkdir()
        (root / "film").write_bytes(FILM)
        return Trial(root, place / f"trial-{number}", FakeStore(), goes=FILM, disposal=disposal)

    return make


def _maker(
    place: Path,
    store: Callable[[], FakeStore],
    *,
    writes: int,
    stays: bytes | None = None,
    overwrite: bool = False,
) -> Maker:
    root = place / "inbox"
    root.mkdir(parents=True)
    (root / "film").write_bytes(FILM)
    return lambda number: Trial(
        root, place / f"trial-{number}", store(), writes=writes, stays=stays, overwrite=overwrite
    )


class Recorder:
    """Writes into the film once its last part is at the store, and before Complete."""

    def __init__(self, film: Path, *, restore_times: bool) -> None:
        self._film = film
        self._restore_times = restore_times
        self._wrote = False

    def __call__(self, number: int) -> None:
        if number != LAST_PART or self._wrote:
            return
        self._wrote = True
        status = self._film.stat()
        with self._film.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"!")
        if self._restore_times:
            os.utime(self._film, ns=(status.st_atime_ns, status.st_mtime_ns))


def late_change(place: Path, *, restore_times: bool) -> Maker:
    """Only the file as it is at last may be written, once: what was sent before it changed is no version any more."""
    root = place / "inbox"
    root.mkdir(parents=True)
    ages: Iterator[int] = numbers(1)

    def make(number: int) -> Trial:
        film = root / "film"
        film.write_bytes(FILM)
        os.utime(film, (age := next(ages), age))  # each trial's film is another than the last one's
        store = FakeStore()
        store.after_part = Recorder(film, restore_times=restore_times)
        return Trial(root, place / f"trial-{number}", store)

    return make
