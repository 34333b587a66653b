"""The Lambda, by events as API Gateway and function URLs send them, in front of moto's table and STS.

The shapes are those of AWS's documentation:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from syncd.credential_api import lambda_handler
from syncd.credential_api.devices import Device, digest_of
from syncd.credential_api.dynamodb import write_item
from syncd.credential_api.lambda_handler import handler

TOKEN = "tok-CANARY-of-cam-07"


class Context:
    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A table with one device, and the function's environment."""
    for cached in (lambda_handler._application, lambda_handler._log_as_json):
        cached.cache_clear()
    with mock_aws():
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("SYNCD_TABLE", "devices")
        monkeypatch.setenv("SYNCD_ROLE_ARN", "arn:aws:iam::123456789012:role/syncd-upload")
        monkeypatch.setenv("SYNCD_SESSION_SECONDS", "900")
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName="devices",
            KeySchema=[{"AttributeName": "digest", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "digest", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        device = Device(name="cam-07", bucket="captures", prefix="cam-07/")
        client.put_item(TableName="devices", Item=write_item(device, digest_of(TOKEN)))
        yield client
    lambda_handler._application.cache_clear()


def gateway(method: str = "POST", path: str = "/v1/credentials", stage: str = "$default") -> dict[str, Any]:
    """An HTTP API's event, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "cookies": ["cookie1", "cookie2"],
        "headers": {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": f"Bearer {TOKEN}",
            "content-length": "20",
            "content-type": "application/json",
            "host": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
            "user-agent": "syncd/1",
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "x-forwarded-for": "205.255.255.176",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.us-east-2.amazonaws.com",
            "domainPrefix": "r3pmxmplak",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "205.255.255.176",
                "userAgent": "syncd/1",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": stage,
            "time": "10/Mar/2020:05:16:23 +0000",
            "timeEpoch": 1583817383220,
        },
        "body": '{"device": "cam-07"}',
        "isBase64Encoded": False,
    }


def function_url(method: str = "POST", path: str = "/v1/credentials") -> dict[str, Any]:
    """A function URL's event: no cookies or query where there are none, nulls where an HTTP API leaves out."""
    event = gateway(method, path)
    del event["cookies"]
    host = "abcdefghij.lambda-url.us-west-2.on.aws"
    event["requestContext"] |= {
        "accountId": "anonymous",
        "apiId": "abcdefghij",
        "authentication": None,
        "domainName": host,
        "domainPrefix": "abcdefghij",
    }
    event["headers"]["host"] = host
    encoded = base64.b64encode(event["body"].encode()).decode()
    return event | {"pathParameters": None, "stageVariables": None, "body": encoded, "isBase64Encoded": True}


def without_body(event: dict[str, Any]) -> dict[str, Any]:
    del event["body"]
    return event


def code(reply: dict[str, Any]) -> tuple[int, str]:
    return reply["statusCode"], json.loads(reply["body"])["error"]["code"]


@pytest.mark.parametrize(
    "event", [gateway(), function_url(), gateway(path="/prod/v1/credentials", stage="prod")]
)
def test_a_device_gets_credentials(account: Any, event: dict[str, Any]) -> None:
    reply = handler(event, Context())
    assert set(reply) == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert reply["statusCode"] == 200
    assert reply["headers"]["Content-Type"] == "application/json"
    assert reply["headers"]["Cache-Control"] == "no-store"
    assert json.loads(reply["body"])["Destination"] == {
        "Bucket": "captures",
        "Prefix": "cam-07/",
        "Region": "eu-central-1",
    }


def test_get_and_presign_are_answered_too(account: Any) -> None:
    reply = handler(without_body(gateway("GET")), Context())
    assert set(json.loads(reply["body"])) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
    event = gateway(path="/prod/v1/credentials/presign", stage="prod")
    event["body"] = json.dumps({"device": "cam-07", "path": "a.mp4", "size": 3})
    assert json.loads(handler(event, Context())["body"])["Key"] == "cam-07/a.mp4"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"headers": {}}, (401, "unauthorized")),
        ({"headers": {"authorization": f"Bearer {TOKEN},Bearer {TOKEN}"}}, (401, "unauthorized")),
        ({"rawPath": "/prod/v1/credentials"}, (404, "not_found")),
        ({"body": None}, (400, "bad_request")),
        ({"body": "!", "isBase64Encoded": True}, (400, "bad_request")),
        ({"body": "ä", "isBase64Encoded": True}, (400, "bad_request")),
        ({"body": '{"device": "\ud800"}'}, (403, "wrong_device")),
    ],
)
def test_refusals_have_the_contracts_form(
    account: Any, changes: dict[str, Any], refusal: tuple[int, str]
) -> None:
    assert code(handler(gateway() | changes, Context())) == refusal


