"""Tables of what each policy allows and forbids, judged by a small evaluator of IAM's rules."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from syncd.cli import main
from syncd.credential_api.devices import Device
from syncd.credential_api.issue import UPLOAD_ACTIONS, session_policy
from syncd.credential_api.policies import (
    Policy,
    Setup,
    bucket_policy,
    cors,
    execution_policy,
    execution_trust_policy,
    lifecycle,
    partition_of,
    permission_policy,
    trust_policy,
)

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/abc"
ME = f"arn:aws:iam::{ACCOUNT}:user/me"
API = f"arn:aws:iam::{ACCOUNT}:role/syncd-api"
UPLOAD = f"arn:aws:iam::{ACCOUNT}:role/syncd-upload"
BUCKET = "arn:aws:s3:::captures"
THROUGH_S3 = {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}


def setup(**changes: Any) -> Setup:
    return Setup(**{"account": ACCOUNT, "region": "eu-central-1", "bucket": "captures", **changes})


EVERYTHING = setup(prefix="lab/", tagging=True, list_uploads=True, kms_key_arn=KEY, principal_arn=ME)


def allows(
    policy: Policy,
    action: str,
    resource: str = "*",
    *,
    who: dict[str, str] | None = None,
    context: dict[str, Any] | None = None,
) -> bool:
    """By IAM's rules: a Deny that matches wins, else one Allow is enough."""
    effects = {
        statement["Effect"]
        for statement in policy["Statement"]
        if _any(statement["Action"], action)
        and _any(statement.get("Resource", "*"), resource)
        and (who is None or _names(statement["Principal"], who))
        and _holds(statement.get("Condition", {}), context or {})
    }
    return effects == {"Allow"}


