"""What a session may do, and for whom it is made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.credential_api.devices import NAME, Device
from syncd.credential_api.issue import (
    LONGEST_POLICY,
    NotIssuable,
    Role,
    answer,
    assume_role,
    container_answer,
    session_policy,
)

ROLE = Role(arn="arn:aws:iam::123456789012:role/syncd-upload", region="eu-central-1")
KMS = "arn:aws:kms:eu-central-1:123456789012:key/abc"
GIVEN = {
    "AccessKeyId": "ASIA",
    "SecretAccessKey": "secret",
    "SessionToken": "token",
    "Expiration": datetime(2026, 1, 28, 22, 42, 22, tzinfo=UTC),
}


def device(**changes: Any) -> Device:
    return Device(**{"name": "cam-07", "bucket": "captures", "prefix": "cam-07/", **changes})


def allowed(policy: str) -> set[tuple[str, str]]:
    return {
        (action, statement["Resource"])
        for statement in json.loads(policy)["Statement"]
        for action in statement["Action"]
    }


PLAIN = {
    (action, "arn:aws:s3:::captures/cam-07/*")
    for action in (
        "s3:PutObject",
        "s3:GetObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    )
}


def test_a_session_may_upload_below_its_prefix_and_nothing_else() -> None:
    assert allowed(session_policy(device())) == PLAIN


@pytest.mark.parametrize(
    ("more", "actions"),
    [
        ({"tagging": True}, {("s3:PutObjectTagging", "arn:aws:s3:::captures/cam-07/*")}),
        ({"list_uploads": True}, {("s3:ListBucketMultipartUploads", "arn:aws:s3:::captures")}),
        ({"kms_key_arn": KMS}, {("kms:GenerateDataKey", KMS), ("kms:Decrypt", KMS)}),
    ],
)
def test_more_is_allowed_only_where_the_registry_says_so(
    more: dict[str, Any], actions: set[tuple[str, str]]
) -> None:
    assert allowed(session_policy(device(**more))) == PLAIN | actions


def test_the_role_is_asked_for_one_device_by_name_and_for_an_hour_at_most() -> None:
    long = Role(arn=ROLE.arn, region=ROLE.region, session_seconds=43200)
    asked = assume_role(device(), long)
    assert asked == {
        "RoleArn": ROLE.arn,
        "RoleSessionName": "syncd-cam-07",
        "DurationSeconds": 3600,
        "Policy": session_policy(device()),
        "Tags": [{"Key": "device", "Value": "cam-07"}],
    }
    assert (
        assume_role(device(), Role(arn=ROLE.arn, region="x", session_seconds=900))["DurationSeconds"] == 900
    )


def test_resources_are_named_in_the_partition_of_the_role() -> None:
    china = Role(arn="arn:aws-cn:iam::1:role/r", region="cn-north-1")
    assert '"arn:aws-cn:s3:::captures/cam-07/*"' in assume_role(device(), china)["Policy"]


@pytest.mark.parametrize("prefix", ["cam-07", "", "*/", "cam?/", "${aws:userid}/"])
def test_a_prefix_that_would_match_more_than_it_says_is_refused(prefix: str) -> None:
    with pytest.raises(NotIssuable):
        session_policy(device(prefix=prefix))


def test_a_policy_that_sts_would_refuse_for_its_length_is_never_sent() -> None:
    with pytest.raises(NotIssuable, match="2048"):
        session_policy(device(prefix="x" * 2000 + "/"))


@given(
    name=st.from_regex(NAME, fullmatch=True),
    folder=st.text(st.characters(blacklist_characters="*?$/", blacklist_categories=["Cs"]), max_size=40),
)
def test_every_name_gives_a_session_name_and_a_policy_that_sts_takes(name: str, folder: str) -> None:
    asked = assume_role(device(name=name, prefix=f"{folder}/{name}/"), ROLE)
    assert len(asked["RoleSessionName"]) <= 64
    assert len(asked["Policy"]) <= LONGEST_POLICY
    assert json.loads(asked["Policy"])["Statement"][0]["Resource"].endswith(f"/{name}/*")


def test_the_answer_has_the_shape_of_boto3_and_says_where_to_upload_to() -> None:
    assumed = {"Credentials": GIVEN, "AssumedRoleUser": {"Arn": "a", "AssumedRoleId": "i"}}
    assert answer(device(), ROLE, assumed) == {
        "Credentials": {**GIVEN, "Expiration": "2026-01-28T22:42:22+00:00"},
        "AssumedRoleUser": {"Arn": "a", "AssumedRoleId": "i"},
        "Destination": {"Bucket": "captures", "Prefix": "cam-07/", "Region": "eu-central-1"},
    }
    assert container_answer(assumed) == {
        "AccessKeyId": "ASIA",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2026-01-28T22:42:22+00:00",
    }
