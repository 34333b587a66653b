"""A YAML file of devices, behind the port `Devices`; read anew when it has changed.

    defaults: {bucket: captures}
    devices:
      cam-07: {token_sha256: "HEX"}

A token is looked up by its digest in a dict, so ten thousand devices answer as fast as ten. Of a changed file that
is not good the log tells, and the old one goes on: a typing mistake must not lock a whole fleet out, nor must a file
that is just being written. So a file without `devices` is refused, and one that was written to less than a second ago
is left for the next request.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
import yaml

from syncd.credential_api.devices import BadRegistration, Device, moment_of, overlaps, problems_of

log = structlog.get_logger()

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"
_KEYS: Final = {
    "token_sha256": (str, list),
    "bucket": (str,),
    "prefix": (str,),
    "enabled": (bool,),
    "expires": (str,),
    "list_uploads": (bool,),
    "tagging": (bool,),
    "kms_key_arn": (str,),
}
_NAMES: Final = {str: "text, in quotes", list: "a list", bool: "true or false"}
_MAY_BE_NULL: Final = {"expires", "kms_key_arn", "prefix"}

SETTLED_S: Final = 1.0
"""How old what was written last must be: whoever writes in place writes again before that."""
RETRY_S: Final = 5.0
"""How soon a file that was refused is tried again as it is: a directory's mode and a want of descriptors do not show."""

Entries = dict[str, tuple[str, Device]]  # by digest; the digest once more, to be compared


