"""What is mounted where, by proc(5) mountinfo: never asks a mounted file system itself, which might not answer."""

from __future__ import annotations

import os
import re
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
_LINKS_AT_MOST = 40  # as the kernel's own limit


def file_system_type(device: int, mounts: Path = _MOUNTS) -> str | None:
    """The type of the mounted file system with this st_dev; None where it cannot be told."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    return next((kind for dev, _, kind in _mounted(mounts) if dev == wanted), None)


def is_remote(device: int, mounts: Path = _MOUNTS) -> bool:
    """Whether other machines may write there, without an event here."""
    return file_system_type(device, mounts) in _REMOTE


def lies_on_another_machine(directory: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether a directory, or the nearest one above it that exists, lies on such a file system."""
    for place in (directory, *directory.parents):
        try:
            return is_remote(place.stat().st_dev, mounts)
        except OSError:
            continue
    return False


def leads_far(path: bytes, mounts: Path = _MOUNTS) -> bool:
    """Whether an absolute path leads to where another machine or process answers, who may not: network, FUSE, autofs.

    Symlinks are followed by hand, one step at a time, so that nothing far is touched to find that out.
    """
    kinds = {place: kind for _, place, kind in _mounted(mounts)}
    if not any(map(_is_far, kinds.values())):
        return False
    walked, ahead, links = Path("/"), os.fsdecode(path).split("/")[::-1], 0
    while not _is_far(kinds.get(str(walked), "")):
        if not ahead or links > _LINKS_AT_MOST:
            return False
        name = ahead.pop()
        step = walked.parent if name == ".." else walked / name
        link = None if _is_far(kinds.get(str(step), "")) else _link_at(step)
        if link is None:
            walked = step
        else:
            links += 1
            walked = Path("/") if link.startswith("/") else walked
            ahead += link.split("/")[::-1]
    return True


def _link_at(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _is_far(kind: str) -> bool:
    return kind in _REMOTE or kind in {"autofs", "fuse"} or kind.startswith("fuse.")


def _mounted(mounts: Path) -> list[tuple[str, str, str]]:
    """Device, place and type of each mount; the later of two at one place lies above the other."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        mount, _, kind = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) > 4:  # noqa: PLR2004 - id, parent, device, root, place
            found.append((fields[2], _unescaped(fields[4]), kind.split(" ", 1)[0]))
    return found


def _unescaped(text: str) -> str:
    r"""A blank stands as \040 in there."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
