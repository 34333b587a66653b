"""This machine, as if a place lay on another file system: said where we ask what is mounted, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def mounted_as(kind: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is on the file system of `place`."""
    device = place.stat().st_dev
    here = (f"{os.major(device)}:{os.minor(device)}", "/", kind)
    monkeypatch.setattr("syncd.adapters.mounts._mounted", lambda _: [here])
