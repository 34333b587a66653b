"""What the credential API said: bytes in, a credential set or a clear complaint out.

Two forms are read: boto3's AssumeRole answer (`Credentials`, perhaps with `Destination`) and the flat container form
(`AccessKeyId, SecretAccessKey, Token, Expiration`). Everything else is refused with the field's name. No complaint ever
repeats a value, and none keeps the text that it complains about: it may hold secrets.
"""

from __future__ import annotations

import email.utils
import json
import re
from datetime import MAXYEAR, UTC, datetime, timedelta, timezone
from typing import Any, NoReturn

from syncd.errors import Transient
from syncd.model import CredentialSet

_SAID_LIMIT = 200  # characters of the server's own words
_PREFIX_LIMIT = 900  # bytes; a whole key has at most 1,024
_HINT = "the credential API must answer as documented; is credentials.api.url right?"
_VISIBLE = re.compile(r"[!-~]+")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"[!-~]{1,512}")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d{1,30})?(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII
)


def read_credentials(body: bytes) -> CredentialSet:
    """The set in an answer with status 200. Raises Transient, saying which field is wrong and how."""
    document = _object(_document(body), "the answer")
    if "Credentials" in document:
        fields, token_name = _object(document["Credentials"], "Credentials"), "SessionToken"
    else:
        fields, token_name = document, "Token"
    destination = document.get("Destination")
    place = {} if destination is None else _object(destination, "Destination")
    user = document.get("AssumedRoleUser")
    whose = {} if user is None else _object(user, "AssumedRoleUser")
    return CredentialSet(
        access_key=_visible(fields, "AccessKeyId", 256),
        secret_key=_visible(fields, "SecretAccessKey", 1024),
        session_token=_visible(fields, token_name, 32 * 1024),
        expires_at=_moment(_text(fields, "Expiration")),
        bucket=_matching(place, "Bucket", _BUCKET),
        prefix=_prefix(place),
        region=_matching(place, "Region", _REGION),
        role_arn=_matching(whose, "Arn", _NAME, "AssumedRoleUser"),
        role_id=_matching(whose, "AssumedRoleId", _NAME, "AssumedRoleUser"),
    )


def read_complaint(body: bytes, secrets: tuple[str, ...]) -> str | None:
    """The message of `{"error": {"code", "message"}}`, fit to be shown; None where the body is anything else."""
    try:
        document = _document(body)
    except Transient:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message:
        return None
    for secret in secrets:
        message = message.replace(secret, "***")
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in message[:_SAID_LIMIT])[:_SAID_LIMIT]


def read_http_date(value: str | None) -> float | None:
    """An HTTP date as seconds since the epoch; None where there is none or it makes no sense."""
    try:
        moment = email.utils.parsedate_to_datetime(value or "")
        # The form without a zone is UTC too (RFC 9110, 5.6.7).
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _wrong(what: str) -> NoReturn:
    raise Transient(f"the credential API's answer makes no sense: {what}", hint=_HINT)


def _document(body: bytes) -> Any:
    """Raised outside the except clause: JSON's own errors carry the text along."""
    try:
        return json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_without_doubles, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except _JsonRefused as refused:
        reason = str(refused)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError:
        reason = "it is not JSON" if body.strip() else "it is empty"
    _wrong(reason)


class _JsonRefused(ValueError):
    """JSON that Python would take and we do not."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _JsonRefused("a key stands in it twice")
    return found


def _no_constant(_name: str) -> NoReturn:
    raise _JsonRefused("a number in it is not finite")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _wrong(f"{name} is {_kind(value)}, expected an object")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        _wrong(f"{name} is missing")
    value = fields[name]
    if not isinstance(value, str):
        _wrong(f"{name} is {_kind(value)}, expected text")
    return value


def _visible(fields: dict[str, Any], name: str, limit: int) -> str:
    """Text that can stand in a header or a signature as it is."""
    value = _text(fields, name)
    if not value:
        _wrong(f"{name} is empty")
    if len(value) > limit or not _VISIBLE.fullmatch(value):
        _wrong(f"{name} is not printable ASCII of at most {limit} characters")
    return value


def _matching(
    place: dict[str, Any], name: str, pattern: re.Pattern[str], section: str = "Destination"
) -> str | None:
    if place.get(name) is None:
        return None
    value = _text(place, name)
    if not pattern.fullmatch(value):
        _wrong(f"{section}.{name} is not one")
    return value


def _prefix(place: dict[str, Any]) -> str | None:
    if place.get("Prefix") is None:
        return None
    value = _text(place, "Prefix")
    if not value.isprintable() or len(value.encode()) > _PREFIX_LIMIT or value.startswith("/"):
        _wrong("Destination.Prefix cannot begin an object's key")
    return value


def _moment(value: str) -> float:
    """RFC 3339 with a zone, in seconds since the epoch."""
    found = _RFC3339.fullmatch(value)
    if found is None:
        _wrong("Expiration is not a time as RFC 3339 writes it (2026-01-28T22:42:22Z)")
    *numbers, fraction, zulu, sign, hours, minutes = found.groups()
    if not zulu and not sign:
        _wrong("Expiration has no time zone, expected Z or an offset at its end (2026-01-28T22:42:22Z)")
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone(offset))
        if moment.astimezone(UTC).year < MAXYEAR:  # later ones cannot be shown
            return moment.timestamp() + float(fraction or 0)
    except (ValueError, OverflowError):
        pass  # refused below, without the library's words
    _wrong("Expiration is no time that there is")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
