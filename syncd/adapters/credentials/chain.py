"""boto3's own chain as a source of credentials: environment, profile, credential_process, SSO, the machine's role.

Walked anew for each set, so that what was rotated on disk is seen; only ever in the keeper's thread or for a verb, never
while a request is signed. botocore's refreshing is not used: it would call on the way of a request. No complaint
repeats a value; of a helper program's own words the first line is shown, as the credential API's message is.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from syncd.adapters.credentials.api import Fetched, trial
from syncd.errors import LockedOut, SyncdError, Transient
from syncd.model import CredentialSet

if TYPE_CHECKING:
    from syncd.ports import Clock, ServerTime

_PATIENCE = 60.0
_SAID_LIMIT = 200


class CredentialChain:
    """The chain as the AWS tools walk it, for one profile or for whatever the surroundings say."""

    def __init__(self, *, profile: str | None, clock: Clock, server_time: ServerTime | None = None) -> None:
        self._profile = profile
        self._clock = clock
        self._server_time = server_time
        self._walk: threading.Thread | None = None

    def fetch(self) -> Fetched:
        """The set that the chain gives now. Raises Transient (wait) or LockedOut (a person must look)."""
        found = self._in_time()
        if found.expires_at is None:
            return Fetched(credentials=found, lifetime=math.inf)
        now = self._clock.now() if self._server_time is None else self._server_time.now()
        lifetime = found.expires_at - now
        if self._server_time is not None and self._server_time.offset() is None:
            lifetime = trial(lifetime)
        if lifetime <= 0:
            raise Transient(
                f"the credential chain gives a set that expired {-lifetime:.0f} s ago",
                hint="whoever writes the profile or answers for it must renew it in time",
            )
        return Fetched(credentials=found, lifetime=lifetime)

    def _in_time(self) -> CredentialSet:
        """A helper program may hang for ever: then its thread does, and not the keeper's."""
        if self._walk is not None and self._walk.is_alive():
            raise self._late()
        brought: list[CredentialSet | SyncdError] = []
        self._walk = threading.Thread(
            target=lambda: brought.append(self._resolved()), name="credential-chain", daemon=True
        )
        self._walk.start()
        self._walk.join(_PATIENCE)  # real time on purpose, as a socket's timeout is
        if not brought:
            raise self._late()
        if isinstance(brought[0], SyncdError):
            raise brought[0]
        return brought[0]

    @staticmethod
    def _late() -> Transient:
        return Transient(
            f"the credential chain did not answer in {_PATIENCE:.0f} s",
            hint="does its credential_process come to an end by itself?",
        )

    def _resolved(self) -> CredentialSet | SyncdError:
        try:
            return self._resolve()
        except SyncdError as error:
            return error
        except Exception as trouble:  # noqa: BLE001 - whatever the chain's many providers raise
            return _translated(trouble)

    def _resolve(self) -> CredentialSet:
        import botocore.session  # noqa: PLC0415 - 0.3 s, and only where the chain is used

        credentials: Any = botocore.session.Session(profile=self._profile).get_credentials()
        if credentials is None:
            raise LockedOut(
                "boto3's credential chain gives nothing",
                code="credentials",
                hint="set AWS_... variables for the daemon, write a profile, give the machine a role, or use "
                "credentials.api",
            )
        # As they were fetched just now: asked through its methods it compares them with the local clock and may fetch
        # again. Only a role to be assumed has not been fetched at all before it is asked.
        frozen = getattr(credentials, "_frozen_credentials", None) or credentials.get_frozen_credentials()
        expiry = getattr(credentials, "_expiry_time", None)
        return CredentialSet(
            access_key=frozen.access_key,
            secret_key=frozen.secret_key,
            session_token=frozen.token or None,
            expires_at=None if expiry is None else expiry.timestamp(),
        )


def _translated(trouble: Exception) -> SyncdError:
    from botocore import exceptions  # noqa: PLC0415

    what = f"boto3's credential chain failed: {type(trouble).__name__}"
    if isinstance(
        trouble, exceptions.ClientError | exceptions.BotoCoreError
    ):  # others may repeat what they read
        what = f"{what}: {_one_line(str(trouble))}"
    wrong = (
        exceptions.ProfileNotFound,
        exceptions.PartialCredentialsError,
        exceptions.ConfigNotFound,
        exceptions.ConfigParseError,
        exceptions.InvalidConfigError,
        exceptions.InfiniteLoopConfigError,
        exceptions.UnknownCredentialError,
    )
    if isinstance(trouble, wrong):
        hint = "mend the profile, or credentials.chain.profile; `aws sts get-caller-identity` shows what the AWS tools find"
        return LockedOut(what, code="credentials", hint=hint)
    return Transient(what, hint="`aws sts get-caller-identity` shows what the AWS tools find on this machine")


def _one_line(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:_SAID_LIMIT]
