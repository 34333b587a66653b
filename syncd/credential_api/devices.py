"""Who may ask: the devices, known by the SHA-256 digests of their tokens. The tokens themselves are kept nowhere."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,57}")
"""A device's name: with `syncd-` before it a RoleSessionName of at most 64 characters."""


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

        Compares in constant time. Raises DevicesUnavailable.
        """
        ...


class DevicesUnavailable(Exception):
    """They cannot be looked up at the moment: try again later."""


def digest_of(token: str) -> str:
    """What is kept of a token: its SHA-256 in hex. Tokens are long and random, so nothing slower is needed."""
    return hashlib.sha256(token.encode()).hexdigest()
