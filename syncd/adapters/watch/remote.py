"""Whether a folder lies on a file system that other machines write to: their writes raise no event here."""

from __future__ import annotations

import os
from pathlib import Path

_REMOTE = frozenset(
    [
        "9p",
        "afs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
    ]
)
_MOUNTS = Path("/proc/self/mountinfo")


def file_system_type(device: int, mounts: Path = _MOUNTS) -> str | None:
    """The type of the mounted file system with this st_dev, by proc(5) mountinfo; None where it cannot be told."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        mount, _, kind = line.partition(" - ")
        if mount.split(" ", 3)[2:3] == [wanted]:
            return kind.split(" ", 1)[0]
    return None


def is_remote(device: int, mounts: Path = _MOUNTS) -> bool:
    """Whether others may write there without an event here."""
    return file_system_type(device, mounts) in _REMOTE


def lies_on_another_machine(directory: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether a directory, or the nearest one above it that exists, lies on such a file system."""
    for place in (directory, *directory.parents):
        try:
            return is_remote(place.stat().st_dev, mounts)
        except OSError:
            continue
    return False
