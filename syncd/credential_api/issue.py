"""What a device gets: the arguments of AssumeRole with the device's session policy, and the answer made of what STS said.

Pure. The role's own permission policy (`policies`) allows the sum of what all devices need; the session policy made here
cuts one session down to one device: what both allow is what it may do.
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from syncd.credential_api.devices import Device

UPLOAD_ACTIONS = ("s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
"""GetObject is for the HEAD that proves an upload. There is no delete, and no listing."""

TAGGING_ACTION = "s3:PutObjectTagging"
KMS_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
LIST_ACTION = "s3:ListBucketMultipartUploads"

SHORTEST_S = 900
LONGEST_S = 3600
"""A role assumed by a role (the Lambda's) lives for an hour at most, whatever the role allows: nobody asks for more."""

LONGEST_POLICY = 2048
_SPECIAL = re.compile(r"[*?$]")


class NotIssuable(Exception):
    """No session can be made for this device as it is registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """The role whose sessions are given out, and for how many seconds."""

    arn: str
    region: str
    session_seconds: int = LONGEST_S

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`: resources are named with the role's own."""
        return self.arn.split(":")[1]


def assume_role(device: Device, role: Role) -> dict[str, Any]:
    """The arguments of AssumeRole for the device. Raises NotIssuable."""
    return {
        "RoleArn": role.arn,
        "RoleSessionName": f"syncd-{device.name}",
        "DurationSeconds": min(role.session_seconds, LONGEST_S),
        "Policy": session_policy(device, role.partition),
        "Tags": [{"Key": "device", "Value": device.name}],
    }


def session_policy(device: Device, partition: str = "aws") -> str:
    """What a session of the device may do, as compact JSON (some stores refuse policies with spaces). Raises NotIssuable."""
    _check_prefix(device)
    bucket = f"arn:{partition}:s3:::{device.bucket}"
    actions = [*UPLOAD_ACTIONS, *([TAGGING_ACTION] if device.tagging else [])]
    statements = [_allow(actions, f"{bucket}/{device.prefix}*")]
    if device.kms_key_arn is not None:
        statements.append(_allow([*KMS_ACTIONS], device.kms_key_arn))
    if device.list_uploads:
        statements.append(_allow([LIST_ACTION], bucket))
    policy = compact({"Version": "2012-10-17", "Statement": statements})
    if len(policy) > LONGEST_POLICY:
        raise NotIssuable(f"the session policy of {device.name} is longer than {LONGEST_POLICY} characters")
    return policy


def compact(document: Any) -> str:
    """JSON without a space."""
    return json.dumps(document, separators=(",", ":"))


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _check_prefix(device: Device) -> None:
    """A prefix is put before a `*`: what would match more than it says is refused."""
    if not device.prefix.endswith("/"):
        raise NotIssuable(f"the prefix of {device.name} must end in /")
    if _SPECIAL.search(device.prefix):
        raise NotIssuable(f"the prefix of {device.name} must not contain *, ? or $")


def answer(device: Device, role: Role, assumed: dict[str, Any]) -> dict[str, Any]:
    """What `POST` says: the shape of boto3's AssumeRole answer, and where to upload to."""
    given = assumed["Credentials"]
    return {
        "Credentials": {
            "AccessKeyId": given["AccessKeyId"],
            "SecretAccessKey": given["SecretAccessKey"],
            "SessionToken": given["SessionToken"],
            "Expiration": _moment(given["Expiration"]),
        },
        "AssumedRoleUser": assumed.get("AssumedRoleUser"),
        "Destination": {"Bucket": device.bucket, "Prefix": device.prefix, "Region": role.region},
    }


def container_answer(assumed: dict[str, Any]) -> dict[str, Any]:
    """What `GET` says: the form that the SDKs' container provider reads (AWS_CONTAINER_CREDENTIALS_FULL_URI)."""
    given = assumed["Credentials"]
    return {
        "AccessKeyId": given["AccessKeyId"],
        "SecretAccessKey": given["SecretAccessKey"],
        "Token": given["SessionToken"],
        "Expiration": _moment(given["Expiration"]),
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
