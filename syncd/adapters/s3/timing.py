"""The time of S3 requests: signed by the server's clock, which is learnt from every answer that is S3's.

An answer of S3 has an `x-amz-request-id`, or is the very refusal of a signature's time; what a captive portal or a proxy
says about the time is not believed. botocore corrects no skew of its own; here the time is handed to its signer by the
request's context, so each client has its own.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import botocore.auth

from syncd.ports import Clock, ServerTime

SIGNER = "syncd-s3v4"
TOO_SKEWED = "RequestTimeTooSkewed"

_TOLERANCE_S = 900.0  # what S3 tolerates between a signature's time and its own
_FORBIDDEN = 403
_ASKED_AT, _SIGNED_AT = "syncd_asked_at", "syncd_signed_at"


class ContextTimeAuth(botocore.auth.S3SigV4Auth):
    """botocore's own signer, by the time that the request's context brings along, if it does."""

    def canonical_request(self, request: Any) -> str:
        """The first step of a signature; all further ones read the time where it is put here."""
        # `add_auth` has just put the local clock's time into these two places.
        signed_at = request.context.get(_SIGNED_AT)
        if signed_at is not None:
            stamp = datetime.fromtimestamp(signed_at, UTC).strftime(botocore.auth.SIGV4_TIMESTAMP)
            request.context["timestamp"] = stamp
            del request.headers["X-Amz-Date"]  # to set a header of botocore's is to add one
            request.headers["X-Amz-Date"] = stamp
        return super().canonical_request(request)


# botocore's own signer under a name of ours: with awscrt installed, the name "s3v4" means awscrt's signer, which reads
# a body to be signed 4,096 bytes at a time through Python (half of all CPU) and insists on that size.
botocore.auth.AUTH_TYPE_MAPS[SIGNER] = ContextTimeAuth


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Event handlers of one client."""

    clock: Clock
    server_time: ServerTime

    def register(self, client: Any) -> None:
        """From now on the client signs by the server's time, and learns it."""
        client.meta.events.register("before-sign.s3", self._stamp)
        client.meta.events.register("response-received.s3", self._learn)

    def _stamp(self, request: Any, **_: Any) -> None:
        request.context[_ASKED_AT] = self.clock.boottime()
        request.context[_SIGNED_AT] = self.server_time.now()

    def _learn(
        self,
        context: Mapping[str, Any],
        response_dict: Mapping[str, Any] | None,
        parsed_response: dict[str, Any] | None,
        **_: Any,
    ) -> None:
        asked_at = context.get(_ASKED_AT)
        if response_dict is None or parsed_response is None or asked_at is None:
            return
        date = date_of(response_dict["headers"], parsed_response)
        if date is None:
            return
        self.server_time.heard(date, source="s3", asked_at=asked_at)
        age = date - context[_SIGNED_AT]
        if response_dict["status_code"] == _FORBIDDEN and abs(age) > _TOLERANCE_S + self._since(asked_at):
            _name_the_reason(parsed_response)

    def _since(self, asked_at: float) -> float:
        return self.clock.boottime() - asked_at + 1.0


def date_of(headers: Mapping[str, str], parsed: Mapping[str, Any]) -> float | None:
    """When S3 says that it answered, in seconds since the epoch; None where it is not S3, or does not say."""
    told = parsed.get("Error")
    error: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    if "x-amz-request-id" not in headers and error.get("Code") != TOO_SKEWED:
        return None
    return _http_date(headers.get("date")) or _iso_date(error.get("ServerTime"))


def _http_date(text: str | None) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _iso_date(text: object) -> float | None:
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _name_the_reason(parsed: dict[str, Any]) -> None:
    """A refused HEAD has no body to say why, and would pass for an object that is not shown."""
    told = parsed.setdefault("Error", {})
    if str(told.get("Code", "")) in {"", "403", "Forbidden", "Unknown"}:
        told["Code"] = TOO_SKEWED
