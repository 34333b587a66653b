"""Who may ask: the devices, known by the SHA-256 digests of their tokens. The tokens themselves are kept nowhere."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,57}")
"""A device's name: with `syncd-` before it a RoleSessionName of at most 64 characters."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"(?!/)(?:(?!\.{1,2}/)[^/*?$\x00-\x1f\x7f]+/)+")
_LONGEST_PREFIX = 900  # bytes; a whole key has 1,024
_KMS_KEY = re.compile(r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device and what its sessions are for. `expires_at`: seconds since the epoch, None for never.

    `prefix` ends in `/`, so that no device's prefix is the beginning of another's name. `list_uploads` cannot be
    limited to the prefix: such a device sees the keys of all open uploads of the bucket.
    """

    name: str
    bucket: str
    prefix: str
    enabled: bool = True
    expires_at: float | None = None
    list_uploads: bool = False
    tagging: bool = False
    kms_key_arn: str | None = None


class Devices(Protocol):
    """Where devices are looked up."""

    def by_digest(self, digest: str) -> Device | None:
        """The device whose token has this SHA-256 (hex), enabled or not; None where there is none.

        Compares in constant time. Raises DevicesUnavailable and BadRegistration.
        """
        ...


class DevicesUnavailable(Exception):
    """They cannot be looked up at the moment: try again later."""


class BadRegistration(Exception):
    """What is written down about devices makes no sense: `problems` says where, and what was expected."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def problems_of(device: Device) -> Iterator[str]:
    """What is wrong with it, one sentence each."""
    if not NAME.fullmatch(device.name):
        yield "the name is none, expected a letter or digit, then at most 57 letters, digits, dots, _ or -"
    if not _BUCKET.fullmatch(device.bucket):
        yield "bucket is none, expected 3 to 63 small letters, digits, dots and hyphens"
    if not _PREFIX.fullmatch(device.prefix) or len(device.prefix.encode()) > _LONGEST_PREFIX:
        yield "prefix is none, expected folders/such/as/these/ with a / at the end and no *, ? or $ in it"
    if device.kms_key_arn is not None and not _KMS_KEY.fullmatch(device.kms_key_arn):
        yield (
            "kms_key_arn is none, expected arn:aws:kms:REGION:ACCOUNT:key/ID; an alias will not do:"
            " in a policy's Resource its ARN means the alias, not its key"
        )


def overlaps(devices: Iterable[Device]) -> Iterator[tuple[Device, Device]]:
    """Pairs of devices of which one may write where the other one does: equal or nested prefixes in one bucket."""
    ordered = sorted(devices, key=lambda each: (each.bucket, each.prefix))
    last: Device | None = None
    for device in ordered:
        if last is not None and last.bucket == device.bucket and device.prefix.startswith(last.prefix):
            yield last, device
        else:
            last = device


def moment_of(text: str) -> float:
    """Seconds since the epoch of a time such as 2027-01-01T00:00:00Z. Raises ValueError where it is none, or has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no zone")
    return moment.timestamp()


def new_token() -> str:
    """A token that nobody guesses: 256 random bits. The word before them is for programs that look for lost secrets."""
    return "syncd_" + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What is kept of a token: its SHA-256 in hex. Tokens are long and random, so nothing slower is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