def _any(patterns: str | list[str], value: str) -> bool:
    return any(_like(pattern, value) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def _like(pattern: str, value: str) -> bool:
    form = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(form, value, re.DOTALL) is not None


def _names(principal: Any, who: dict[str, str]) -> bool:
    return principal == "*" or any(_any(principal.get(kind, []), name) for kind, name in who.items())


def _holds(conditions: dict[str, dict[str, Any]], context: dict[str, Any]) -> bool:
    return all(
        _one(operator, wanted, context.get(key))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _one(operator: str, wanted: Any, found: Any) -> bool:
    match operator:
        case "StringLike":
            return found is not None and _any(wanted, found)
        case "BoolIfExists":
            return found is None or str(found).lower() == wanted
        case "ForAllValues:StringEquals":
            return set(found or []) <= set(wanted)
        case _:
            raise AssertionError(operator)


IN, OUT = f"{BUCKET}/lab/cam-07/a.mp4", f"{BUCKET}/elsewhere/a.mp4"
ALLOWED = [
    ("s3:PutObject", IN),
    ("s3:GetObject", IN),
    ("s3:AbortMultipartUpload", IN),
    ("s3:ListMultipartUploadParts", IN),
    ("s3:PutObjectTagging", IN),
    ("s3:ListBucketMultipartUploads", BUCKET),
    ("kms:GenerateDataKey", KEY),
    ("kms:Decrypt", KEY),
]
FORBIDDEN = [
    *((action, OUT) for action in (*UPLOAD_ACTIONS, "s3:PutObjectTagging")),
    *((action, "arn:aws:s3:::other/lab/cam-07/a.mp4") for action in UPLOAD_ACTIONS),
    ("s3:ListBucketMultipartUploads", "arn:aws:s3:::other"),
    *(
        (action, IN)
        for action in (
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:DeleteObjectTagging",
            "s3:GetObjectVersion",
            "s3:GetObjectTagging",
            "s3:GetObjectAcl",
            "s3:PutObjectAcl",
            "s3:PutObjectRetention",
            "s3:PutObjectLegalHold",
            "s3:BypassGovernanceRetention",
            "s3:RestoreObject",
        )
    ),
    *(
        (action, BUCKET)
        for action in (
            "s3:ListBucket",
            "s3:ListBucketVersions",
            "s3:GetBucketLocation",
            "s3:GetBucketPolicy",
            "s3:PutBucketPolicy",
            "s3:PutLifecycleConfiguration",
            "s3:PutBucketCORS",
            "s3:DeleteBucket",
            "s3:CreateBucket",
        )
    ),
    ("s3:ListAllMyBuckets", "*"),
    ("kms:Encrypt", KEY),
    ("kms:GenerateDataKey", f"{KEY}d"),
    ("kms:ScheduleKeyDeletion", KEY),
    ("sts:AssumeRole", UPLOAD),
    ("iam:PassRole", API),
    ("dynamodb:GetItem", f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/syncd-devices"),
]


@pytest.mark.parametrize(("action", "resource"), ALLOWED)
def test_what_devices_need_is_allowed(action: str, resource: str) -> None:
    assert allows(permission_policy(EVERYTHING), action, resource, context=THROUGH_S3)


@pytest.mark.parametrize(("action", "resource"), FORBIDDEN)
def test_what_no_device_needs_is_forbidden(action: str, resource: str) -> None:
    assert not allows(permission_policy(EVERYTHING), action, resource, context=THROUGH_S3)


@pytest.mark.parametrize(("action", "resource"), ALLOWED[4:])
def test_what_only_some_devices_need_is_forbidden_until_it_is_asked_for(action: str, resource: str) -> None:
    assert not allows(permission_policy(setup(prefix="lab/")), action, resource, context=THROUGH_S3)


def test_the_key_is_for_objects_in_s3_and_nothing_else() -> None:
    policy = permission_policy(EVERYTHING)
    assert not allows(policy, "kms:Decrypt", KEY)
    assert not allows(
        policy, "kms:Decrypt", KEY, context={"kms:ViaService": "ec2.eu-central-1.amazonaws.com"}
    )


def test_without_a_prefix_every_devices_prefix_is_in_the_bucket() -> None:
    assert allows(permission_policy(setup()), "s3:PutObject", OUT)
    assert not allows(permission_policy(setup()), "s3:PutObject", "arn:aws:s3:::captures-2/a")


@pytest.mark.parametrize("listing", [False, True])
@pytest.mark.parametrize("tagging", [False, True])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_session_is_never_promised_what_its_role_may_not_do(
    listing: bool, tagging: bool, key: str | None
) -> None:
    options: dict[str, Any] = {"list_uploads": listing, "tagging": tagging, "kms_key_arn": key}
    device = Device(name="cam-07", bucket="captures", prefix="lab/cam-07/", **options)
    role = permission_policy(setup(prefix="lab/", **options))
    for statement in json.loads(session_policy(device))["Statement"]:
        for action in statement["Action"]:
            assert allows(role, action, statement["Resource"].replace("*", "a"), context=THROUGH_S3)


TAGGED = {"aws:RequestTag/device": "cam-07", "aws:TagKeys": ["device"]}
TRUST = [
    (API, "sts:AssumeRole", TAGGED, True),
    (API, "sts:TagSession", TAGGED, True),
    (ME, "sts:AssumeRole", {}, True),
    (ME, "sts:TagSession", TAGGED, True),
    (API, "sts:TagSession", {}, False),
    (API, "sts:TagSession", {"aws:RequestTag/device": "", "aws:TagKeys": ["device"]}, False),
    (API, "sts:TagSession", {"aws:RequestTag/team": "a", "aws:TagKeys": ["team"]}, False),
    (API, "sts:TagSession", TAGGED | {"aws:TagKeys": ["device", "team"]}, False),
    (API, "sts:AssumeRoleWithWebIdentity", {}, False),
    (API, "sts:SetSourceIdentity", {}, False),
    (UPLOAD, "sts:AssumeRole", TAGGED, False),
    (f"arn:aws:iam::{ACCOUNT}:root", "sts:AssumeRole", TAGGED, False),
    (f"arn:aws:iam::{ACCOUNT}:user/other", "sts:AssumeRole", TAGGED, False),
    ("arn:aws:iam::210987654321:role/syncd-api", "sts:AssumeRole", TAGGED, False),
]


@pytest.mark.parametrize(("who", "action", "context", "allowed"), TRUST)
def test_who_may_take_on_the_upload_role(
    who: str, action: str, context: dict[str, Any], allowed: bool
) -> None:
    assert allows(trust_policy(EVERYTHING), action, who={"AWS": who}, context=context) is allowed


def test_nobody_but_the_api_is_trusted_until_somebody_is_named() -> None:
    assert not allows(trust_policy(setup()), "sts:AssumeRole", who={"AWS": ME})
    assert not allows(
        trust_policy(EVERYTHING), "sts:AssumeRole", who={"Service": "lambda.amazonaws.com"}, context=TAGGED
    )


def test_the_apis_own_role_is_for_lambda() -> None:
    trust = execution_trust_policy()
    assert allows(trust, "sts:AssumeRole", who={"Service": "lambda.amazonaws.com"})
    assert not allows(trust, "sts:AssumeRole", who={"Service": "ec2.amazonaws.com"})
    assert not allows(trust, "sts:AssumeRole", who={"AWS": ME})


TABLE = f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/syncd-devices"
LOG = f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group:/aws/lambda/syncd-api"
EXECUTION = [
    ("sts:AssumeRole", UPLOAD, True),
    ("sts:TagSession", UPLOAD, True),
    ("dynamodb:GetItem", TABLE, True),
    ("logs:CreateLogStream", f"{LOG}:log-stream:2026/11/28/[$LATEST]0a", True),
    ("logs:PutLogEvents", f"{LOG}:log-stream:2026/11/28/[$LATEST]0a", True),
    ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin", False),
    ("dynamodb:Scan", TABLE, False),
    ("dynamodb:Query", TABLE, False),
    ("dynamodb:PutItem", TABLE, False),
    ("dynamodb:DeleteItem", TABLE, False),
    ("dynamodb:GetItem", f"{TABLE}-2", False),
    ("logs:PutLogEvents", f"{LOG}-2:log-stream:a", False),
    ("logs:GetLogEvents", f"{LOG}:log-stream:a", False),
    ("logs:DeleteLogGroup", LOG, False),
    ("s3:PutObject", IN, False),
    ("s3:GetObject", IN, False),
]


@pytest.mark.parametrize(("action", "resource", "allowed"), EXECUTION)
def test_what_the_api_itself_may_do(action: str, resource: str, allowed: bool) -> None:
    assert allows(execution_policy(EVERYTHING), action, resource) is allowed


@pytest.mark.parametrize("resource", [BUCKET, IN, OUT])
@pytest.mark.parametrize("action", ["s3:PutObject", "s3:ListBucket", "s3:DeleteObject"])
def test_nobody_reaches_the_bucket_without_tls(action: str, resource: str) -> None:
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    policy = {"Statement": [*bucket_policy(setup())["Statement"], everybody]}
    untold: dict[str, Any] = {}
    for context in ({"aws:SecureTransport": False}, untold):
        assert not allows(policy, action, resource, who={"AWS": ME}, context=context)
    assert allows(policy, action, resource, who={"AWS": ME}, context={"aws:SecureTransport": True})


def test_the_bucket_policy_gives_nobody_anything() -> None:
    assert {statement["Effect"] for statement in bucket_policy(setup())["Statement"]} == {"Deny"}


def test_a_browser_may_upload_from_the_named_pages_and_read_what_proves_it() -> None:
    (rule,) = cors(["https://app.example.com"])["CORSRules"]
    assert set(rule["AllowedMethods"]) == {"PUT", "POST", "GET", "HEAD", "DELETE"}
    assert rule["AllowedOrigins"] == ["https://app.example.com"]
    sums = {f"x-amz-checksum-{name}" for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256", "type")}
    assert {"ETag", "Date", "x-amz-version-id"} | sums == set(rule["ExposeHeaders"])
    assert not any("*" in header for header in rule["ExposeHeaders"])  # S3 refuses the whole document for one


def test_stale_uploads_below_the_prefix_are_aborted_and_nothing_else_expires() -> None:
    (rule,) = lifecycle(EVERYTHING)["Rules"]
    assert rule.pop("ID")
    assert rule == {
        "Status": "Enabled",
        "Filter": {"Prefix": "lab/"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-east-1", "aws"),
    ],
)
def test_resources_are_named_in_the_partition_of_their_region(region: str, partition: str) -> None:
    assert partition_of(region) == partition
    there = setup(region=region, partition=partition, principal_arn=f"arn:{partition}:iam::{ACCOUNT}:user/me")
    every = [permission_policy(there), trust_policy(there), execution_policy(there), bucket_policy(there)]
    assert set(re.findall(r"arn:([^:]+):", json.dumps(every))) == {partition}


def test_every_policy_is_small_enough_for_iam() -> None:
    """Without spaces 2,048 characters of a trust policy and 10,240 of a role's own: the limits of an account as it comes."""
    longest = setup(
        **(vars_of(EVERYTHING) | {"prefix": "p" * 500, "bucket": "b" * 63, "upload_role": "r" * 64})
    )
    assert len(json.dumps(trust_policy(longest))) < 2048
    assert len(json.dumps(permission_policy(longest))) < 10_240


def vars_of(of: Setup) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Setup.__dataclass_fields__}


@pytest.mark.parametrize("arn", [KEY.replace(":key/", ":alias/"), f"{KEY}/x", f"{KEY}*", "abc", ""])
def test_the_verb_takes_a_keys_arn_only_and_says_why_no_alias(
    arn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["credential-api", "policies", "--account", ACCOUNT, "--bucket", "captures", "--kms-key-arn"]
    assert main([*words, arn]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "in a policy's Resource its ARN means the alias, not its key" in told
    assert main([*words, KEY]) == 0
    assert KEY in capsys.readouterr().out
