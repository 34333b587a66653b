"""What the facts that `syncd doctor` gathered about the servers mean: each check's verdict, and the trouble, if any.

Thresholds are here, words in `troubles`; `premises` judges this machine. Nothing is asked or measured here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from syncd.decide.findings import Check, Finding, well
from syncd.decide.troubles import servers
from syncd.decide.words import moment, span
from syncd.errors import EncryptionIgnored, LockedOut, SyncdError, Transient

CLOCK_TOLERANCE_S: Final = 60.0
"""As `adapters.server_time` has it: within that the machine's own clock signs."""
CERTIFICATE_NOTICE_S: Final = 14 * 86_400.0
SHORT_LIFE_S: Final = 300.0
HASTY_RULE_S: Final = 3 * 86_400.0

_REFUSED, _FORBIDDEN, _TOO_MANY, _BROKEN = 401, 403, 429, 500
_LATE: Final = frozenset({408, 425})
_REDIRECTED: Final = 400  # all below: an answer that is no refusal, and not what was meant


# -- the way


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that the configuration names: `key` is where, `ca_key` where whom to believe stands."""

    host: str
    port: int
    key: str
    ca_key: str


def certificate(check: Check, server: Server, issuer: str, left_s: float, ends_at: float) -> Finding:
    """A certificate that was believed: for how long still."""
    if left_s < CERTIFICATE_NOTICE_S:
        return servers.ENDS_SOON.found(
            at=check, host=server.host, key=server.key, issuer=issuer, left=span(left_s), end=moment(ends_at)
        )
    return well(
        check, f"{server.host}:{server.port} proves its name by {issuer}, until {moment(ends_at)[:10]}"
    )


# -- the credential API


def api_trouble(error: SyncdError, *, device: str) -> Finding:
    """Why the API gave no credentials."""
    status, told = error.status, str(error)
    if status is None:
        return _unanswered(error)
    if status == _REFUSED:
        return servers.WRONG_TOKEN.found(error=told, device=device)
    if status == _FORBIDDEN:
        return servers.WRONG_DEVICE.found(error=told, device=device)
    if status == _TOO_MANY:
        wish = error.retry_after if isinstance(error, Transient) else None
        return servers.TOO_MANY.found(error=told, wait=span(wish) if wish else "a minute")
    if status >= _BROKEN or status in _LATE:
        return servers.API_BROKEN.found(error=told)
    return (servers.PORTAL if status < _REDIRECTED else servers.NO_API).found(error=told)


def _unanswered(error: SyncdError) -> Finding:
    if isinstance(error, LockedOut) and error.code == "credentials":
        return servers.NO_TOKEN.found(error=error, hint=error.hint or "it must hold the device's token")
    if isinstance(error, LockedOut):
        return servers.UNUSABLE_FILE.found(at=Check.API_ANSWER, error=error, hint=error.hint or "")
    return servers.API_SILENT.found(error=error)


def credentials(whose: str, where: str, left_s: float | None, ends_at: float | None) -> Finding:
    """Credentials that were had: for how long. `left_s`: by the servers' clock, None without end."""
    if left_s is None or ends_at is None:
        return well(Check.CREDENTIALS, f"{whose} for {where}, without end")
    if left_s < SHORT_LIFE_S:
        return servers.SHORT_LIFE.found(left=span(left_s))
    return well(Check.CREDENTIALS, f"{whose} for {where}, until {moment(ends_at)} ({span(left_s)})")


# -- the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where the trial writes. `configured`, `given`: the prefix by the configuration and by the API, None: it says none."""

    bucket: str
    prefix: str
    configured: str | None
    given: str | None


def store_trouble(check: Check, error: SyncdError, aim: Aim) -> Finding:
    """Why a request to the store was not done; at the check that is to blame, else at the one that asked."""
    hint = error.hint or "look at what the store says, and at destination.endpoint_url"
    code = error.code if isinstance(error, LockedOut) else None
    if isinstance(error, EncryptionIgnored):
        return servers.NO_ENCRYPTION.found(at=check, error=error)
    if code == "clock":
        return servers.CLOCK_REFUSED.found(error=error)
    if check is Check.PUT and code in {"region", "bucket", "credentials", "permission"}:
        return _refused_as_a_whole(code, error, hint, aim)
    kind = servers.NO_RIGHT if code == "permission" else servers.NOT_DONE
    return kind.found(at=check, error=error, hint=hint)


def _refused_as_a_whole(code: str | None, error: SyncdError, hint: str, aim: Aim) -> Finding:
    """The first request tells what is wrong with the destination, not only with itself."""
    if code == "region":
        return servers.WRONG_REGION.found(error=error, hint=hint)
    if code == "bucket":
        return servers.WRONG_BUCKET.found(error=error, hint=hint)
    if code == "credentials":
        return servers.KEYS_REFUSED.found(error=error)
    return _no_right_to_put(error, hint, aim)


def _no_right_to_put(error: SyncdError, hint: str, aim: Aim) -> Finding:
    """A prefix that the API did not give is the likelier cause than a role without its first right."""
    if aim.configured is not None and aim.given and not aim.configured.startswith(aim.given):
        return servers.WRONG_PREFIX.found(error=error, given=aim.given)
    return servers.NO_RIGHT.found(error=error, hint=hint)


def stale_rule(bucket: str, after_s: float | None) -> Finding:
    """Whether uploads that are left open end by themselves, `after_s` after they were begun."""
    if after_s is None:
        return servers.NO_RULE.found(bucket=bucket)
    if after_s < HASTY_RULE_S:
        return servers.HASTY_RULE.found(bucket=bucket, after=span(after_s))
    return well(
        Check.STALE, f"a lifecycle rule of {bucket} ends uploads that are left open for {span(after_s)}"
    )


def clock(offset_s: float) -> Finding:
    """How far this clock is ahead of the servers'."""
    way = "ahead of" if offset_s > 0 else "behind"
    if abs(offset_s) > CLOCK_TOLERANCE_S:
        return servers.CLOCK_OFF.found(offset=span(abs(offset_s)), way=way)
    return well(Check.CLOCK, f"{span(abs(offset_s))} {way} the servers', or less")
