"""Who may ask: the long-lived key and the sessions given out by AssumeRole, kept on disk, readable by the owner only."""

from __future__ import annotations

import json
import os
import secrets
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from syncd.demo.store.policy import Policy, parse

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_REMEMBER_EXPIRED = (
    86_400.0  # an expired session is remembered for a day: ExpiredToken, not InvalidAccessKeyId
)


def write_json(path: Path, document: Any) -> None:
    """Put the document at the path whole or not at all, readable by the owner only."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    temporary.replace(path)


def random_key(prefix: str) -> str:
    """An access key id of AWS's form: AKIA... lives long, ASIA... belongs to a session."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(16))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What AssumeRole gave out; `policy` is the session policy's text."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: float
    name: str
    policy: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed a request. Without a session it is the long-lived key, which may do everything."""

    access_key: str
    secret_key: str = field(repr=False)
    session: Session | None = None
    rights: tuple[Policy, ...] = ()

    def may(self, action: str, resource: str) -> bool:
        """Whether all the policies that bind it allow the action."""
        return self.session is None or all(each.allows(action, resource) for each in self.rights)


class Keyring:
    """The keys that this store knows, on disk under `directory`; made at the first start, found again later."""

    def __init__(self, directory: Path, role: Policy) -> None:
        self._role = role
        self._lock = threading.Lock()
        self._sessions_directory = directory / "sessions"
        self._sessions_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.access_key, self.secret_key = self._long_lived(directory / "keys.json")
        self._principals = {self.access_key: Principal(self.access_key, self.secret_key)}
        for path in self._sessions_directory.glob("*.json"):
            self._admit(Session(**json.loads(path.read_text("utf-8"))))

    def find(self, access_key: str) -> Principal | None:
        """Whose key it is; expired sessions are found for a day, so that they can be told so."""
        return self._principals.get(access_key)

    def issue(self, *, name: str, policy: str | None, expires_at: float, now: float) -> Session:
        """Make a session and keep it. Raises policy.MalformedPolicyError."""
        session = Session(
            access_key=random_key("ASIA"),
            secret_key=secrets.token_urlsafe(30),
            token=secrets.token_urlsafe(180),
            expires_at=expires_at,
            name=name,
            policy=policy,
        )
        self._admit(session)
        write_json(self._path(session), asdict(session))
        self._forget_expired(now - _REMEMBER_EXPIRED)
        return session

    def _admit(self, session: Session) -> None:
        rights = (self._role,) if session.policy is None else (self._role, parse(session.policy))
        principal = Principal(session.access_key, session.secret_key, session, rights)
        with self._lock:
            self._principals[session.access_key] = principal

    def _forget_expired(self, before: float) -> None:
        with self._lock:
            for principal in list(self._principals.values()):
                if principal.session is not None and principal.session.expires_at < before:
                    del self._principals[principal.access_key]
                    self._path(principal.session).unlink(missing_ok=True)

    def _path(self, session: Session) -> Path:
        return self._sessions_directory / f"{session.access_key}.json"

    @staticmethod
    def _long_lived(path: Path) -> tuple[str, str]:
        if not path.exists():
            write_json(path, {"access_key": random_key("AKIA"), "secret_key": secrets.token_urlsafe(30)})
        document = json.loads(path.read_text("utf-8"))
        return document["access_key"], document["secret_key"]
