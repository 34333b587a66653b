"""A DynamoDB table of devices, for fleets and for the Lambda: one GetItem for each request, consistent.

Partition key `digest` (S), the SHA-256 of the token in hex. Attributes: `device`, `bucket`, `prefix`, `enabled` (BOOL),
`expires` (N, seconds since the epoch), `list_uploads` and `tagging` (BOOL), `kms_key_arn`. What is absent has the
default of the registry file; attributes that are not listed here are somebody's notes.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from syncd.credential_api.devices import BadRegistration, Device, DevicesUnavailable, overlaps, problems_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = structlog.get_logger()

_TEXT: Final = ("device", "bucket", "prefix", "kms_key_arn")
_SWITCHES: Final = ("enabled", "list_uploads", "tagging")
_KINDS: Final = {**dict.fromkeys(_TEXT, "S"), **dict.fromkeys(_SWITCHES, "BOOL"), "expires": "N"}


class Table:
    """The devices of one table."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def by_digest(self, digest: str) -> Device | None:
        """The device of this digest, as it is registered now."""
        try:
            found = self._client.get_item(
                TableName=self._name, Key={"digest": {"S": digest}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            log.warning("table_unavailable", table=self._name, error=str(error))
            raise DevicesUnavailable from None
        item = found.get("Item")
        if item is None or not hmac.compare_digest(item["digest"].get("S", ""), digest):
            return None
        return read_item(item)

    def add(self, device: Device, digest: str) -> None:
        """Let the device in. Raises BadRegistration, DevicesUnavailable."""
        problems = [*problems_of(device), *_clashes(device, self._all())]
        if problems:
            raise BadRegistration(problems)
        self._put(device, digest)

    def add_token(self, name: str, digest: str) -> None:
        """Give a device one more token, so that it can be changed without a gap. Raises as `add`."""
        device = next((each for each in self._all() if each.name == name), None)
        if device is None:
            raise BadRegistration([f"{name} is not there, expected a device that is"])
        self._put(device, digest)

    def _put(self, device: Device, digest: str) -> None:
        try:
            self._client.put_item(
                TableName=self._name,
                Item=write_item(device, digest),
                ConditionExpression="attribute_not_exists(digest)",
            )
        except (BotoCoreError, ClientError) as error:
            raise DevicesUnavailable(str(error)) from None

    def _all(self) -> list[Device]:
        """Reads the whole table: letting a device in is rare."""
        try:
            pages = self._client.get_paginator("scan").paginate(TableName=self._name, ConsistentRead=True)
            return [read_item(item) for page in pages for item in page["Items"]]
        except (BotoCoreError, ClientError) as error:
            raise DevicesUnavailable(str(error)) from None


def _clashes(device: Device, others: list[Device]) -> list[str]:
    if any(each.name == device.name for each in others):
        return [f"{device.name} is there already, expected another name"]
    pairs = overlaps([*{each.name: each for each in others}.values(), device])
    clashing = [one if other == device else other for one, other in pairs if device in {one, other}]
    return [f"prefix {device.prefix} overlaps with that of {each.name} ({each.prefix})" for each in clashing]


def dynamodb_client(region: str | None = None, endpoint_url: str | None = None) -> DynamoDBClient:
    """A client that gives up after a few seconds: with that of STS, before the Lambda's time is over."""
    config = Config(retries={"total_max_attempts": 2, "mode": "standard"}, connect_timeout=1, read_timeout=2)
    return boto3.session.Session().client(
        "dynamodb", region_name=region, endpoint_url=endpoint_url, config=config
    )


def read_item(item: Mapping[str, Any]) -> Device:
    """The device that an item describes. Raises BadRegistration."""
    fields, problems = _fields(item)
    name = fields.get("device", "(no name)")
    problems += [f"{key} is missing" for key in ("device", "bucket") if key not in fields]
    if problems:
        raise BadRegistration([f"{name}: {problem}" for problem in problems])
    device = Device(
        name=name,
        bucket=fields["bucket"],
        prefix=fields.get("prefix", f"{name}/"),
        enabled=fields.get("enabled", True),
        expires_at=fields.get("expires"),
        list_uploads=fields.get("list_uploads", False),
        tagging=fields.get("tagging", False),
        kms_key_arn=fields.get("kms_key_arn"),
    )
    if wrong := list(problems_of(device)):
        raise BadRegistration([f"{name}: {problem}" for problem in wrong])
    return device


def _fields(item: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What we know of it, and what has another type than it should; NULL counts as absent, what else there is as a note."""
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for key, kind in _KINDS.items():
        value = item.get(key, {"NULL": True})
        if kind in value:
            fields[key] = float(value[kind]) if kind == "N" else value[kind]
        elif "NULL" not in value:
            problems.append(f"{key} is wrong, expected type {kind}")
    return fields, problems


def write_item(device: Device, digest: str) -> dict[str, Any]:
    """The item that describes the device."""
    values = {
        "device": device.name,
        "bucket": device.bucket,
        "prefix": device.prefix,
        "kms_key_arn": device.kms_key_arn,
        "enabled": device.enabled,
        "list_uploads": device.list_uploads,
        "tagging": device.tagging,
        "expires": None if device.expires_at is None else str(math.floor(device.expires_at)),
    }
    item: dict[str, Any] = {key: {_KINDS[key]: value} for key, value in values.items() if value is not None}
    return {"digest": {"S": digest}, **item}
