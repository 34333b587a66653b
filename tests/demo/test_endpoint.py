"""The demo's credential API against the store it asks: what it gives, to whom, and how it says no."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest

from syncd.demo.endpoint import PATH, Endpoint, Issuer, error_answer, session_policy
from syncd.demo.loopback import Answer, Request
from syncd.demo.store import Store

TOKEN = {"Authorization": "Bearer t0ken"}


@pytest.fixture
def endpoint(store: Store, clock: Any) -> Iterator[Endpoint]:
    issuer = Issuer(
        url=store.url,
        access_key=store.access_key,
        secret_key=store.secret_key,
        role_arn=store.role_arn,
        bucket=store.bucket,
        region=store.region,
    )
    with Endpoint(issuer, token="t0ken", device="box", session_seconds=30, clock=clock) as running:
        yield running


def _ask(
    endpoint: Endpoint,
    body: bytes = b'{"device": "cam-07"}',
    headers: dict[str, str] | None = None,
    method: str = "POST",
    path: str = PATH,
) -> tuple[int, Any, dict[str, str]]:
    port = int(endpoint.url.split(":")[2].split("/")[0])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, TOKEN if headers is None else headers)
        with connection.getresponse() as response:
            content = response.read()
            return response.status, json.loads(content), {k.lower(): v for k, v in response.getheaders()}


def test_a_device_gets_credentials_for_its_own_prefix_only(
    endpoint: Endpoint, store: Store, connect: Any, refused: Any, clock: Any
) -> None:
    status, document, headers = _ask(endpoint)
    assert status == 200
    assert document["Destination"] == {"Bucket": "captures", "Prefix": "cam-07/", "Region": "us-east-1"}
    assert set(document["AssumedRoleUser"]) == {"Arn", "AssumedRoleId"}
    credentials = document["Credentials"]
    left = datetime.fromisoformat(credentials["Expiration"]).timestamp() - clock()
    assert 25 < left <= 30
    assert "date" in headers
    client = connect(
        store,
        {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        },
    )
    client.put_object(Bucket="captures", Key="cam-07/a", Body=b"x")
    assert refused(client.put_object, Bucket="captures", Key="cam-08/a", Body=b"x") == (403, "AccessDenied")
    upload = client.create_multipart_upload(Bucket="captures", Key="cam-07/b")["UploadId"]
    client.list_parts(Bucket="captures", Key="cam-07/b", UploadId=upload)
    client.abort_multipart_upload(Bucket="captures", Key="cam-07/b", UploadId=upload)
    assert client.get_object(Bucket="captures", Key="cam-07/a")["Body"].read() == b"x"


def test_get_answers_in_the_container_form(endpoint: Endpoint, store: Store, connect: Any) -> None:
    status, document, _ = _ask(endpoint, b"", method="GET")
    assert (status, set(document)) == (200, {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"})
    client = connect(
        store,
        {
            "aws_access_key_id": document["AccessKeyId"],
            "aws_secret_access_key": document["SecretAccessKey"],
            "aws_session_token": document["Token"],
        },
    )
    client.put_object(Bucket="captures", Key="box/a", Body=b"x")


def test_every_session_is_counted(endpoint: Endpoint) -> None:
    _ask(endpoint)
    _ask(endpoint)
    _ask(endpoint, headers={})
    assert (endpoint.issued, endpoint.calls) == (2, 3)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"headers": {}}, 401, "unauthorized"),
        ({"headers": {"Authorization": "Bearer wrong"}}, 401, "unauthorized"),
        ({"headers": {"Authorization": "t0ken"}}, 401, "unauthorized"),
        ({"body": b"no json"}, 400, "bad_request"),
        ({"body": b"[" * 4000}, 400, "bad_request"),
        ({"body": b'"' + b"x" * 5000 + b'"'}, 400, "bad_request"),
        ({"body": b"[]"}, 400, "bad_device"),
        ({"body": b'{"device": "../other"}'}, 400, "bad_device"),
        ({"body": b'{"device": ""}'}, 400, "bad_device"),
        ({"path": "/v1/other"}, 404, "not_found"),
        ({"method": "DELETE"}, 405, "method_not_allowed"),
    ],
)
def test_refusals_have_the_contracts_form(
    endpoint: Endpoint, changes: dict[str, Any], status: int, code: str
) -> None:
    answered, document, _ = _ask(endpoint, **changes)
    assert answered == status
    assert set(document) == {"error"}
    assert document["error"]["code"] == code
    assert document["error"]["message"]
    assert endpoint.issued == 0


def test_without_sts_it_says_unavailable(endpoint: Endpoint, store: Store) -> None:
    store.stop()
    status, document, _ = _ask(endpoint)
    assert (status, document["error"]["code"]) == (503, "unavailable")


def test_a_test_can_answer_in_its_place(endpoint: Endpoint) -> None:
    def busy(request: Request) -> Answer | None:
        return (
            error_answer(429, "slow_down", "later", {"Retry-After": "9"})
            if request.method == "POST"
            else None
        )

    endpoint.override = busy
    status, document, headers = _ask(endpoint)
    assert (status, document["error"]["code"], headers["retry-after"]) == (429, "slow_down", "9")
    assert _ask(endpoint, b"", method="GET")[0] == 200
    assert endpoint.issued == 1


def test_it_can_go_away_and_come_back_on_the_same_port(endpoint: Endpoint) -> None:
    assert _ask(endpoint)[0] == 200
    url = endpoint.url
    endpoint.stop()
    with pytest.raises(ConnectionRefusedError):
        _ask(endpoint)
    endpoint.start()
    assert endpoint.url == url
    assert _ask(endpoint)[0] == 200


def test_the_session_policy_is_compact() -> None:
    assert " " not in session_policy("captures", "cam-07/")