def test_the_throttle_counts_from_call_to_call(account: Any) -> None:
    assert [handler(gateway(), Context())["statusCode"] for _ in range(31)] == [200] * 30 + [429]


def test_the_log_is_one_line_of_json_for_each_request(
    account: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    handler(gateway(), Context())
    handler(gateway("DELETE"), Context())
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["event"], event["level"], event["source"]) for event in told] == [
        ("credentials_issued", "info", "205.255.255.176"),
        ("refused", "info", "205.255.255.176"),
    ]
    assert {event["request_id"] for event in told} == {Context.aws_request_id}
    assert told[0]["device"] == "cam-07"
    assert TOKEN not in repr(told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SYNCD_ROLE_ARN", None), ("SYNCD_TABLE", None), ("AWS_REGION", None), ("SYNCD_ROLE_ARN", "me")),
        *(("SYNCD_SESSION_SECONDS", "long"), ("SYNCD_SESSION_SECONDS", "60")),
    ],
)
def test_an_incomplete_environment_is_told_and_can_be_mended(
    account: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str | None,
) -> None:
    with monkeypatch.context() as changed:
        changed.delenv(name) if value is None else changed.setenv(name, value)
        assert code(handler(gateway(), Context())) == (500, "misconfigured")
    assert json.loads(capsys.readouterr().out)["event"] == "misconfigured"
    assert handler(gateway(), Context())["statusCode"] == 200


@pytest.mark.parametrize(
    "event", [{}, {"version": "1.0", "httpMethod": "GET", "requestContext": {}}, {"version": "2.0"}]
)
def test_other_events_are_a_wrong_setup(account: Any, event: dict[str, Any]) -> None:
    assert code(handler(event, Context())) == (500, "misconfigured")


def test_a_device_that_makes_no_sense_in_the_table_is_no_traceback(
    account: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    account.put_item(TableName="devices", Item={"digest": {"S": digest_of(TOKEN)}, "bucket": {"N": "7"}})
    assert code(handler(gateway(), Context())) == (500, "bad_registration")
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["event"] == "bad_registration"
    assert digest_of(TOKEN) not in repr(first)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "X"]),
    path=st.sampled_from(["/v1/credentials", "/v1/credentials/presign"]) | st.text(max_size=20),
    authorization=st.sampled_from([TOKEN, f"Bearer {TOKEN}"]) | st.text(max_size=20),
    body=st.text(max_size=40),
    encoded=st.booleans(),
)
def test_no_event_breaks_it(
    account: Any, method: str, path: str, authorization: str, body: str, *, encoded: bool
) -> None:
    event = gateway(method, path)
    event["headers"]["authorization"] = authorization
    reply = handler(event | {"body": body, "isBase64Encoded": encoded}, Context())
    assert reply["statusCode"] < 500
    assert "Traceback" not in reply["body"]


def test_the_lambda_needs_nothing_of_the_server_or_the_daemon() -> None:
    """What its zip file has to hold besides boto3, which is there, and structlog."""
    script = "import sys, syncd.credential_api.lambda_handler; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    # rich is not among them: structlog takes it where it finds it.
    absent = {"yaml", "flask", "werkzeug", "waitress", "click", "pydantic", "tenacity"}
    assert not loaded & absent
    ours = {name for name in loaded if name.startswith("syncd.")}
    assert {name.split(".")[1] for name in ours} == {"credential_api"}
