"""The tests' credential API against the store it asks: what it gives, and what a test may do to it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from http.client import HTTPException, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from support.endpoint import Endpoint, Issuer, error_answer
from support.script import API_KINDS, Rule, Script

from syncd.credential_api.application import PATH
from syncd.demo.loopback import Answer, Request
from syncd.demo.store import Fault, Store

TOKEN = {"Authorization": "Bearer t0ken"}


def _issuer(store: Store) -> Issuer:
    return Issuer(
        url=store.url,
        access_key=store.access_key,
        secret_key=store.secret_key,
        role_arn=store.role_arn,
        bucket=store.bucket,
        region=store.region,
    )


def _keys(credentials: dict[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


@pytest.fixture
def endpoint(store: Store, clock: Any) -> Iterator[Endpoint]:
    with Endpoint(_issuer(store), token="t0ken", device="box", session_seconds=30, clock=clock) as running:
        yield running


def _ask(
    endpoint: Endpoint,
    body: bytes = b'{"device": "cam-07"}',
    headers: dict[str, str] | None = None,
    method: str = "POST",
    path: str = PATH,
    timeout: float = 10,
) -> tuple[int, Any, dict[str, str]]:
    port = int(endpoint.url.split(":")[2].split("/")[0])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
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
    client = connect(store, _keys(credentials))
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
        ({"body": b"[]"}, 400, "bad_request"),
        ({"body": b'{"device": "../other"}'}, 403, "wrong_device"),
        ({"body": b'{"device": ""}'}, 403, "wrong_device"),
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


def test_what_happens_to_the_store_can_happen_to_it(endpoint: Endpoint) -> None:
    endpoint.faults = Script(
        [
            Rule(nth=1, fault=Fault(reset=True)),
            Rule(nth=1, fault=Fault(hang=True), times=1),
            Rule(nth=1, fault=Fault(drop=True), when="after"),
        ]
    )
    with pytest.raises(ConnectionResetError):
        _ask(endpoint)
    with pytest.raises(TimeoutError):
        _ask(endpoint, timeout=0.1)
    with pytest.raises(RemoteDisconnected):
        _ask(endpoint)
    assert endpoint.issued == 1  # the last one was given out, and its answer lost
    assert _ask(endpoint)[0] == 200


def test_a_silence_of_it_ends_with_it(endpoint: Endpoint) -> None:
    endpoint.faults = script = Script([Rule(fault=Fault(hang=True))])
    ends: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(RemoteDisconnected) as caught:
            _ask(endpoint)
        ends.append(caught.value)

    asking = threading.Thread(target=ask)
    asking.start()
    while not script.hits:
        time.sleep(0.001)
    endpoint.stop()
    asking.join(5)
    assert ends


@pytest.mark.parametrize("name", sorted(set(API_KINDS) - {"API 100 MB"}))
def test_every_kind_of_trouble_can_happen_to_it(endpoint: Endpoint, name: str) -> None:
    assert _ask(endpoint)[0] == 200  # builds its client of STS, which takes a while
    endpoint.faults = script = Script([API_KINDS[name](times=1)])
    with suppress(OSError, HTTPException, ValueError):
        _ask(endpoint, timeout=0.2)
    assert script.hits == 1
    assert _ask(endpoint)[0] == 200


def test_a_session_may_be_allowed_to_list_uploads(tmp_path: Path, connect: Any, refused: Any) -> None:
    listing = ("s3:ListBucketMultipartUploads",)
    with Store(tmp_path / "listing", min_session_seconds=1, role_may=listing) as store:
        for may, outcome in (((), (403, "AccessDenied")), (listing, None)):
            with Endpoint(_issuer(store), token="t0ken", bucket_actions=may) as endpoint:
                keys = _ask(endpoint)[1]["Credentials"]
            client = connect(store, _keys(keys))
            if outcome is None:
                client.list_multipart_uploads(Bucket="captures")
            else:
                assert refused(client.list_multipart_uploads, Bucket="captures") == outcome
