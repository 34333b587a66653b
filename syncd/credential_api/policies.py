"""What role and bucket need: the policies, made from the names of one setup.

The **trust policy** says who may take on the upload role (the API's own role), and nothing about what the role may do.
The **permission policy** says what the role may do (upload into the bucket), and nothing about who may take it on.
AssumeRole is refused when the first is wrong; every upload is refused when the second is wrong.

Pure. The names may be CloudFormation's (`${Bucket}`): so the template has the very same policies. There is no delete
and no listing of objects in any of them, and nothing here widens what a session gets: `issue` cuts it down further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from syncd.credential_api.issue import KMS_ACTIONS, LIST_ACTION, TAGGING_ACTION, UPLOAD_ACTIONS

Policy = dict[str, Any]

ABORT_AFTER_DAYS: Final = 7
"""Counted from the begin of an upload. A machine that is offline for longer sends that file again from its start."""

EXPOSED_HEADERS: Final = (
    "ETag",
    "Date",
    "x-amz-version-id",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
)
"""Spelt out: S3 refuses a wildcard among the headers that a browser's script may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The names that the policies are made from. `prefix`: of all devices; empty where they share nothing.

    `principal_arn`: somebody who may take on the upload role from a shell, to try it. `kms_key_arn`, `tagging` and
    `list_uploads`: whether any device has them.
    """

    account: str
    region: str
    bucket: str
    partition: str = "aws"
    prefix: str = ""
    execution_role: str = "syncd-api"
    upload_role: str = "syncd-upload"
    table: str = "syncd-devices"
    log_group: str = "/aws/lambda/syncd-api"
    principal_arn: str | None = None
    kms_key_arn: str | None = None
    tagging: bool = False
    list_uploads: bool = False

    @property
    def bucket_arn(self) -> str:
        """The bucket's; its objects' begin with it."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def execution_role_arn(self) -> str:
        """The role that the API runs under."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.execution_role}"

    @property
    def upload_role_arn(self) -> str:
        """The role whose sessions the devices get."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.upload_role}"

    def regional_arn(self, service: str, resource: str) -> str:
        """Of something that lives in the region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def trust_policy(setup: Setup) -> Policy:
    """Who may take on the upload role: the API, and the principal of a shell where one is named.

    A session may carry the tag `device` and no other: CloudTrail and other policies know a session by its tags. The
    two actions have a statement each, so that the role can be tried without a tag.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
    """
    trusted = {"AWS": _given(setup.execution_role_arn, setup.principal_arn)}
    return _policy(
        {"Sid": "Assume", "Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"},
        {
            "Sid": "NameTheDevice",
            "Effect": "Allow",
            "Principal": trusted,
            "Action": "sts:TagSession",
            "Condition": {
                "StringLike": {"aws:RequestTag/device": "?*"},
                # True also where there is no tag at all: the line above asks for one.
                "ForAllValues:StringEquals": {"aws:TagKeys": ["device"]},
            },
        },
    )


def permission_policy(setup: Setup) -> Policy:
    """What the upload role may do: the sum of what all devices need.

    TLS is not asked for here: the bucket policy asks it of everybody. The key only through S3, where it is for objects.
    """
    objects = f"{setup.bucket_arn}/{setup.prefix}*"
    statements = [_allow("Upload", UPLOAD_ACTIONS, objects)]
    if setup.tagging:
        statements.append(_allow("Tag", [TAGGING_ACTION], objects))
    if setup.kms_key_arn is not None:
        through_s3 = {"StringLike": {"kms:ViaService": "s3.*"}}
        statements.append(_allow("Encrypt", KMS_ACTIONS, setup.kms_key_arn) | {"Condition": through_s3})
    if setup.list_uploads:
        statements.append(_allow("ListUploads", [LIST_ACTION], setup.bucket_arn))
    return _policy(*statements)


def execution_trust_policy() -> Policy:
    """Who may take on the API's own role: Lambda."""
    lambda_service = {"Service": "lambda.amazonaws.com"}
    return _policy({"Effect": "Allow", "Principal": lambda_service, "Action": "sts:AssumeRole"})


def execution_policy(setup: Setup) -> Policy:
    """What the API itself may do: take on the upload role, look devices up one by one, and write its log."""
    return _policy(
        _allow("TakeOnTheUploadRole", ["sts:AssumeRole", "sts:TagSession"], setup.upload_role_arn),
        _allow("LookUpDevices", ["dynamodb:GetItem"], setup.regional_arn("dynamodb", f"table/{setup.table}")),
        _allow(
            "WriteTheLog",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            setup.regional_arn("logs", f"log-group:{setup.log_group}:*"),
        ),
    )


def bucket_policy(setup: Setup) -> Policy:
    """Nobody reaches the bucket without TLS, whatever else allows it."""
    return _policy(
        {
            "Sid": "DenyInsecureTransport",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [setup.bucket_arn, f"{setup.bucket_arn}/*"],
            # IfExists: AWS always says it, Ceph says nothing of a request without TLS.
            "Condition": {"BoolIfExists": {"aws:SecureTransport": "false"}},
        }
    )


def cors(origins: Sequence[str]) -> Policy:
    """For uploads from a browser: the daemon itself needs none. `origins`: at most one `*` in each.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
    """
    rule = {
        "AllowedMethods": ["PUT", "POST", "GET", "HEAD", "DELETE"],
        "AllowedOrigins": list(origins),
        "AllowedHeaders": ["*"],
        "ExposeHeaders": list(EXPOSED_HEADERS),
        "MaxAgeSeconds": 3600,
    }
    return {"CORSRules": [rule]}


def lifecycle(setup: Setup) -> Policy:
    """Aborts uploads that nobody went on with: their parts cost money and are seen in no listing of objects."""
    rule = {
        "ID": "syncd-abort-stale-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": setup.prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_AFTER_DAYS},
    }
    return {"Rules": [rule]}


def partition_of(region: str) -> str:
    """The partition that a region lies in: China and the US government have their own."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rpartition("-")[0].rpartition("-")[0], "aws")


def _policy(*statements: dict[str, Any]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, actions: Sequence[str], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]
