"""The routes, and the headers that go with every answer. Reads only; whatever fails is an answer, never the daemon's end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from http import HTTPStatus

import structlog
from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException

from syncd.console.page.guard import METHODS, refusal
from syncd.console.page.history import leaf_of
from syncd.console.page.picture import static
from syncd.console.page.snapshot import Snapshots
from syncd.errors import SyncdError

log = structlog.get_logger()

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
STATIC = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


def application(snapshots: Snapshots, names: frozenset[str]) -> Flask:
    """The page over these snapshots; `names`: what the Host header may say."""
    app = Flask("syncd.console.page", static_folder=None, template_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.before_request(lambda: _refused(names))
    app.after_request(_with_headers)
    app.register_error_handler(Exception, _trouble)
    app.add_url_rule("/", "page", lambda: _page(snapshots))
    app.add_url_rule(
        "/status.json", "status", lambda: Response(snapshots.latest().status_json, mimetype=JSON)
    )
    app.add_url_rule("/metrics", "metrics", lambda: _metrics(snapshots))
    app.add_url_rule("/healthz", "health", lambda: _health(snapshots))
    for name, kind in STATIC.items():
        app.add_url_rule(f"/{name}", name, _file(static(name), kind))
    return app


def _refused(names: frozenset[str]) -> Response | None:
    refused = refusal(
        method=request.method,
        path=request.path,
        host=request.environ.get("HTTP_HOST"),
        site=request.headers.get("Sec-Fetch-Site"),
        mode=request.headers.get("Sec-Fetch-Mode"),
        names=names,
    )
    if refused is None:
        return None
    answer = _said(refused.status, refused.text)
    if refused.status is HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(METHODS)
    return answer


def _with_headers(answer: Response) -> Response:
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def _said(status: int, text: str) -> Response:
    return Response(f"{text}\n", status=status, content_type=TEXT)


def _trouble(failure: Exception) -> Response:
    if isinstance(failure, HTTPException):
        return _said(failure.code or HTTPStatus.INTERNAL_SERVER_ERROR, "there is nothing here")
    if isinstance(failure, SyncdError):
        hint = f"\nhint: {failure.hint}" if failure.hint else ""
        return _said(HTTPStatus.SERVICE_UNAVAILABLE, f"syncd cannot tell now: {failure}{hint}")
    log.error("page_request_failed", path=request.path, exc_info=failure)
    return _said(HTTPStatus.INTERNAL_SERVER_ERROR, "syncd could not answer; its log says why")


def _page(snapshots: Snapshots) -> Response:
    leaf = leaf_of(request.args)
    if leaf is None:
        return _said(HTTPStatus.BAD_REQUEST, "`before` and `after` are what a page gave")
    return Response(snapshots.latest().page(leaf), content_type=HTML)


def _metrics(snapshots: Snapshots) -> Response:
    return Response(snapshots.latest().metrics, content_type=CONTENT_TYPE_LATEST)


def _health(snapshots: Snapshots) -> Response:
    now = snapshots.latest()
    body = json.dumps({"ok": now.unwell is None, "state": now.document["state"], "reason": now.unwell})
    return Response(
        body, status=HTTPStatus.OK if now.unwell is None else HTTPStatus.SERVICE_UNAVAILABLE, mimetype=JSON
    )


def _file(data: bytes, kind: str) -> Callable[[], Response]:
    tag = hashlib.sha256(data).hexdigest()[:32]

    def answer() -> Response:
        made = Response(data, content_type=kind)
        made.set_etag(tag)
        made.headers["Cache-Control"] = "no-cache"  # kept, but asked for each time: a 304 costs nothing
        made.make_conditional(request)
        return made

    return answer
