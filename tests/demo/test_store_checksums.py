"""Checksums on bodies: verified, echoed, and refused in every way that S3 refuses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from syncd.demo.store import Store, sums

AT = {"Bucket": "captures", "Key": "k"}
NAMES = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


@pytest.mark.parametrize("name", NAMES)
def test_a_right_checksum_is_echoed_and_shown_by_head_when_asked(
    s3: Any, checksum: Callable[[str, bytes], str], name: str
) -> None:
    wanted = checksum(name, b"hello")
    answer = s3.put_object(Body=b"hello", **{f"Checksum{name}": wanted}, **AT)
    shown = s3.head_object(ChecksumMode="ENABLED", **AT)
    for each in (answer, shown):
        assert each[f"Checksum{name}"] == wanted
        assert each["ChecksumType"] == "FULL_OBJECT"
        assert sum(key in each for key in (f"Checksum{other}" for other in NAMES)) == 1
    assert f"Checksum{name}" not in s3.head_object(**AT)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_checksum_is_refused_and_nothing_is_kept(
    s3: Any, store: Store, checksum: Callable[[str, bytes], str], refused: Any, name: str
) -> None:
    wrong = {f"Checksum{name}": checksum(name, b"hellO")}
    assert refused(s3.put_object, Body=b"hello", **wrong, **AT) == (400, "BadDigest")
    upload = s3.create_multipart_upload(ChecksumAlgorithm=name, **AT)["UploadId"]
    part = {"UploadId": upload, "PartNumber": 1, "Body": b"hello"}
    assert refused(s3.upload_part, **part, **wrong, **AT) == (400, "BadDigest")
    assert store.objects() == {}
    assert store.uploads()[0].parts == {}
    assert [path for path in store._buckets["captures"].data.rglob("*") if path.is_file()] == []


def test_a_range_shows_no_checksum_of_the_whole(s3: Any, checksum: Callable[[str, bytes], str]) -> None:
    s3.put_object(Body=b"hello", ChecksumCRC32=checksum("CRC32", b"hello"), **AT)
    whole, part = (
        s3.get_object(ChecksumMode="ENABLED", **AT, **more) for more in ({}, {"Range": "bytes=1-2"})
    )
    assert whole["ChecksumCRC32"] == checksum("CRC32", b"hello")
    assert "ChecksumCRC32" not in part
    for answer in (whole, part):
        answer["Body"].close()


def test_content_md5_is_verified(
    s3: Any, store: Store, checksum: Callable[[str, bytes], str], refused: Any
) -> None:
    wrong = checksum("MD5", b"hellO")
    assert refused(s3.put_object, Body=b"hello", ContentMD5=wrong, **AT) == (400, "BadDigest")
    assert refused(s3.put_object, Body=b"hello", ContentMD5="bm8=", **AT) == (400, "InvalidDigest")
    assert refused(s3.put_object, Body=b"hello", ContentMD5="?", **AT) == (400, "InvalidDigest")
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    part = {"UploadId": upload, "PartNumber": 1, "Body": b"hello"}
    assert refused(s3.upload_part, ContentMD5=wrong, **part, **AT) == (400, "BadDigest")
    s3.upload_part(ContentMD5=checksum("MD5", b"hello"), **part, **AT)
    s3.put_object(Body=b"hello", ContentMD5=checksum("MD5", b"hello"), **AT)
    assert store.objects()["k"].size == 5


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-amz-checksum-crc32": "NhCmhg=="}, 200, ""),
        ({"x-amz-checksum-crc32": "NhCmhg"}, 400, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "NhCmhgA="}, 400, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "Nh?Cmhg=="}, 400, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "NhCmhg==-1"}, 400, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "NhCmhg==", "x-amz-checksum-crc32c": "mnG7TA=="}, 400, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, 400, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-crc32": "NhCmhg=="}, 200, ""),
        ({"x-amz-checksum-xxhash64": "NhCmhg=="}, 501, "NotImplemented"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, 501, "NotImplemented"),
    ],
)
def test_checksum_headers_are_judged_before_the_body(
    wire: Any, headers: dict[str, str], status: int, code: str
) -> None:
    reply = wire.call("PUT", "/captures/k", headers, b"hello")
    assert (reply.status, reply.code) == (status, code)


@pytest.mark.parametrize(
    ("algorithm", "wanted", "granted"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32C", None, "COMPOSITE"),
        ("SHA1", None, "COMPOSITE"),
        ("SHA256", None, "COMPOSITE"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC32C", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC32", "COMPOSITE", "COMPOSITE"),
    ],
)
def test_create_grants_an_algorithm_and_a_type(
    s3: Any, store: Store, algorithm: str, wanted: str | None, granted: str
) -> None:
    asked = {"ChecksumAlgorithm": algorithm} | ({"ChecksumType": wanted} if wanted else {})
    answer = s3.create_multipart_upload(**asked, **AT)
    assert (answer["ChecksumAlgorithm"], answer["ChecksumType"]) == (algorithm, granted)
    listed = s3.list_parts(UploadId=answer["UploadId"], **AT)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, granted)
    assert store.uploads()[0].checksum_type == granted


@pytest.mark.parametrize(
    "asked",
    [
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC32", "ChecksumType": "PARTIAL"},
        {"ChecksumAlgorithm": "CRC16"},
        {"ChecksumType": "FULL_OBJECT"},
    ],
)
def test_create_refuses_impossible_checksums(
    s3: Any, store: Store, refused: Any, asked: dict[str, str]
) -> None:
    assert refused(s3.create_multipart_upload, **asked, **AT) == (400, "InvalidRequest")
    assert store.uploads() == []


def test_an_upload_without_an_algorithm_promises_none(s3: Any) -> None:
    answer = s3.create_multipart_upload(**AT)
    assert "ChecksumAlgorithm" not in answer
    assert "ChecksumType" not in answer


@pytest.mark.parametrize(
    ("created", "sent"), [("CRC32", None), ("CRC32", "CRC32C"), ("SHA256", "CRC64NVME"), (None, "CRC32")]
)
def test_a_part_must_bring_the_uploads_own_checksum(
    s3: Any, checksum: Callable[[str, bytes], str], refused: Any, created: str | None, sent: str | None
) -> None:
    asked = {"ChecksumAlgorithm": created} if created else {}
    upload = s3.create_multipart_upload(**asked, **AT)["UploadId"]
    brought = {f"Checksum{sent}": checksum(sent, b"hello")} if sent else {}
    part = {"UploadId": upload, "PartNumber": 1, "Body": b"hello"}
    assert refused(s3.upload_part, **brought, **part, **AT) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crc32", 0xCBF43926),
        ("crc32c", 0xE3069283),
        ("crc64nvme", 0xAE8B14860A799888),
    ],
)
def test_the_crcs_give_their_published_check_values_however_computed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    def crc() -> int:
        sums._steps.cache_clear()
        running = sums.new_sum(name)
        running.update(b"1234")
        running.update(memoryview(b"56789"))
        return int.from_bytes(running.digest(), "big")

    assert crc() == value
    monkeypatch.setattr(sums, "_fast", None)
    assert crc() == value
    sums._steps.cache_clear()
