"""The table of devices, on moto: one consistent read for each request, and items that make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from syncd.credential_api.devices import BadRegistration, Device, DevicesUnavailable, digest_of
from syncd.credential_api.dynamodb import Table, dynamodb_client, read_item, write_item

DIGEST = digest_of("t")
FULL = Device(
    name="cam-07",
    bucket="captures",
    prefix="site/cam-07/",
    enabled=False,
    expires_at=1_800_000_000.0,
    list_uploads=True,
    tagging=True,
    kms_key_arn="arn:aws:kms:eu-central-1:123456789012:key/abc",
)


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        client = dynamodb_client("eu-central-1")
        client.create_table(
            TableName="devices",
            KeySchema=[{"AttributeName": "digest", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "digest", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def item(**changes: Any) -> dict[str, Any]:
    plain = {"digest": {"S": DIGEST}, "device": {"S": "cam-07"}, "bucket": {"S": "captures"}, **changes}
    return {key: value for key, value in plain.items() if value is not None}


@pytest.mark.parametrize("device", [FULL, Device(name="cam-07", bucket="captures", prefix="cam-07/")])
def test_a_device_comes_back_as_it_was_put(client: Any, device: Device) -> None:
    client.put_item(TableName="devices", Item=write_item(device, DIGEST))
    assert Table(client, "devices").by_digest(DIGEST) == device


def test_a_request_costs_one_consistent_read(client: Any) -> None:
    calls: list[Any] = []
    client.meta.events.register(
        "provide-client-params.dynamodb.*", lambda params, model, **_: calls.append((model.name, params))
    )
    assert Table(client, "devices").by_digest(DIGEST) is None
    expected = {"TableName": "devices", "Key": {"digest": {"S": DIGEST}}, "ConsistentRead": True}
    assert calls == [("GetItem", expected)]


def test_what_is_absent_or_null_has_its_default_and_notes_are_allowed(client: Any) -> None:
    notes = {"note": {"S": "on the roof"}, "expires": {"NULL": True}}
    client.put_item(TableName="devices", Item=item(**notes))
    assert Table(client, "devices").by_digest(DIGEST) == Device(
        name="cam-07", bucket="captures", prefix="cam-07/"
    )


@pytest.mark.parametrize(
    "changes",
    [
        *({"device": None}, {"bucket": None}, {"device": {"N": "7"}}, {"enabled": {"S": "no"}}),
        *(
            {"expires": {"S": "2027"}},
            {"prefix": {"S": "x"}},
            {"bucket": {"S": "Up"}},
            {"tagging": {"N": "1"}},
        ),
    ],
)
def test_an_item_that_makes_no_sense_is_a_bad_registration(client: Any, changes: dict[str, Any]) -> None:
    client.put_item(TableName="devices", Item=item(**changes))
    with pytest.raises(BadRegistration) as bad:
        Table(client, "devices").by_digest(DIGEST)
    assert DIGEST not in str(bad.value)


def test_an_item_with_several_faults_tells_them_all() -> None:
    with pytest.raises(BadRegistration) as bad:
        read_item({"digest": {"S": DIGEST}, "enabled": {"S": "x"}})
    assert len(bad.value.problems) == 3


def test_a_table_that_is_not_there_or_not_reachable_is_asked_again_later(client: Any) -> None:
    with pytest.raises(DevicesUnavailable):
        Table(client, "none").by_digest(DIGEST)


def test_a_dead_endpoint_is_unavailable() -> None:
    dead = boto3.client(
        "dynamodb",
        region_name="eu-central-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(DevicesUnavailable):
        Table(dead, "devices").by_digest(DIGEST)
    dead.close()
