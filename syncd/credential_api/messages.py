"""Requests and answers: what every server around the application has to make and to send, and how a request is read.

Refusals have the form `{"error": {"code", "message"}}`. None repeats anything of the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from syncd.credential_api.devices import Device

MAX_BODY: Final = 4096
_TOKEN = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: header names in lower case, `body` whole (of one that is too large any piece above the limit)."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back; `document` None: no content."""

    status: int
    headers: dict[str, str]
    document: Any = field(repr=False)

    @property
    def body(self) -> bytes:
        """The document as JSON."""
        return b"" if self.document is None else json.dumps(self.document).encode()


class Refused(Exception):
    """The API says no."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


def error_document(code: str, message: str) -> dict[str, Any]:
    """A refusal in the contract's form."""
    return {"error": {"code": code, "message": message}}


def read_token(request: Request) -> str | None:
    """The token that came along, None for none. SDKs send the content of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE as it is: a bare token will do for GET."""
    value = request.headers.get("authorization", "").strip()
    scheme, _, rest = value.partition(" ")
    bare = request.method == "GET" and not rest
    token = rest.strip() if scheme.lower() == "bearer" else value if bare else ""
    return token if _TOKEN.fullmatch(token) else None


def read_body(request: Request, device: Device) -> dict[str, Any]:
    """The JSON object in the body, which must name the device. Raises Refused."""
    if len(request.body) > MAX_BODY:
        raise Refused(400, "bad_request", f"the body must not be longer than {MAX_BODY} bytes")
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("device"), str):
        raise Refused(400, "bad_request", 'the body must be JSON such as {"device": "cam-07"}')
    if document["device"] != device.name:
        raise Refused(403, "wrong_device", "the token is not that of this device")
    return document
