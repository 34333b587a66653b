"""What a session may do, judged by a gateway that enforces trust policy, role policy, session policy and expiry."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.estate import Estate

from syncd.credential_api.issue import assume_role

pytestmark = pytest.mark.gateway

PART = 5 << 20
Act = Callable[[Any, str], object]


def refusal(act: Callable[[], object]) -> int:
    """The HTTP status that the act is refused with."""
    with pytest.raises(ClientError) as caught:
        act()
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def begin(s3: Any, bucket: str, key: str) -> str:
    return str(s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"])


def wait_for_the_end_of(s3: Any, bucket: str) -> None:
    """Until its session has expired: the gateway's own word for it."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            s3.put_object(Bucket=bucket, Key="cam/knock", Body=b"")
        except ClientError:
            return
        time.sleep(0.1)  # there is no event to wait for
    raise AssertionError("a session of seconds has not expired in 20 s")


def put_part(s3: Any, bucket: str, key: str, upload: str, number: int, body: bytes) -> dict[str, Any]:
    answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
    return {"PartNumber": number, "ETag": answer["ETag"]}


def test_a_session_may_do_all_that_an_upload_needs(estate: Estate) -> None:
    s3, bucket = estate.s3(estate.device()), estate.bucket
    s3.put_object(Bucket=bucket, Key="cam/small", Body=b"small")
    assert s3.head_object(Bucket=bucket, Key="cam/small")["ContentLength"] == 5
    assert s3.get_object(Bucket=bucket, Key="cam/small")["Body"].read() == b"small"
    upload = begin(s3, bucket, "cam/large")
    parts = [
        put_part(s3, bucket, "cam/large", upload, 1, b"a" * PART),
        put_part(s3, bucket, "cam/large", upload, 2, b"b"),
    ]
    assert len(s3.list_parts(Bucket=bucket, Key="cam/large", UploadId=upload)["Parts"]) == 2
    s3.complete_multipart_upload(
        Bucket=bucket, Key="cam/large", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    given_up = begin(s3, bucket, "cam/given-up")
    s3.abort_multipart_upload(Bucket=bucket, Key="cam/given-up", UploadId=given_up)
    assert estate.read("cam/large") == b"a" * PART + b"b"


FORBIDDEN: dict[str, Act] = {
    "put another device's": lambda s3, bucket: s3.put_object(Bucket=bucket, Key="cam-2/x", Body=b"x"),
    "put a name that its prefix begins": lambda s3, bucket: s3.put_object(
        Bucket=bucket, Key="camera/x", Body=b"x"
    ),
    "put at the root": lambda s3, bucket: s3.put_object(Bucket=bucket, Key="x", Body=b"x"),
    "get another device's": lambda s3, bucket: s3.get_object(Bucket=bucket, Key="other/there"),
    "head another device's": lambda s3, bucket: s3.head_object(Bucket=bucket, Key="other/there"),
    "begin another device's": lambda s3, bucket: s3.create_multipart_upload(Bucket=bucket, Key="other/x"),
    "delete its own": lambda s3, bucket: s3.delete_object(Bucket=bucket, Key="cam/there"),
    "delete several": lambda s3, bucket: s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "cam/there"}], "Quiet": True}
    ),
    "copy another device's": lambda s3, bucket: s3.copy_object(
        Bucket=bucket, Key="cam/copy", CopySource=f"{bucket}/other/there"
    ),
    "tag": lambda s3, bucket: s3.put_object_tagging(
        Bucket=bucket, Key="cam/there", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    ),
    "set an ACL": lambda s3, bucket: s3.put_object_acl(Bucket=bucket, Key="cam/there", ACL="public-read"),
    "list": lambda s3, bucket: s3.list_objects_v2(Bucket=bucket, Prefix="cam/"),
    "list uploads": lambda s3, bucket: s3.list_multipart_uploads(Bucket=bucket, Prefix="cam/"),
    "list buckets": lambda s3, bucket: s3.list_buckets(),
    "make a bucket": lambda s3, bucket: s3.create_bucket(Bucket=f"{bucket}-more"),
    "delete the bucket": lambda s3, bucket: s3.delete_bucket(Bucket=bucket),
    "set the bucket's policy": lambda s3, bucket: s3.put_bucket_policy(Bucket=bucket, Policy="{}"),
    "put into another bucket": lambda s3, bucket: s3.put_object(
        Bucket=f"{bucket}-other", Key="cam/x", Body=b"x"
    ),
}


def test_a_session_may_do_nothing_else(estate: Estate) -> None:
    bucket = estate.bucket
    estate.admin.create_bucket(Bucket=f"{bucket}-other")
    for key in ("cam/there", "other/there"):
        estate.admin.put_object(Bucket=bucket, Key=key, Body=b"there")
    s3 = estate.s3(estate.device())
    assert {
        name: refusal(lambda act=act: act(s3, bucket)) for name, act in FORBIDDEN.items()
    } == dict.fromkeys(FORBIDDEN, 403)
    for key in ("cam/there", "other/there"):
        assert estate.read(key) == b"there"


