"""Lets a device into a registry: one more entry in the file, all else in it stays as its owner wrote it.

The file is replaced whole, so a server that reads it sees the old one or the new one. Refuses what it cannot do by
adding lines, and what would not read back as the same devices and the new one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from syncd.credential_api.devices import BadRegistration, Device
from syncd.credential_api.registry import SETTLED_S, clashes, parse_registry

_FAST: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NEW: Final = """\
# The devices that may ask for credentials: syncd credential-api serve --registry. It is read anew when it changes.
# Of a token its SHA-256 is kept; the token itself is nowhere but on the device.
devices:
"""
_MODE: Final = 0o640

Found = list[tuple[str, Device]]


class ReadersLost(PermissionError):
    """The new file cannot be given the old one's group, so whoever reads it as a member of that could not any more."""


class NotEditable(Exception):
    """The file is not written in a way that lines can be added to."""


def add_device(path: Path, device: Device, digest: str, *, spell_bucket: bool = True) -> None:
    """Put the device into the file, which is made if there is none. Raises BadRegistration, NotEditable, OSError."""

    def edit(before: str) -> tuple[Found, str | None]:
        known = parse_registry(before, path)
        if any(each.name == device.name for _, each in known):
            raise BadRegistration([f"{path}: devices.{device.name}: is there already, expected another name"])
        entry = _entry(device, digest, spell_bucket=spell_bucket)
        return [*known, (digest, device)], _insert(before, entry)

    _edit(path, edit)


def add_token(path: Path, name: str, digest: str) -> None:
    """Give a device one more token, so that it can be changed without a gap. Raises as `add_device`."""

    def edit(before: str) -> tuple[Found, str | None]:
        known = parse_registry(before, path)
        device = next((each for _, each in known if each.name == name), None)
        if device is None:
            raise BadRegistration([f"{path}: devices.{name}: is not there, expected one that is"])
        return [*known, (digest, device)], _append_token(before, name, digest)

    _edit(path, edit)


def _edit(path: Path, edit: Callable[[str], tuple[Found, str | None]]) -> None:
    """`edit` gives what the file is to say, and the text that is to say it, None if there is none."""
    path = path.resolve()
    with _alone(path.parent):
        wanted, after = edit(path.read_text(encoding="utf-8") if path.exists() else _NEW)
        if problems := [f"{path}: {problem}" for problem in clashes(wanted)]:
            raise BadRegistration(problems)
        if after is None or not _says(after, wanted):
            raise NotEditable("it is not written in a way that lines can be added to")
        _replace(path, after)


def _says(text: str, wanted: Found) -> bool:
    try:
        return dict(parse_registry(text, Path())) == dict(wanted)
    except BadRegistration:
        return False


def default_bucket(path: Path) -> str | None:
    """What the file says under `defaults`."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_FAST)  # noqa: S506 - a SafeLoader
        return str(document["defaults"]["bucket"])
    except (OSError, yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError, AttributeError):
        return None  # what is wrong with it is told when it is read in earnest


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Of several that add at once, each waits for the one before."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _entry(device: Device, digest: str, *, spell_bucket: bool) -> list[str]:
    """Its lines, as far as they say more than the defaults."""
    lines = [f"{_text(device.name)}:", f'  token_sha256: "{digest}"']
    if spell_bucket:
        lines.append(f"  bucket: {_text(device.bucket)}")
    if device.prefix != f"{device.name}/":
        lines.append(f"  prefix: {_text(device.prefix)}")
    if device.expires_at is not None:
        moment = datetime.fromtimestamp(device.expires_at, UTC).isoformat()
        lines.append(f'  expires: "{moment}"')
    lines += [f"  {key}: true" for key in ("list_uploads", "tagging") if getattr(device, key)]
    if device.kms_key_arn is not None:
        lines.append(f"  kms_key_arn: {_text(device.kms_key_arn)}")
    return lines


def _text(value: str) -> str:
    """Quoted, so that `no` and `010` are names."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _insert(text: str, entry: list[str]) -> str | None:
    """The text with the entry behind the last device; None where it is not clear how."""
    devices = _value(yaml.compose(text, Loader=_FAST), "devices")
    if devices is None:
        return None
    lines = text.splitlines(keepends=True)
    if isinstance(devices, MappingNode) and not devices.flow_style and devices.value:
        at, indent = _last_line(devices) + 1, devices.value[0][0].start_mark.column
    elif devices.tag.endswith(":null") and not devices.value:
        at, indent = devices.start_mark.line + 1, 2
    else:
        return None
    if at > 0 and at <= len(lines) and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    return "".join([*lines[:at], *(f"{' ' * indent}{line}\n" for line in entry), *lines[at:]])


def _append_token(text: str, name: str, digest: str) -> str | None:
    """The text with the digest beside the one of the device, or in its list; None where it is not clear how."""
    tokens = _value(_value(_value(yaml.compose(text, Loader=_FAST), "devices"), name), "token_sha256")
    if tokens is None:
        return None
    lines, begin, end = text.splitlines(keepends=True), tokens.start_mark, tokens.end_mark
    if isinstance(tokens, SequenceNode) and not tokens.flow_style:
        lines.insert(_last_line(tokens) + 1, f'{" " * begin.column}- "{digest}"\n')
        return "".join(lines)
    if begin.line != end.line:
        return None
    line = lines[begin.line]
    kept = line[begin.column : end.column].removeprefix("[").removesuffix("]")
    lines[begin.line] = f'{line[: begin.column]}[{kept}, "{digest}"]{line[end.column :]}'
    return "".join(lines)


def _value(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _last_line(node: Node) -> int:
    """The line that its last value ends in; a block's own end is where the next one begins."""
    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    if isinstance(node, SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    return int(node.end_mark.line)


def _replace(path: Path, text: str) -> None:
    """Whoever could read it as one of its group still can. Raises ReadersLost, and the old file stays."""
    before = path.stat() if path.exists() else None
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if before is not None:
                _hand_over(descriptor, before)
            file.write(text)
            file.flush()
            _look_settled(descriptor)
            os.fsync(descriptor)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _hand_over(descriptor: int, before: os.stat_result) -> None:
    """Only root may give a file away; everybody may give it to a group that he is in."""
    for owner in (before.st_uid, -1):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, owner, before.st_gid)
            break
    if before.st_mode & stat.S_IRWXG and os.fstat(descriptor).st_gid != before.st_gid:
        raise ReadersLost(errno.EPERM, f"it belongs to the group {before.st_gid}, which you are not in")
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _look_settled(descriptor: int) -> None:
    """A server lets a file rest before it believes it. This one gets its name when it is whole: there is nothing to wait for."""
    earlier = time.time_ns() - int(2e9 * SETTLED_S)
    os.utime(descriptor, ns=(earlier, earlier))
