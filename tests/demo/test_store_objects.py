"""Whole objects: put, read, conditions, what is kept beside the bytes, and lists."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from syncd.demo.store import Store
from syncd.demo.store.contents import read_range
from syncd.demo.store.sums import FAST_CRC64

AT = {"Bucket": "captures", "Key": "k"}


def test_a_put_object_comes_back_with_all_that_was_said_about_it(s3: Any, store: Store) -> None:
    s3.put_object(
        Body=b"hello",
        Metadata={"syncd-upload": "t0ken"},
        ContentType="video/mp4",
        Tagging="a=1&b=%20",
        StorageClass="STANDARD_IA",
        CacheControl="no-store",
        **AT,
    )
    head = s3.head_object(**AT)
    got = s3.get_object(**AT)
    for answer in (head, got):
        assert answer["ContentLength"] == 5
        assert answer["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        assert answer["Metadata"] == {"syncd-upload": "t0ken"}
        assert answer["ContentType"] == "video/mp4"
        assert answer["TagCount"] == 2
        assert answer["StorageClass"] == "STANDARD_IA"
        assert answer["CacheControl"] == "no-store"
    assert got["Body"].read() == b"hello"
    assert store.record("k").description.tags == {"a": "1", "b": " "}


def test_the_oracle_reads_the_bytes_that_are_on_disk(s3: Any, store: Store) -> None:
    s3.put_object(Body=b"hello", Metadata={"m": "1"}, **AT)
    seen = store.objects()["k"]
    assert seen == (
        5,
        hashlib.sha256(b"hello").hexdigest(),
        f'"{hashlib.md5(b"hello").hexdigest()}"',
        {"m": "1"},
    )
    [file] = [path for path in store._buckets["captures"].data.iterdir() if path.is_file()]
    file.write_bytes(b"hELlo")
    assert store.objects()["k"].sha256 == hashlib.sha256(b"hELlo").hexdigest()


def test_an_empty_object_is_an_object(s3: Any, store: Store) -> None:
    s3.put_object(Body=b"", **AT)
    assert s3.get_object(**AT)["Body"].read() == b""
    assert store.objects()["k"].size == 0


def test_putting_again_replaces_and_leaves_no_bytes_behind(s3: Any, store: Store) -> None:
    s3.put_object(Body=b"old", Metadata={"a": "1"}, **AT)
    s3.put_object(Body=b"new one", **AT)
    assert store.read("k") == b"new one"
    assert s3.head_object(**AT)["Metadata"] == {}
    assert len(list(store._buckets["captures"].data.iterdir())) == 1


@pytest.mark.parametrize(
    ("wanted", "content"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=3-6", b"3456"),
        ("bytes=7-", b"789"),
        ("bytes=-2", b"89"),
        ("bytes=5-99", b"56789"),
    ],
)
def test_ranges_cut_the_right_bytes(s3: Any, wanted: str, content: bytes) -> None:
    s3.put_object(Body=b"0123456789", **AT)
    answer = s3.get_object(Range=wanted, **AT)
    assert answer["Body"].read() == content
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"].endswith("/10")


def test_ranges_cut_across_the_parts_of_an_object(s3: Any) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    etags = [
        s3.upload_part(UploadId=upload, PartNumber=number, Body=body, **AT)["ETag"]
        for number, body in ((1, b"01234"), (2, b"56789"), (3, b"abc"))
    ]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": parts}, **AT)
    assert s3.get_object(Range="bytes=3-10", **AT)["Body"].read() == b"3456789a"
    assert s3.get_object(**AT)["Body"].read() == b"0123456789abc"


def test_a_range_behind_the_end_is_refused(s3: Any, refused: Any) -> None:
    s3.put_object(Body=b"0123456789", **AT)
    assert refused(s3.get_object, Range="bytes=10-", **AT) == (416, "InvalidRange")


@pytest.mark.parametrize("header", ["", "bytes=-", "bytes=1-2,4-5", "lines=1-2"])
def test_what_is_no_single_range_means_everything(header: str) -> None:
    assert read_range(header, 10) is None


def test_if_none_match_writes_only_where_nothing_is(s3: Any, store: Store, refused: Any) -> None:
    s3.put_object(Body=b"first", IfNoneMatch="*", **AT)
    assert refused(s3.put_object, Body=b"second", IfNoneMatch="*", **AT) == (412, "PreconditionFailed")
    assert store.read("k") == b"first"
    assert refused(s3.put_object, Body=b"x", IfNoneMatch='"etag"', **AT) == (501, "NotImplemented")


def test_if_match_writes_only_over_the_same_object(s3: Any, store: Store, refused: Any) -> None:
    assert refused(s3.put_object, Body=b"x", IfMatch='"0"', **AT) == (404, "NoSuchKey")
    etag = s3.put_object(Body=b"first", **AT)["ETag"]
    assert refused(s3.put_object, Body=b"x", IfMatch='"0"', **AT) == (412, "PreconditionFailed")
    s3.put_object(Body=b"second", IfMatch=etag, **AT)
    assert store.read("k") == b"second"


def test_reads_may_have_conditions_too(s3: Any, refused: Any) -> None:
    etag = s3.put_object(Body=b"x", **AT)["ETag"]
    assert s3.get_object(IfMatch=etag, **AT)["Body"].read() == b"x"
    assert refused(s3.get_object, IfMatch='"0"', **AT) == (412, "PreconditionFailed")
    assert refused(s3.head_object, IfNoneMatch=etag, **AT) == (304, "304")


def test_a_key_has_at_most_1024_bytes(s3: Any, store: Store, refused: Any) -> None:
    s3.put_object(Bucket="captures", Key="ä" * 512, Body=b"x")
    assert refused(s3.put_object, Bucket="captures", Key="ä" * 512 + "x", Body=b"x") == (
        400,
        "KeyTooLongError",
    )
    assert len(store.objects()) == 1


def test_a_key_that_is_no_utf8_is_refused(wire: Any) -> None:
    reply = wire.call("PUT", "/captures/%FF", {}, b"x")
    assert (reply.status, reply.code) == (400, "InvalidURI")


def test_a_body_of_more_than_5_gib_is_refused_unread(wire: Any) -> None:
    headers = wire.sign("PUT", "/captures/k", {}, content_hash="UNSIGNED-PAYLOAD")
    reply = wire.send("PUT", "/captures/k", headers | {"Content-Length": str((5 << 30) + 1)})
    assert (reply.status, reply.code) == (400, "EntityTooLarge")


def test_metadata_beyond_2_kib_is_refused(s3: Any, refused: Any) -> None:
    s3.put_object(Body=b"x", Metadata={"a": "x" * 2000}, **AT)
    assert refused(s3.put_object, Body=b"x", Metadata={"a": "x" * 2048}, **AT) == (400, "MetadataTooLarge")


def test_deleting_is_the_long_lived_keys_and_may_be_repeated(s3: Any, store: Store) -> None:
    s3.put_object(Body=b"x", **AT)
    s3.delete_object(**AT)
    s3.delete_object(**AT)
    assert store.objects() == {}
    assert list(store._buckets["captures"].data.iterdir()) == []


def test_under_kms_the_etag_is_no_md5_and_every_answer_says_so(s3: Any) -> None:
    answer = s3.put_object(Body=b"hello", ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1", **AT)
    assert answer["ETag"] != f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert answer["ServerSideEncryption"] == s3.head_object(**AT)["ServerSideEncryption"] == "aws:kms"
    assert s3.head_object(**AT)["SSEKMSKeyId"] == "key-1"


def test_an_object_without_a_checksum_of_its_own_gets_a_crc64nvme(s3: Any, checksum: Any) -> None:
    answer = s3.put_object(Body=b"hello", **AT)
    wanted = checksum("CRC64NVME", b"hello") if FAST_CRC64 else None
    assert answer.get("ChecksumCRC64NVME") == wanted
    assert s3.head_object(ChecksumMode="ENABLED", **AT).get("ChecksumCRC64NVME") == wanted


def test_a_bucket_that_is_not_there_is_said_not_to_be(s3: Any, refused: Any) -> None:
    away = {"Bucket": "nowhere", "Key": "k"}
    missing = (404, "NoSuchBucket")
    assert refused(s3.put_object, Body=b"x", **away) == missing
    assert refused(s3.create_multipart_upload, **away) == missing
    assert refused(s3.list_objects_v2, Bucket="nowhere") == missing
    assert refused(s3.head_bucket, Bucket="nowhere") == (404, "404")


def test_buckets_are_made_once_and_named_rightly(s3: Any, store: Store, refused: Any) -> None:
    s3.create_bucket(Bucket="another")
    s3.put_object(Bucket="another", Key="k", Body=b"x")
    assert list(store.objects("another")) == ["k"]
    s3.head_bucket(Bucket="another")
    assert refused(s3.create_bucket, Bucket="another") == (409, "BucketAlreadyOwnedByYou")
    assert refused(s3.create_bucket, Bucket="An_other") == (400, "InvalidBucketName")
    assert refused(s3.create_bucket, Bucket="a..b") == (400, "InvalidBucketName")


def test_another_expected_owner_is_refused(s3: Any, refused: Any) -> None:
    s3.put_object(Body=b"x", ExpectedBucketOwner="123456789012", **AT)
    wrong = {"Body": b"x", "ExpectedBucketOwner": "210987654321"}
    assert refused(s3.put_object, **wrong, **AT) == (403, "AccessDenied")


def test_objects_are_listed_in_pages_by_key(s3: Any) -> None:
    keys = sorted(["a/1", "a/2", "a/ü 3", "a/+", "b/1"])
    for key in reversed(keys):
        s3.put_object(Bucket="captures", Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="captures", PaginationConfig={"PageSize": 2})
    sizes, found = [], []
    for page in pages:
        sizes.append(page["KeyCount"])
        found += [each["Key"] for each in page["Contents"]]
    assert (sizes, found) == ([2, 2, 1], keys)
    below = s3.list_objects_v2(Bucket="captures", Prefix="a/", StartAfter="a/1")
    assert [each["Key"] for each in below["Contents"]] == ["a/2", "a/ü 3"]


def test_what_the_store_leaves_out_it_says_it_leaves_out(s3: Any, refused: Any) -> None:
    missing = (501, "NotImplemented")
    s3.put_object(Body=b"x", **AT)
    assert refused(s3.get_object_acl, **AT) == missing
    assert refused(s3.list_buckets) == missing
    assert refused(s3.copy_object, CopySource="captures/k", **AT) == missing
    assert (
        refused(s3.put_object, Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32, **AT)
        == missing
    )
    assert refused(s3.list_objects_v2, Bucket="captures", Delimiter="/") == missing
    assert refused(s3.get_object, VersionId="1", **AT) == missing