def test_more_is_allowed_where_both_the_role_and_the_registry_say_so(estate: Estate) -> None:
    more, bucket = estate.device(tagging=True, list_uploads=True), estate.bucket
    estate.admin.put_object(Bucket=bucket, Key="cam/there", Body=b"there")
    acts = [FORBIDDEN["tag"], FORBIDDEN["list uploads"]]
    only_the_registry = estate.s3(more)
    assert [refusal(lambda act=act: act(only_the_registry, bucket)) for act in acts] == [403, 403]
    estate.setup = replace(estate.setup, tagging=True, list_uploads=True)
    estate.allow_uploads()
    only_the_role = estate.s3(estate.device())
    assert [refusal(lambda act=act: act(only_the_role, bucket)) for act in acts] == [403, 403]
    both = estate.s3(more)
    for act in acts:
        act(both, bucket)


def test_a_second_session_goes_on_with_an_upload_that_the_first_began(estate: Estate) -> None:
    bucket, key, device = estate.bucket, "cam/film", estate.device()
    first = estate.s3(device)
    upload = begin(first, bucket, key)
    put_part(first, bucket, key, upload, 1, b"a" * PART)
    second = estate.s3(device)
    kept = second.list_parts(Bucket=bucket, Key=key, UploadId=upload)["Parts"]
    parts = [{"PartNumber": kept[0]["PartNumber"], "ETag": kept[0]["ETag"]}]
    parts.append(put_part(second, bucket, key, upload, 2, b"b"))
    second.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert estate.read(key) == b"a" * PART + b"b"


def test_another_device_may_neither_look_at_an_upload_nor_go_on_with_it_nor_abort_it(estate: Estate) -> None:
    bucket, key = estate.bucket, "cam/film"
    upload = begin(estate.s3(estate.device()), bucket, key)
    other = estate.s3(estate.device("other"))
    asked = {"Bucket": bucket, "Key": key, "UploadId": upload}
    acts: list[Callable[[], object]] = [
        lambda: other.list_parts(**asked),
        lambda: other.upload_part(**asked, PartNumber=1, Body=b"a"),
        lambda: other.abort_multipart_upload(**asked),
        lambda: other.complete_multipart_upload(
            **asked, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "e"}]}
        ),
    ]
    assert [refusal(act) for act in acts] == [403] * 4
    assert [each["UploadId"] for each in estate.admin.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [
        upload
    ]


def test_an_expired_session_is_refused_and_its_upload_waits_for_the_next_one(estate: Estate) -> None:
    bucket, key, device = estate.bucket, "cam/film", estate.device()
    short = estate.s3(device, seconds=2)
    upload = begin(short, bucket, key)
    put_part(short, bucket, key, upload, 1, b"a" * PART)
    wait_for_the_end_of(short, bucket)
    assert refusal(lambda: put_part(short, bucket, key, upload, 2, b"b")) == 403
    assert refusal(lambda: short.list_parts(Bucket=bucket, Key=key, UploadId=upload)) == 403
    assert refusal(lambda: short.put_object(Bucket=bucket, Key=key, Body=b"x")) == 403
    assert len(estate.s3(device).list_parts(Bucket=bucket, Key=key, UploadId=upload)["Parts"]) == 1


def test_only_who_is_named_in_the_trust_policy_may_take_on_the_role(estate: Estate) -> None:
    device, gateway = estate.device(), estate.gateway
    for user in ("stranger", "issuer"):
        assert refusal(lambda user=user: estate.session(device, asker=gateway.keys(user))) == 403
    wrong = replace(estate.api, secret="not-its-secret")
    assert refusal(lambda: estate.session(device, asker=wrong)) == 403
    estate.trust(f"arn:aws:iam::{gateway.account}:user/stranger")
    assert estate.session(device, asker=gateway.keys("stranger")).token
    assert estate.session(device).token


def test_a_device_may_take_on_no_role_to_leave_its_session_policy_behind(estate: Estate) -> None:
    sts = estate.gateway.client("sts", estate.session(estate.device()))
    other = assume_role(estate.device("other"), estate.role)
    api = {"RoleArn": estate.setup.execution_role_arn, "RoleSessionName": "api"}
    assert refusal(lambda: sts.assume_role(**other)) == 403
    assert refusal(lambda: sts.assume_role(**api)) == 403


def test_nobody_reaches_the_bucket_without_tls_once_its_policy_is_set(estate: Estate) -> None:
    bucket, session = estate.bucket, estate.session(estate.device())
    plain = estate.gateway.client("s3", session)
    plain.put_object(Bucket=bucket, Key="cam/x", Body=b"x")
    estate.require_tls()
    assert refusal(lambda: plain.put_object(Bucket=bucket, Key="cam/y", Body=b"y")) == 403
    assert refusal(lambda: plain.get_object(Bucket=bucket, Key="cam/x")) == 403
    tls = estate.gateway.client("s3", session, tls=True)
    tls.put_object(Bucket=bucket, Key="cam/y", Body=b"y")
    assert refusal(lambda: tls.put_object(Bucket=bucket, Key="other/y", Body=b"y")) == 403


def test_without_its_own_policy_the_role_may_nothing_and_with_it_again_what_it_could(estate: Estate) -> None:
    s3, bucket = estate.s3(estate.device()), estate.bucket
    s3.put_object(Bucket=bucket, Key="cam/x", Body=b"x")
    estate.forbid_uploads()
    assert refusal(lambda: s3.put_object(Bucket=bucket, Key="cam/x", Body=b"x")) == 403
    estate.allow_uploads()
    s3.put_object(Bucket=bucket, Key="cam/x", Body=b"x")
