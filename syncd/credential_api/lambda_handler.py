"""The application as a Lambda, behind an API Gateway HTTP API (payload 2.0) or a function URL: the same events.

Environment: SYNCD_ROLE_ARN, SYNCD_TABLE, SYNCD_SESSION_SECONDS (3600), and AWS_REGION, which Lambda sets. Clients are made
once per container. The log is JSON lines on stdout, where CloudWatch takes them from.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from syncd.credential_api.application import Application
from syncd.credential_api.issue import LONGEST_S, Role
from syncd.credential_api.local import local_application, local_table
from syncd.credential_api.messages import Answer, Request, error_document
from syncd.credential_api.sts import role_problems

log = structlog.get_logger()


class Misconfigured(Exception):
    """The function's environment is not complete, or it is called by something else than an HTTP API."""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event."""
    _log_as_json()
    with structlog.contextvars.bound_contextvars(request_id=getattr(context, "aws_request_id", None)):
        try:
            request = read_event(event)
            return _reply(_application().handle(request))
        except Misconfigured as wrong:
            log.error("misconfigured", problem=str(wrong))  # noqa: TRY400 - it says all there is to say
            headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
            text = "this API is not set up properly; its log says more"
            return _reply(Answer(status=500, headers=headers, document=error_document("misconfigured", text)))


def read_event(event: Mapping[str, Any]) -> Request:
    """The request in an event of payload 2.0. Raises Misconfigured for any other event."""
    if event.get("version") != "2.0" or "http" not in event.get("requestContext", {}):
        raise Misconfigured("the event is not that of an HTTP API or function URL, payload format 2.0")
    context = event["requestContext"]
    return Request(
        method=context["http"]["method"],
        path=_path(event["rawPath"], context.get("stage", "$default")),
        headers={name.lower(): value for name, value in event.get("headers", {}).items()},
        body=_body(event),
        source=context["http"].get("sourceIp", ""),
    )


def _path(path: str, stage: str) -> str:
    """Without the stage, which a gateway that is called by its own name puts before the path."""
    return path.removeprefix(f"/{stage}") if path.startswith(f"/{stage}/") else path


def _body(event: Mapping[str, Any]) -> bytes:
    """What is no base64 although it should be counts as no body."""
    text = event.get("body") or ""
    try:
        return base64.b64decode(text) if event.get("isBase64Encoded") else text.encode("utf-8", "replace")
    except ValueError:
        return b""


def _reply(answer: Answer) -> dict[str, Any]:
    return {
        "statusCode": answer.status,
        "headers": answer.headers,
        "body": answer.body.decode(),
        "isBase64Encoded": False,
    }


@cache
def _application() -> Application:
    """One for the life of the container. Raises Misconfigured."""
    try:
        role_arn, table, region = (os.environ[key] for key in ("SYNCD_ROLE_ARN", "SYNCD_TABLE", "AWS_REGION"))
        seconds = int(os.environ.get("SYNCD_SESSION_SECONDS", str(LONGEST_S)))
    except KeyError as missing:
        raise Misconfigured(f"{missing.args[0]} is not in the environment") from None
    except ValueError:
        raise Misconfigured("SYNCD_SESSION_SECONDS is no whole number") from None
    role = Role(arn=role_arn, region=region, session_seconds=seconds)
    if problems := role_problems(role, own_endpoint=False):
        raise Misconfigured("; ".join(problems))
    return local_application(devices=local_table(table, region), role=role)


@cache
def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(json.dumps),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