class Stamp(NamedTuple):
    """What changes when the file does."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class _Refusal:
    stamp: Stamp | None
    problems: list[str]
    again_at: float


class _Loader(_FAST):  # type: ignore[misc]  # its base is one of two classes, both of yaml
    """YAML's, except that no key may come twice (which one of them would be revoked?), and times stay text."""

    yaml_implicit_resolvers: Final = {
        first: [each for each in resolvers if each[0] != _TIMESTAMP]
        for first, resolvers in _FAST.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """One mapping."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class Registry:
    """The devices of one file."""

    def __init__(
        self,
        path: Path,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads it, however young it is. `wall` is the clock of the file system. Raises BadRegistration."""
        self._path = path
        self._wall = wall
        self._monotonic = monotonic
        self._reading = threading.Lock()  # guards all below; who does not get it goes on with what is there
        self.parses = 0  # how often the file was read
        self._refused: _Refusal | None = None
        self._stamp = self._look()
        self._entries = self._parsed(self._stamp)

    def by_digest(self, digest: str) -> Device | None:
        """The device of this digest, by the file as it is now."""
        self._renew()
        kept, device = self._entries.get(digest, ("", None))
        return device if hmac.compare_digest(kept, digest) else None

    def _renew(self) -> None:
        if not self._reading.acquire(blocking=False):
            return
        try:
            stamp = self._look()
            if stamp == self._stamp:
                self._refused = None
            elif self._due(stamp):
                self._take(stamp)
        finally:
            self._reading.release()

    def _due(self, stamp: Stamp | None) -> bool:
        """Not while somebody may be writing, and not with every request where it was refused as it is."""
        if stamp is not None and abs(self._wall() - stamp.mtime_ns / 1e9) < SETTLED_S:
            return (
                False  # a time to come is no age: another machine's clock must not keep a file out for hours
            )
        refused = self._refused
        return refused is None or refused.stamp != stamp or self._monotonic() >= refused.again_at

    def _take(self, stamp: Stamp | None) -> None:
        try:
            self._entries = self._parsed(stamp)
        except BadRegistration as bad:
            self._refuse(stamp, bad.problems)
        except Exception as surprise:  # noqa: BLE001 - whatever it is, the devices that are there must go on
            self._refuse(stamp, [f"{self._path}: cannot be read ({type(surprise).__name__})"])
        else:
            self._stamp, self._refused = stamp, None
            log.info("registry_read", devices=len({each.name for _, each in self._entries.values()}))

    def _refuse(self, stamp: Stamp | None, problems: list[str]) -> None:
        """What was told already is not told again."""
        told = self._refused
        if told is None or (told.stamp, told.problems) != (stamp, problems):
            log.error("registry_refused", problems=problems[:20])
        self._refused = _Refusal(stamp, problems, self._monotonic() + RETRY_S)

    def _look(self) -> Stamp | None:
        """None where there is no file."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once per request
        except OSError:
            return None
        return Stamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)

    def _parsed(self, stamp: Stamp | None) -> Entries:
        self.parses += 1
        text = _text(self._path)
        if self._look() != stamp:
            raise BadRegistration([f"{self._path}: changed while it was read, expected one that is whole"])
        return {digest: (digest, device) for digest, device in parse_registry(text, self._path)}


def read_registry(path: Path) -> list[tuple[str, Device]]:
    """Every digest with its device. Raises BadRegistration with all that is wrong."""
    return parse_registry(_text(path), path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as trouble:
        reason = trouble.strerror if isinstance(trouble, OSError) else "it is not UTF-8"
        raise BadRegistration([f"{path}: cannot be read: {reason}"]) from None


def parse_registry(text: str, path: Path) -> list[tuple[str, Device]]:
    """As `read_registry`, from the file's content."""
    problems: list[str] = []
    found: list[tuple[str, Device]] = []
    for entry in _entries(_document(text, path), problems):
        found += [(digest, entry.device) for digest in entry.digests]
    problems += clashes(found)
    if problems:
        raise BadRegistration([f"{path}: {problem}" for problem in problems])
    return found


def _document(text: str, path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader of our own
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BadRegistration([f"{path}{line}: cannot be read as YAML: {error.problem}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError, AttributeError) as error:
        # The last four are those of yaml's own constructors, where a tag does not fit: `!!bool x`.
        raise BadRegistration([f"{path}: cannot be read as YAML ({type(error).__name__})"]) from None
    if not isinstance(document, dict) or not {"devices"} <= document.keys() <= {"devices", "defaults"}:
        raise BadRegistration(
            [f"{path}: expected the keys devices ({{}} where there is none) and, if you like, defaults"]
        )
    return document


@dataclass(frozen=True, slots=True)
class _Entry:
    digests: list[str]
    device: Device


def _entries(document: Mapping[str, Any], problems: list[str]) -> Iterator[_Entry]:
    devices, defaults = (
        {} if (part := document.get(key)) is None else part for key in ("devices", "defaults")
    )
    if not isinstance(defaults, dict) or not defaults.keys() <= {"bucket"}:
        problems.append("defaults: expected {bucket: NAME}")
        return
    if not isinstance(defaults.get("bucket", ""), str):
        problems.append("defaults.bucket is wrong, expected text, in quotes")
        return
    if not isinstance(devices, dict):
        problems.append("devices: expected one key for each device")
        return
    for name, fields in devices.items():
        own = list(_field_problems(name, fields))
        if not own:
            entry = _entry(name, {**defaults, **fields}, own)
            yield from [entry] if entry is not None else []
        problems += [f"devices.{name}: {problem}" for problem in own]


def _field_problems(name: Any, fields: Any) -> Iterator[str]:
    if not isinstance(name, str):
        yield "the name is no text, expected it in quotes"
    if not isinstance(fields, dict):
        yield "expected keys such as token_sha256 and bucket"
        return
    for key, value in fields.items():
        if key not in _KEYS:
            yield f"{key} is no key of a device, expected one of {', '.join(_KEYS)}"
        elif not isinstance(value, _KEYS[key]) and not (value is None and key in _MAY_BE_NULL):
            yield f"{key} is wrong, expected {' or '.join(_NAMES[kind] for kind in _KEYS[key])}"


def _entry(name: str, fields: Mapping[str, Any], problems: list[str]) -> _Entry | None:
    given = fields.get("token_sha256", [])
    digests = [given] if isinstance(given, str) else given
    if not digests or not all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in digests):
        problems.append(
            "token_sha256 is wrong, expected the SHA-256 of the token as 64 hex digits, in quotes"
        )
    if "bucket" not in fields:
        problems.append("bucket is missing, expected one here or in defaults")
    expires_at = _moment(fields.get("expires"), problems)
    if problems:
        return None
    device = Device(
        name=name,
        bucket=fields["bucket"],
        prefix=fields.get("prefix") or f"{name}/",
        enabled=fields.get("enabled", True),
        expires_at=expires_at,
        list_uploads=fields.get("list_uploads", False),
        tagging=fields.get("tagging", False),
        kms_key_arn=fields.get("kms_key_arn"),
    )
    problems += problems_of(device)
    return _Entry([each.lower() for each in digests], device)


def _moment(text: str | None, problems: list[str]) -> float | None:
    try:
        return None if text is None else moment_of(text)
    except ValueError:
        problems.append("expires is wrong, expected a time with its zone such as 2027-01-01T00:00:00Z")
        return None


def clashes(found: list[tuple[str, Device]]) -> Iterator[str]:
    """Where two devices share a token or a place, one sentence each."""
    owners: dict[str, str] = {}
    for digest, device in found:
        if digest in owners:
            yield f"devices.{device.name}: has a token that {owners[digest]} has too, expected one of its own"
        owners.setdefault(digest, device.name)
    for one, other in overlaps({device.name: device for _, device in found}.values()):
        yield (
            f"devices.{other.name}: its prefix {other.prefix} lies in that of {one.name} ({one.prefix}),"
            " expected prefixes that are apart"
        )
