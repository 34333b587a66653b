"""Which transfers are in hand: should the handling of a file end the process, the next one learns which file it was.

A small file that outlives the process. It is not synced on purpose: a power cut is no file's fault, and another boot's
file is not believed. Refuses to be in the way: where it cannot be written nothing is remembered.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from pathlib import Path

from syncd.ports import Clock

SLOTS = 128
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_HEAD = 40
_SLOT = struct.Struct("<qd")  # the transfer, and when by boottime it was taken


class HandsFile:
    """Implements `ports.Hands`. Any thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[int, int] = {}
        self._fd: int | None = None
        self._left: list[int] = []
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._left = self._read_left()
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, _boot().ljust(_HEAD, b"\0"), 0)

    def left(self) -> list[int]:
        """Transfers that the last process of this boot had in hand when it ended."""
        return list(self._left)

    def take(self, transfer: int) -> None:
        """From now on it is in hand."""
        with self._lock:
            slot = next((free for free in range(SLOTS) if free not in self._slots.values()), None)
            if slot is not None and transfer not in self._slots:
                self._slots[transfer] = slot
                self._write(slot, transfer)

    def let_go(self, transfer: int) -> None:
        """It is not, or no longer."""
        with self._lock:
            slot = self._slots.pop(transfer, None)
            if slot is not None:
                self._write(slot, 0)

    def let_all_go(self) -> None:
        """The process is about to end by itself: that will be nobody's fault."""
        with self._lock:
            for slot in self._slots.values():
                self._write(slot, 0)
            self._slots.clear()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _read_left(self) -> list[int]:
        data = os.pread(self._fd or 0, _HEAD + SLOTS * _SLOT.size, 0)
        if len(data) < _HEAD or data[:_HEAD].rstrip(b"\0") != _boot():
            return []
        slots = data[_HEAD : len(data) - len(data[_HEAD:]) % _SLOT.size]
        now = (
            self._clock.boottime()
        )  # where the boot has no name for us (ProcSubset=pid): it began anew with the machine
        return [
            transfer for transfer, taken_at in _SLOT.iter_unpack(slots) if transfer > 0 and taken_at <= now
        ]

    def _write(self, slot: int, transfer: int) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._fd, _SLOT.pack(transfer, self._clock.boottime()), _HEAD + slot * _SLOT.size)


def _boot() -> bytes:
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""
