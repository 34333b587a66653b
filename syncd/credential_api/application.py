"""The API itself, free of any framework: a request in, an answer out. Servers are thin shells around it.

    POST {path}           {"device": NAME}                       the AssumeRole answer, and where to upload to
    GET  {path}                                                  the form of the SDKs' container provider
    POST {path}/presign   {"device", "path", "size", ...}        a URL for one PUT

Who asks is known by the token alone; the name in a body must be that of the token's device. Refusals have the form
`{"error": {"code", "message"}}`. Nothing of a request is repeated in an answer or in the log, but the device's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final, NoReturn

import structlog
from structlog.typing import FilteringBoundLogger

from syncd.credential_api.devices import BadRegistration, Device, Devices, DevicesUnavailable, digest_of
from syncd.credential_api.issue import NotIssuable, Role, answer, assume_role, container_answer
from syncd.credential_api.messages import (
    Answer,
    Refused,
    Request,
    error_document,
    read_body,
    read_token,
)
from syncd.credential_api.presign import BadUpload, Presigner, read_upload
from syncd.credential_api.sts import RoleRefused, SessionImpossible, SessionUnavailable, Sts
from syncd.credential_api.throttle import Throttle

PATH: Final = "/v1/credentials"
RETRY_S: Final = 10.0


class Application:
    """The credential API of one role. `clock`: seconds since the epoch; `log`: where it tells, else the process's own."""

    def __init__(
        self,
        *,
        devices: Devices,
        sts: Sts,
        presigner: Presigner,
        role: Role,
        throttle: Throttle,
        clock: Callable[[], float],
        path: str = PATH,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._devices = devices
        self._sts = sts
        self._presigner = presigner
        self._role = role
        self._throttle = throttle
        self._clock = clock
        self._log: FilteringBoundLogger = log or structlog.get_logger()
        self._routes = {
            (path, "POST"): self._credentials,
            (path, "GET"): self._container,
            (f"{path}/presign", "POST"): self._presigned,
        }

    def handle(self, request: Request) -> Answer:
        """Answer it, whatever it is. Raises nothing."""
        asking = _Asking(request)
        try:
            return self._answered(asking)
        except Refused as no:
            self._log.info("refused", code=no.code, device=asking.name, source=request.source)
            return self._answer(no.status, error_document(no.code, str(no)), no.headers)
        except Exception as failure:  # noqa: BLE001 - the last door: an answer instead of a broken connection
            self._log.exception("unexpected_failure", kind=type(failure).__name__, device=asking.name)
            text = "this should not have happened; the log of the API says more"
            return self._answer(500, error_document("internal", text))

    def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return Answer(status=status, headers=self._headers(headers or {}), document=document)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        """The daemon learns the time from `Date`; nobody on the way may keep an answer."""
        return {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "Date": formatdate(self._clock(), usegmt=True),
            **more,
        }

    def _answered(self, asking: _Asking) -> Answer:
        request = asking.request
        allowed = [method for path, method in self._routes if path == request.path]
        if not allowed:
            raise Refused(404, "not_found", f"there is only {next(iter(self._routes))[0]} here")
        allow = {"Allow": ", ".join([*allowed, "OPTIONS"])}
        if request.method == "OPTIONS":
            return self._answer(204, None, allow)
        if request.method not in allowed:
            raise Refused(405, "method_not_allowed", f"{' or '.join(allowed)} is expected", allow)
        return self._answer(200, self._routes[request.path, request.method](asking))

    # -- what is asked for

    def _credentials(self, asking: _Asking) -> Any:
        device = self._authenticate(asking)
        read_body(asking.request, device)
        assumed = self._assume(device)
        self._tell_issued("credentials_issued", asking, assumed)
        return answer(device, self._role, assumed)

    def _container(self, asking: _Asking) -> Any:
        assumed = self._assume(self._authenticate(asking))
        self._tell_issued("credentials_issued", asking, assumed)
        return container_answer(assumed)

    def _presigned(self, asking: _Asking) -> Any:
        device = self._authenticate(asking)
        body = read_body(asking.request, device)
        try:
            upload = read_upload(body, device)
        except BadUpload as bad:
            raise Refused(400, bad.code, str(bad)) from None
        assumed = self._assume(device)
        self._tell_issued("upload_presigned", asking, assumed)
        return self._presigner.put(upload, device, assumed, self._clock())

    def _tell_issued(self, event: str, asking: _Asking, assumed: Mapping[str, Any]) -> None:
        self._log.info(
            event,
            device=asking.name,
            session_s=self._role.session_seconds,
            expires_at=assumed["Credentials"]["Expiration"].isoformat(),
            source=asking.request.source,
        )

    # -- who asks

    def _authenticate(self, asking: _Asking) -> Device:
        device = self._known(asking.request)
        asking.name = device.name
        _hold_up(self._throttle.device(device.name))
        if not device.enabled:
            raise Refused(403, "disabled", "this device is switched off")
        if device.expires_at is not None and device.expires_at <= self._clock():
            raise Refused(403, "expired", "the registration of this device has expired")
        return device

    def _known(self, request: Request) -> Device:
        token = read_token(request)
        try:
            device = self._devices.by_digest(digest_of(token)) if token is not None else None
        except DevicesUnavailable:
            _unavailable("the devices cannot be looked up at the moment")
        except BadRegistration as bad:
            self._log.error("bad_registration", problems=bad.problems)
            raise Refused(500, "bad_registration", "this device is not registered properly") from None
        if device is None:
            _hold_up(self._throttle.stranger(request.source))
            raise Refused(
                401, "unauthorized", "the token is missing or wrong", {"WWW-Authenticate": "Bearer"}
            )
        return device

    # -- what it gets

    def _assume(self, device: Device) -> dict[str, Any]:
        try:
            return self._sts.assume_role(assume_role(device, self._role))
        except NotIssuable as bad:
            self._log.error("bad_registration", problems=[str(bad)])
        except SessionImpossible as impossible:
            if not impossible.of_the_device:
                text = "STS does not make such a session: see the log of this API"
                raise Refused(500, "session_refused", text) from None
        except RoleRefused:
            text = "the role cannot be assumed: its trust policy must name who runs this API"
            raise Refused(500, "role_refused", text) from None
        except SessionUnavailable:
            _unavailable("no credentials can be had at the moment")
        raise Refused(500, "bad_registration", "no session can be made for this device as it is registered")


class _Asking:
    """One request on its way, and the device's name as soon as it is known."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.name: str | None = None


def _hold_up(wait: float) -> None:
    if wait > 0:
        raise Refused(429, "too_many", "too many requests", {"Retry-After": str(math.ceil(wait))})


def _unavailable(message: str) -> NoReturn:
    raise Refused(503, "unavailable", message, {"Retry-After": str(math.ceil(RETRY_S))}) from None
