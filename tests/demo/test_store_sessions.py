"""Temporary credentials: how AssumeRole gives them out, what they may do, and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.demo.store import Store

BUCKET = "arn:aws:s3:::captures"


def _policy(action: Any = "s3:*", resource: Any = f"{BUCKET}/*", effect: str = "Allow", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def lister(tmp_path: Path) -> Iterator[Store]:
    """A store whose role may list."""
    may = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    with Store(tmp_path / "lister", min_part_size=5, min_session_seconds=1, role_may=may) as running:
        yield running


def test_a_session_does_all_that_an_upload_needs(store: Store, connect: Any, assume: Any) -> None:
    client = connect(store, assume())
    client.put_object(Bucket="captures", Key="k", Body=b"hello")
    assert client.get_object(Bucket="captures", Key="k")["Body"].read() == b"hello"
    upload = client.create_multipart_upload(Bucket="captures", Key="m")["UploadId"]
    client.upload_part(Bucket="captures", Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    assert len(client.list_parts(Bucket="captures", Key="m", UploadId=upload)["Parts"]) == 1
    client.abort_multipart_upload(Bucket="captures", Key="m", UploadId=upload)


def test_a_session_never_deletes_lists_or_makes_buckets_even_if_its_policy_says_so(
    store: Store, connect: Any, assume: Any, refused: Any
) -> None:
    client = connect(store, assume(Policy=_policy(resource="*")))
    client.put_object(Bucket="captures", Key="k", Body=b"hello")
    denied = (403, "AccessDenied")
    assert refused(client.delete_object, Bucket="captures", Key="k") == denied
    assert refused(client.list_objects_v2, Bucket="captures") == denied
    assert refused(client.list_multipart_uploads, Bucket="captures") == denied
    assert refused(client.create_bucket, Bucket="another") == denied
    assert refused(client.head_bucket, Bucket="captures") == (403, "403")


def test_the_role_reaches_no_other_bucket(
    store: Store, s3: Any, connect: Any, assume: Any, refused: Any
) -> None:
    s3.create_bucket(Bucket="another")
    client = connect(store, assume())
    assert refused(client.put_object, Bucket="another", Key="k", Body=b"x") == (403, "AccessDenied")


def test_a_role_that_may_list_gives_sessions_that_may_list(lister: Store, connect: Any) -> None:
    answer = connect(lister, service="sts").assume_role(
        RoleArn=lister.role_arn, RoleSessionName="device", DurationSeconds=60
    )["Credentials"]
    keys = {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
    }
    client = connect(lister, keys)
    assert client.list_objects_v2(Bucket="captures")["KeyCount"] == 0
    assert "Uploads" not in client.list_multipart_uploads(Bucket="captures")


def test_a_missing_key_is_403_without_and_404_with_the_right_to_list(
    store: Store, s3: Any, connect: Any, assume: Any, refused: Any
) -> None:
    client = connect(store, assume())
    assert refused(client.head_object, Bucket="captures", Key="none") == (403, "403")
    assert refused(client.get_object, Bucket="captures", Key="none") == (403, "AccessDenied")
    assert refused(s3.head_object, Bucket="captures", Key="none") == (404, "404")
    assert refused(s3.get_object, Bucket="captures", Key="none") == (404, "NoSuchKey")


def test_the_session_policy_confines_to_its_prefix(
    store: Store, connect: Any, assume: Any, refused: Any
) -> None:
    client = connect(store, assume(Policy=_policy(resource=f"{BUCKET}/cam-1/*")))
    client.put_object(Bucket="captures", Key="cam-1/a/b", Body=b"x")
    for key in ("cam-10/a", "cam-1", "CAM-1/a", "x/cam-1/a"):
        assert refused(client.put_object, Bucket="captures", Key=key, Body=b"x") == (403, "AccessDenied")
    assert list(store.objects()) == ["cam-1/a/b"]


def test_the_session_policy_confines_to_its_actions(
    store: Store, connect: Any, assume: Any, refused: Any
) -> None:
    client = connect(store, assume(Policy=_policy(action=["s3:PutO*", "s3:abortmultipartupload"])))
    client.put_object(Bucket="captures", Key="k", Body=b"x")
    upload = client.create_multipart_upload(Bucket="captures", Key="k")["UploadId"]
    named = {"Bucket": "captures", "Key": "k", "UploadId": upload}
    assert refused(client.get_object, Bucket="captures", Key="k") == (403, "AccessDenied")
    assert refused(client.list_parts, **named) == (403, "AccessDenied")
    client.abort_multipart_upload(**named)


def test_a_denial_in_the_session_policy_wins(store: Store, connect: Any, assume: Any, refused: Any) -> None:
    allow = json.loads(_policy())["Statement"][0]
    deny = allow | {"Effect": "Deny", "Resource": f"{BUCKET}/secret/*"}
    client = connect(store, assume(Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})))
    client.put_object(Bucket="captures", Key="open/k", Body=b"x")
    assert refused(client.put_object, Bucket="captures", Key="secret/k", Body=b"x") == (403, "AccessDenied")


def test_tags_need_a_right_of_their_own(store: Store, connect: Any, assume: Any, refused: Any) -> None:
    client = connect(store, assume(Policy=_policy(action="s3:PutObject")))
    tagged = {"Bucket": "captures", "Key": "k", "Tagging": "a=b"}
    assert refused(client.put_object, Body=b"x", **tagged) == (403, "AccessDenied")
    assert refused(client.create_multipart_upload, **tagged) == (403, "AccessDenied")


def test_if_match_needs_the_right_to_read(store: Store, connect: Any, assume: Any, refused: Any) -> None:
    client = connect(store, assume(Policy=_policy(action="s3:PutObject")))
    etag = client.put_object(Bucket="captures", Key="k", Body=b"x")["ETag"]
    again = {"Bucket": "captures", "Key": "k", "Body": b"y", "IfMatch": etag}
    assert refused(client.put_object, **again) == (403, "AccessDenied")


@pytest.mark.parametrize("token", ["forged", None])
def test_a_wrong_or_missing_token_is_refused(
    store: Store, connect: Any, assume: Any, refused: Any, token: str | None
) -> None:
    keys = assume()
    keys.pop("aws_session_token")
    if token is not None:
        keys["aws_session_token"] = token
    client = connect(store, keys)
    assert refused(client.put_object, Bucket="captures", Key="k", Body=b"x") == (400, "InvalidToken")


def test_a_token_beside_the_long_lived_key_is_refused(
    store: Store, connect: Any, assume: Any, refused: Any
) -> None:
    mixed = assume() | {
        "aws_access_key_id": store.access_key,
        "aws_secret_access_key": store.secret_key,
    }
    assert refused(connect(store, mixed).put_object, Bucket="captures", Key="k", Body=b"x") == (
        400,
        "InvalidToken",
    )


def test_a_session_ends_when_it_was_said_to(
    store: Store, connect: Any, sts: Any, clock: Any, refused: Any
) -> None:
    answer = sts.assume_role(RoleArn=store.role_arn, RoleSessionName="device", DurationSeconds=60)
    credentials = answer["Credentials"]
    client = connect(
        store,
        {
            "aws_access_key_id": credentials["AccessKeyId"],
            "aws_secret_access_key": credentials["SecretAccessKey"],
            "aws_session_token": credentials["SessionToken"],
        },
    )
    clock.offset = credentials["Expiration"].timestamp() - clock() - 2
    client.put_object(Bucket="captures", Key="k", Body=b"x")
    clock.offset += 3
    assert refused(client.put_object, Bucket="captures", Key="k", Body=b"x") == (400, "ExpiredToken")


def test_sessions_and_keys_outlive_the_store_and_are_private(
    store: Store, connect: Any, assume: Any, tmp_path: Path
) -> None:
    keys = assume(Policy=_policy(resource=f"{BUCKET}/cam/*"))
    before = store.access_key, store.secret_key
    store.stop()
    with Store(tmp_path / "store", min_part_size=5) as again:
        assert (again.access_key, again.secret_key) == before
        connect(again, keys).put_object(Bucket="captures", Key="cam/k", Body=b"x")
    secrets = [tmp_path / "store" / "keys.json", *(tmp_path / "store" / "sessions").iterdir()]
    assert [path.stat().st_mode & 0o777 for path in secrets] == [0o600, 0o600]
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


def test_expired_sessions_are_forgotten_after_a_day(
    store: Store, assume: Any, clock: Any, tmp_path: Path
) -> None:
    assume(DurationSeconds=1)
    issue = store._keyring.issue
    issue(name="x", policy=None, expires_at=clock() + 200_001, now=clock() + 200_000)
    assert len(list((tmp_path / "store" / "sessions").iterdir())) == 1


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(899, False), (900, True), (43_200, True), (43_201, False)]
)
def test_sessions_last_15_minutes_to_12_hours_as_on_aws(
    tmp_path: Path, connect: Any, refused: Any, seconds: int, accepted: bool
) -> None:
    with Store(tmp_path / "as-aws") as store:
        client = connect(store, service="sts")
        wanted = {"RoleArn": store.role_arn, "RoleSessionName": "device", "DurationSeconds": seconds}
        if accepted:
            client.assume_role(**wanted)
        else:
            assert refused(client.assume_role, **wanted) == (400, "ValidationError")


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:role/other"}, 403, "AccessDenied"),
        ({"RoleSessionName": "x"}, 400, "ValidationError"),
        ({"RoleSessionName": "a b"}, 400, "ValidationError"),
        ({"DurationSeconds": 0}, 400, "ValidationError"),
        ({"Policy": _policy(Sid="x" * 2048)}, 400, "ValidationError"),
        ({"Policy": "no json"}, 400, "MalformedPolicyDocument"),
        ({"Policy": "[]"}, 400, "MalformedPolicyDocument"),
        ({"Policy": '{"Version": "2012-10-17"}'}, 400, "MalformedPolicyDocument"),
        ({"Policy": _policy(effect="Maybe")}, 400, "MalformedPolicyDocument"),
        ({"Policy": _policy(action=[])}, 400, "MalformedPolicyDocument"),
        ({"Policy": _policy(resource=7)}, 400, "MalformedPolicyDocument"),
        ({"Policy": _policy(Condition={"Bool": {}})}, 400, "MalformedPolicyDocument"),
        ({"Policy": _policy(NotAction="s3:*")}, 400, "MalformedPolicyDocument"),
        ({"ExternalId": "12345"}, 400, "ValidationError"),
    ],
)
def test_assume_role_refuses_what_it_cannot_grant(
    store: Store, sts: Any, refused: Any, parameters: dict[str, Any], status: int, code: str
) -> None:
    wanted = {"RoleArn": store.role_arn, "RoleSessionName": "device", "DurationSeconds": 60}
    assert refused(sts.assume_role, **wanted | parameters) == (status, code)


def test_sessions_cannot_be_chained(store: Store, connect: Any, assume: Any, refused: Any) -> None:
    client = connect(store, assume(), service="sts")
    wanted = {"RoleArn": store.role_arn, "RoleSessionName": "device", "DurationSeconds": 60}
    assert refused(client.assume_role, **wanted) == (403, "AccessDenied")


def test_sts_refuses_bad_signatures_in_its_own_words(
    store: Store, connect: Any, sts: Any, clock: Any, refused: Any
) -> None:
    wanted = {"RoleArn": store.role_arn, "RoleSessionName": "device", "DurationSeconds": 60}
    secret = {"aws_secret_access_key": store.secret_key}
    unknown = connect(store, {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA", **secret}, service="sts")
    assert refused(unknown.assume_role, **wanted) == (403, "InvalidClientTokenId")
    wrong = {"aws_access_key_id": store.access_key, "aws_secret_access_key": "wrong"}
    assert refused(connect(store, wrong, service="sts").assume_role, **wanted) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert refused(sts.get_caller_identity) == (400, "InvalidAction")
    clock.offset = 1000
    assert refused(sts.assume_role, **wanted) == (403, "SignatureDoesNotMatch")


def test_a_session_goes_on_with_an_upload_that_another_began(store: Store, connect: Any, assume: Any) -> None:
    first, second = connect(store, assume()), connect(store, assume())
    upload = first.create_multipart_upload(Bucket="captures", Key="m")["UploadId"]
    named = {"Bucket": "captures", "Key": "m", "UploadId": upload}
    etag = first.upload_part(PartNumber=1, Body=b"hello", **named)["ETag"]
    second.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **named)
    assert store.read("m") == b"hello"
