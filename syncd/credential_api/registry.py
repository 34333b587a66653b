"""A YAML file of devices, behind the port `Devices`; read anew when it has changed.

    defaults: {bucket: captures}
    devices:
      cam-07: {token_sha256: "HEX"}

A token is looked up by its digest in a dict, so ten thousand devices answer as fast as ten. Of a changed file that
is not good the log tells, and the old one goes on: a typing mistake must not lock a whole fleet out.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog
import yaml

from syncd.credential_api.devices import BadRegistration, Device, overlaps, problems_of

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

Stamp = tuple[int, int, int]
Entries = dict[str, tuple[str, Device]]  # by digest; the digest once more, to be compared


class _Loader(_FAST):  # type: ignore[misc]  # its base is one of two classes, both of yaml
    """YAML's, except that no key may come twice (which one of them would be revoked?), and times stay text."""

    yaml_implicit_resolvers: Final = {
        first: [each for each in resolvers if each[0] != _TIMESTAMP]
        for first, resolvers in _FAST.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """One mapping."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key.value, str):
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else id(key))
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class Registry:
    """The devices of one file."""

    def __init__(self, path: Path) -> None:
        """Reads it. Raises BadRegistration."""
        self._path = path
        self._reading = threading.Lock()  # guards _stamp; whoever does not get it goes on with what is there
        self.parses = 0  # how often the file was read
        self._stamp = self._look()
        self._entries = self._parsed()

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
            if stamp != self._stamp:
                self._stamp = stamp
                self._entries = self._parsed()
                log.info("registry_read", devices=len({each.name for _, each in self._entries.values()}))
        except BadRegistration as bad:
            log.error("registry_refused", problems=bad.problems[:20])  # noqa: TRY400 - it says all there is to say
        finally:
            self._reading.release()

    def _look(self) -> Stamp | None:
        """None where there is no file."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - once per request
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _parsed(self) -> Entries:
        self.parses += 1
        return {digest: (digest, device) for digest, device in read_registry(self._path)}


def read_registry(path: Path) -> list[tuple[str, Device]]:
    """Every digest with its device. Raises BadRegistration with all that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as trouble:
        reason = trouble.strerror if isinstance(trouble, OSError) else "it is not UTF-8"
        raise BadRegistration([f"{path}: cannot be read: {reason}"]) from None
    return parse_registry(text, path)


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
        document = yaml.load(text, Loader=_Loader) or {}  # noqa: S506 - a SafeLoader of our own
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BadRegistration([f"{path}{line}: cannot be read as YAML: {error.problem}"]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadRegistration([f"{path}: cannot be read as YAML ({type(error).__name__})"]) from None
    if not isinstance(document, dict) or not document.keys() <= {"devices", "defaults"}:
        raise BadRegistration([f"{path}: expected the keys devices and, if you like, defaults"])
    return document


@dataclass(frozen=True, slots=True)
class _Entry:
    digests: list[str]
    device: Device


def _entries(document: Mapping[str, Any], problems: list[str]) -> Iterator[_Entry]:
    devices, defaults = document.get("devices") or {}, document.get("defaults") or {}
    if not isinstance(defaults, dict) or not defaults.keys() <= {"bucket"}:
        problems.append("defaults: expected {bucket: NAME}")
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
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - without a zone, so it is refused below
    if moment is None:
        return None
    if moment.tzinfo is None:
        problems.append("expires is wrong, expected a time with its zone such as 2027-01-01T00:00:00Z")
        return None
    return moment.timestamp()


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
