"""Stores that differ from AWS: each habit is off by default, and does what it says when it is on."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.demo.store import Store

AT = {"Bucket": "captures", "Key": "k"}


def completed(s3: Any, **more: Any) -> dict[str, Any]:
    """Completes an upload of one part; gives what the same Complete needs again."""
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    etag = s3.upload_part(Body=b"hello", UploadId=upload, PartNumber=1, **AT)["ETag"]
    again = AT | {"UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
    s3.complete_multipart_upload(**again, **more)
    return again


def test_a_repeated_complete_is_answered_as_before_or_meets_no_upload(
    s3: Any, store: Store, refused: Any
) -> None:
    again = completed(s3)
    assert s3.complete_multipart_upload(**again)["ETag"]
    store.habits.complete_again = "NoSuchUpload"
    assert refused(s3.complete_multipart_upload, **again) == (404, "NoSuchUpload")
    assert store.read("k") == b"hello"


def test_an_upload_that_is_gone_may_be_called_a_key_that_is_not_there(
    s3: Any, store: Store, refused: Any
) -> None:
    assert refused(s3.list_parts, UploadId="gone", **AT) == (404, "NoSuchUpload")
    store.habits.gone_code = "NoSuchKey"
    assert refused(s3.list_parts, UploadId="gone", **AT) == (404, "NoSuchKey")
    assert refused(s3.upload_part, UploadId="gone", PartNumber=1, Body=b"", **AT) == (404, "NoSuchKey")
    assert refused(s3.abort_multipart_upload, UploadId="gone", **AT) == (404, "NoSuchKey")


def test_a_missing_key_may_be_hidden_from_those_who_may_list(s3: Any, store: Store, refused: Any) -> None:
    assert refused(s3.head_object, **AT)[0] == 404
    store.habits.hides_missing = True
    assert refused(s3.head_object, **AT)[0] == 403
    completed(s3)
    assert s3.head_object(**AT)["ContentLength"] == 5


@pytest.mark.parametrize("name", ["CRC32", "CRC64NVME", "SHA256"])
def test_checksums_may_be_neither_checked_nor_promised_nor_echoed_nor_kept(
    s3: Any, store: Store, checksum: Any, name: str
) -> None:
    store.habits.ignores_checksums = store.habits.ignores_md5 = True
    wrong = {f"Checksum{name}": checksum(name, b"something else")}
    put = s3.put_object(Body=b"hello", ContentMD5=checksum("MD5", b"something else"), **wrong, **AT)
    created = s3.create_multipart_upload(ChecksumAlgorithm=name, **AT)
    part = s3.upload_part(Body=b"hello", UploadId=created["UploadId"], PartNumber=1, **wrong, **AT)
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], **wrong}]}
    done = s3.complete_multipart_upload(UploadId=created["UploadId"], MultipartUpload=listed, **AT)
    head = s3.head_object(ChecksumMode="ENABLED", **AT)
    for answer in (put, created, part, done, head):
        assert not [field for field in answer if field.startswith("Checksum")]
    assert store.read("k") == b"hello"


def test_md5_is_still_checked_by_a_store_that_only_ignores_other_checksums(
    s3: Any, store: Store, refused: Any, checksum: Any
) -> None:
    store.habits.ignores_checksums = True
    wrong = checksum("MD5", b"something else")
    assert refused(s3.put_object, Body=b"hello", ContentMD5=wrong, **AT) == (400, "BadDigest")


def test_conditions_may_not_hinder_a_write(s3: Any, store: Store, refused: Any) -> None:
    completed(s3)
    assert refused(s3.put_object, Body=b"new", IfNoneMatch="*", **AT) == (412, "PreconditionFailed")
    store.habits.ignores_conditions = True
    s3.put_object(Body=b"new", IfNoneMatch="*", **AT)
    assert store.read("k") == b"new"
    completed(s3, IfMatch='"other"')
    assert store.read("k") == b"hello"


def test_a_lifecycle_rule_is_announced_where_there_is_one(s3: Any, store: Store) -> None:
    without = s3.create_multipart_upload(**AT)
    assert "AbortDate" not in without
    store.habits.sweeps_after_days = 7
    began = s3.create_multipart_upload(**AT)
    assert began["AbortRuleId"] == "sweep-open-uploads"
    day = 86_400
    assert 7 * day <= began["AbortDate"].timestamp() - store.uploads()[-1].initiated <= 8 * day
    assert s3.list_parts(UploadId=began["UploadId"], **AT)["AbortDate"] == began["AbortDate"]
