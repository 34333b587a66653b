"""Multipart uploads: the rules for parts, for lists of them, and for making them an object."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from syncd.demo.store import Store
from syncd.demo.store.sums import FAST_CRC64

AT = {"Bucket": "captures", "Key": "k"}
BODIES = (b"hello", b"world", b"!")
WHOLE = b"".join(BODIES)


@dataclass
class Session:
    """One upload by boto3, which remembers what a client must."""

    client: Any
    checksum: Callable[[str, bytes], str]
    algorithm: str | None = None
    type: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = {"ChecksumAlgorithm": self.algorithm} if self.algorithm else {}
        asked |= {"ChecksumType": self.type} if self.type else {}
        self.upload_id = self.client.create_multipart_upload(**asked, **self.options, **AT)["UploadId"]

    @property
    def named(self) -> dict[str, Any]:
        return {"UploadId": self.upload_id, **AT}

    def send(self, number: int, body: bytes) -> dict[str, Any]:
        mine = {}
        if self.algorithm:
            mine = {f"Checksum{self.algorithm}": self.checksum(self.algorithm, body)}
        answer = self.client.upload_part(PartNumber=number, Body=body, **mine, **self.named)
        entry = {"PartNumber": number, "ETag": answer["ETag"], **mine}
        self.listed = [each for each in self.listed if each["PartNumber"] != number] + [entry]
        return dict(answer)

    def send_all(self, *bodies: bytes) -> Session:
        for number, body in enumerate(bodies, 1):
            self.send(number, body)
        return self

    def completion(self, **more: Any) -> dict[str, Any]:
        return {"MultipartUpload": {"Parts": self.listed}, **self.named, **more}

    def complete(self, **more: Any) -> dict[str, Any]:
        return dict(self.client.complete_multipart_upload(**self.completion(**more)))


@pytest.fixture
def begin(s3: Any, checksum: Callable[[str, bytes], str]) -> Callable[..., Session]:
    return lambda *arguments, **options: Session(s3, checksum, *arguments, **options)


def _md5_of_md5s(*bodies: bytes) -> str:
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    return f'"{digest}-{len(bodies)}"'


def test_parts_become_one_object(begin: Callable[..., Session], s3: Any, store: Store) -> None:
    options = {"Metadata": {"syncd-upload": "t"}, "ContentType": "video/mp4", "Tagging": "a=b"}
    upload = begin(options=options).send_all(*BODIES)
    answer = upload.complete(MpuObjectSize=len(WHOLE))
    assert (answer["Bucket"], answer["Key"], answer["ETag"]) == ("captures", "k", _md5_of_md5s(*BODIES))
    assert store.read("k") == WHOLE
    assert store.uploads() == []
    head = s3.head_object(**AT)
    assert (head["ContentLength"], head["ETag"]) == (len(WHOLE), answer["ETag"])
    assert (head["Metadata"], head["ContentType"], head["TagCount"]) == (
        {"syncd-upload": "t"},
        "video/mp4",
        1,
    )


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_checksum_is_that_of_all_the_bytes(
    begin: Callable[..., Session], s3: Any, checksum: Callable[[str, bytes], str], algorithm: str
) -> None:
    upload = begin(algorithm, "FULL_OBJECT").send_all(*BODIES)
    wanted = checksum(algorithm, WHOLE)
    answer = upload.complete(ChecksumType="FULL_OBJECT", **{f"Checksum{algorithm}": wanted})
    head = s3.head_object(ChecksumMode="ENABLED", **AT)
    for each in (answer, head):
        assert (each[f"Checksum{algorithm}"], each["ChecksumType"]) == (wanted, "FULL_OBJECT")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_composite_checksum_is_that_of_the_parts_checksums(
    begin: Callable[..., Session], s3: Any, checksum: Callable[[str, bytes], str], algorithm: str
) -> None:
    upload = begin(algorithm).send_all(*BODIES)
    digests = b"".join(base64.b64decode(checksum(algorithm, body)) for body in BODIES)
    wanted = f"{checksum(algorithm, digests)}-3"
    answer = upload.complete(**{f"Checksum{algorithm}": wanted})
    head = s3.head_object(ChecksumMode="ENABLED", **AT)
    for each in (answer, head):
        assert (each[f"Checksum{algorithm}"], each["ChecksumType"]) == (wanted, "COMPOSITE")


@pytest.mark.parametrize(
    ("algorithm", "type_"), [("CRC64NVME", "FULL_OBJECT"), ("CRC32", "FULL_OBJECT"), ("SHA256", "COMPOSITE")]
)
def test_a_wrong_checksum_of_the_whole_is_refused_and_the_upload_stays(
    begin: Callable[..., Session],
    store: Store,
    refused: Any,
    checksum: Callable[[str, bytes], str],
    algorithm: str,
    type_: str,
) -> None:
    upload = begin(algorithm, type_).send_all(*BODIES)
    wrong = checksum(algorithm, b"other") + ("-3" if type_ == "COMPOSITE" else "")
    call = upload.completion(**{f"Checksum{algorithm}": wrong})
    assert refused(upload.client.complete_multipart_upload, **call) == (400, "BadDigest")
    assert store.objects() == {}
    upload.complete()


def test_the_whole_is_summed_over_the_bytes_on_disk_not_over_what_was_said(
    begin: Callable[..., Session], store: Store, refused: Any, checksum: Callable[[str, bytes], str]
) -> None:
    upload = begin("CRC64NVME").send_all(*BODIES)
    part = store.uploads()[0].parts[2]
    (store._buckets["captures"].data / part.file).write_bytes(b"w0rld")
    call = upload.completion(ChecksumCRC64NVME=checksum("CRC64NVME", WHOLE))
    assert refused(upload.client.complete_multipart_upload, **call) == (400, "BadDigest")


def test_an_upload_without_an_algorithm_ends_with_a_crc64nvme(
    begin: Callable[..., Session], s3: Any, checksum: Callable[[str, bytes], str]
) -> None:
    begin().send_all(*BODIES).complete()
    head = s3.head_object(ChecksumMode="ENABLED", **AT)
    assert head.get("ChecksumCRC64NVME") == (checksum("CRC64NVME", WHOLE) if FAST_CRC64 else None)


def test_a_part_that_is_sent_again_replaces_the_first(begin: Callable[..., Session], store: Store) -> None:
    upload = begin().send_all(b"wrong", b"world")
    first = store.uploads()[0].parts[1]
    upload.send(1, b"hello")
    assert not (store._buckets["captures"].data / first.file).exists()
    upload.listed.sort(key=lambda each: each["PartNumber"])
    upload.complete()
    assert store.read("k") == b"helloworld"


@pytest.mark.parametrize("number", [0, 10_001, 99_999])
def test_part_numbers_go_from_1_to_10000(begin: Callable[..., Session], refused: Any, number: int) -> None:
    upload = begin()
    part = {"PartNumber": number, "Body": b"x", **upload.named}
    assert refused(upload.client.upload_part, **part) == (400, "InvalidArgument")
    upload.send(10_000, b"x")
    upload.complete()


def test_parts_are_listed_in_pages(
    begin: Callable[..., Session], s3: Any, checksum: Callable[[str, bytes], str]
) -> None:
    upload = begin("CRC32")
    for number in (7, 2, 5, 1, 9):
        upload.send(number, b"part%d" % number)
    paginator = s3.get_paginator("list_parts").paginate(PaginationConfig={"PageSize": 2}, **upload.named)
    pages = [page["Parts"] for page in paginator]
    assert [[each["PartNumber"] for each in page] for page in pages] == [[1, 2], [5, 7], [9]]
    last = pages[-1][0]
    assert (last["Size"], last["ETag"]) == (5, f'"{hashlib.md5(b"part9").hexdigest()}"')
    assert last["ChecksumCRC32"] == checksum("CRC32", b"part9")
    after = s3.list_parts(PartNumberMarker=5, MaxParts=1, **upload.named)
    assert [each["PartNumber"] for each in after["Parts"]] == [7]
    assert (after["IsTruncated"], after["NextPartNumberMarker"]) == (True, 7)


def test_a_page_of_parts_has_at_most_1000(begin: Callable[..., Session], store: Store, s3: Any) -> None:
    upload = begin()
    upload.send(1, b"x")
    held = store.uploads()[0]
    held.parts.update(
        dict.fromkeys(range(2, 1003), held.parts[1])
    )  # the page is what matters, not how they came
    page = s3.list_parts(MaxParts=5000, **upload.named)
    assert (len(page["Parts"]), page["MaxParts"], page["IsTruncated"]) == (1000, 1000, True)


def test_an_aborted_upload_is_gone_for_everything(
    begin: Callable[..., Session], store: Store, refused: Any
) -> None:
    upload = begin().send_all(*BODIES)
    upload.client.abort_multipart_upload(**upload.named)
    gone = (404, "NoSuchUpload")
    assert refused(upload.client.upload_part, PartNumber=1, Body=b"x", **upload.named) == gone
    assert refused(upload.client.list_parts, **upload.named) == gone
    assert refused(upload.client.complete_multipart_upload, **upload.completion()) == gone
    assert refused(upload.client.abort_multipart_upload, **upload.named) == gone
    assert list(store._buckets["captures"].data.iterdir()) == []


def test_a_completed_upload_takes_no_parts_and_shows_none(
    begin: Callable[..., Session], refused: Any
) -> None:
    upload = begin().send_all(*BODIES)
    upload.complete()
    gone = (404, "NoSuchUpload")
    assert refused(upload.client.upload_part, PartNumber=4, Body=b"x", **upload.named) == gone
    assert refused(upload.client.list_parts, **upload.named) == gone
    assert refused(upload.client.abort_multipart_upload, **upload.named) == gone


def test_an_upload_belongs_to_its_key(begin: Callable[..., Session], refused: Any) -> None:
    upload = begin().send_all(*BODIES)
    other = upload.named | {"Key": "other"}
    assert refused(upload.client.list_parts, **other) == (404, "NoSuchUpload")
    assert refused(upload.client.upload_part, PartNumber=1, Body=b"x", **other) == (404, "NoSuchUpload")


def test_all_parts_but_the_last_have_the_minimum_size(
    begin: Callable[..., Session], store: Store, refused: Any
) -> None:
    upload = begin().send_all(b"hello", b"tiny", b"!")
    call = upload.completion()
    assert refused(upload.client.complete_multipart_upload, **call) == (400, "EntityTooSmall")
    assert len(store.uploads()) == 1
    upload.send(2, b"large")
    upload.listed.sort(key=lambda each: each["PartNumber"])
    upload.complete()


@pytest.mark.parametrize(
    ("algorithm", "change", "code"),
    [
        (None, lambda parts: parts[:0], "MalformedXML"),
        (None, lambda parts: parts[::-1], "InvalidPartOrder"),
        (None, lambda parts: [parts[0], *parts], "InvalidPartOrder"),
        (None, lambda parts: [parts[0] | {"ETag": '"00"'}, *parts[1:]], "InvalidPart"),
        (None, lambda parts: [*parts, parts[0] | {"PartNumber": 9}], "InvalidPart"),
        (None, lambda parts: [parts[0] | {"ChecksumCRC32": "NhCmhg=="}, *parts[1:]], "InvalidPart"),
        ("CRC32", lambda parts: parts[1:], "InvalidPartOrder"),
        ("CRC32", lambda parts: [parts[0], parts[2]], "InvalidPartOrder"),
        ("CRC32", lambda parts: [_without_checksum(parts[0]), *parts[1:]], "InvalidRequest"),
        ("CRC32", lambda parts: [*parts[:2], _without_checksum(parts[2])], "InvalidRequest"),
        ("CRC32", lambda parts: [parts[0] | {"ChecksumCRC32": "AAAAAA=="}, *parts[1:]], "InvalidPart"),
        ("CRC32", lambda parts: [parts[0] | {"ChecksumSHA1": "AAAAAA=="}, *parts[1:]], "InvalidPart"),
    ],
)
def test_a_wrong_list_of_parts_is_refused(
    begin: Callable[..., Session],
    store: Store,
    refused: Any,
    algorithm: str | None,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    code: str,
) -> None:
    upload = begin(algorithm).send_all(*BODIES)
    right, upload.listed = upload.listed, change(upload.listed)
    assert refused(upload.client.complete_multipart_upload, **upload.completion()) == (400, code)
    assert store.objects() == {}
    upload.listed = right
    upload.complete()


def _without_checksum(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if not name.startswith("Checksum")}


def test_without_checksums_a_list_may_have_gaps_and_leave_parts_out(
    begin: Callable[..., Session], store: Store
) -> None:
    upload = begin()
    for number, body in ((3, b"hello"), (5, b"UNUSED"), (8, b"world")):
        upload.send(number, body)
    upload.listed = [upload.listed[0], upload.listed[2]]
    upload.complete()
    assert store.read("k") == b"helloworld"
    kept = [path for path in store._buckets["captures"].data.rglob("*") if path.is_file()]
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("algorithm", "more", "code"),
    [
        (None, {"MpuObjectSize": 12}, "InvalidRequest"),
        ("CRC32", {"ChecksumType": "FULL_OBJECT"}, "BadDigest"),
        ("CRC32", {"ChecksumCRC32C": "AAAAAA=="}, "InvalidRequest"),
        (None, {"ChecksumCRC32": "AAAAAA=="}, "InvalidRequest"),
        (None, {"ChecksumCRC32": "AAAA"}, "InvalidRequest"),
    ],
)
def test_complete_refuses_statements_that_are_not_so(
    begin: Callable[..., Session],
    store: Store,
    refused: Any,
    algorithm: str | None,
    more: dict[str, Any],
    code: str,
) -> None:
    upload = begin(algorithm).send_all(*BODIES)
    call = upload.completion(**more)
    assert refused(upload.client.complete_multipart_upload, **call) == (400, code)
    assert len(store.uploads()) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no xml",
        b"<CompleteMultipartUpload/>",
        b"<Other><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></Other>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
        b'<!DOCTYPE a [<!ENTITY e "1">]><CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&e;</ETag></Part></CompleteMultipartUpload>',
    ],
)
def test_a_document_that_is_no_list_is_malformed(
    begin: Callable[..., Session], wire: Any, document: bytes
) -> None:
    upload = begin().send_all(*BODIES)
    reply = wire.call(
        "POST", f"/captures/k?uploadId={upload.upload_id}", {"Content-Length": str(len(document))}, document
    )
    assert (reply.status, reply.code) == (400, "MalformedXML")


def test_conditions_hold_for_completions_too(
    begin: Callable[..., Session], s3: Any, store: Store, refused: Any
) -> None:
    late = begin().send_all(*BODIES)
    missing = late.completion(IfMatch='"0"')
    assert refused(s3.complete_multipart_upload, **missing) == (404, "NoSuchKey")
    etag = s3.put_object(Body=b"first", **AT)["ETag"]
    exists, other = late.completion(IfNoneMatch="*"), late.completion(IfMatch='"0"')
    assert refused(s3.complete_multipart_upload, **exists) == (412, "PreconditionFailed")
    assert refused(s3.complete_multipart_upload, **other) == (412, "PreconditionFailed")
    assert store.read("k") == b"first"
    assert len(store.uploads()) == 1
    late.complete(IfMatch=etag)
    assert store.read("k") == WHOLE


def test_a_condition_that_fails_while_the_whole_is_summed_is_noticed(
    begin: Callable[..., Session], s3: Any, store: Store, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin("CRC32", "FULL_OBJECT").send_all(*BODIES)
    bucket = store._buckets["captures"]
    blocks = bucket.blocks

    def rival_first(files: Any) -> Any:
        s3.put_object(Body=b"rival", **AT)
        return blocks(files)

    monkeypatch.setattr(bucket, "blocks", rival_first)
    call = upload.completion(IfNoneMatch="*")
    assert refused(s3.complete_multipart_upload, **call) == (412, "PreconditionFailed")
    monkeypatch.undo()
    assert store.read("k") == b"rival"


def test_a_repeated_complete_is_answered_as_the_first(
    begin: Callable[..., Session], store: Store, refused: Any
) -> None:
    upload = begin("CRC32").send_all(*BODIES)
    first = upload.complete(IfNoneMatch="*")
    again = upload.complete(IfNoneMatch="*")
    for name in ("ETag", "ChecksumCRC32", "ChecksumType", "Key"):
        assert again[name] == first[name]
    upload.listed = upload.listed[:2]
    assert refused(upload.client.complete_multipart_upload, **upload.completion()) == (404, "NoSuchUpload")
    assert store.read("k") == WHOLE


def test_a_completion_cannot_be_repeated_once_another_object_took_the_key(
    begin: Callable[..., Session], s3: Any, refused: Any
) -> None:
    upload = begin().send_all(*BODIES)
    upload.complete()
    s3.put_object(Body=b"another", **AT)
    assert refused(s3.complete_multipart_upload, **upload.completion()) == (404, "NoSuchUpload")


def test_replacing_a_multipart_object_leaves_no_parts_behind(
    begin: Callable[..., Session], store: Store
) -> None:
    begin().send_all(*BODIES).complete()
    begin().send_all(b"fresh", b"er").complete()
    assert store.read("k") == b"fresher"
    data = store._buckets["captures"].data
    assert len(list(data.iterdir())) == 1
    assert len([path for path in data.rglob("*") if path.is_file()]) == 2


def test_open_uploads_are_listed_in_pages(s3: Any) -> None:
    keys = ["a/1", "a/2", "a/2", "a/ü", "b"]
    for key in keys:
        s3.create_multipart_upload(Bucket="captures", Key=key, ChecksumAlgorithm="CRC32")
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="captures", PaginationConfig={"PageSize": 2}
    )
    found = [page["Uploads"] for page in pages]
    assert [[each["Key"] for each in page] for page in found] == [["a/1", "a/2"], ["a/2", "a/ü"], ["b"]]
    assert len({each["UploadId"] for page in found for each in page}) == 5
    below = s3.list_multipart_uploads(Bucket="captures", Prefix="a/", KeyMarker="a/1")["Uploads"]
    assert [each["Key"] for each in below] == ["a/2", "a/2", "a/ü"]
    assert below[0]["ChecksumAlgorithm"] == "CRC32"


def test_parts_under_kms_have_etags_of_another_kind(begin: Callable[..., Session]) -> None:
    upload = begin(options={"ServerSideEncryption": "aws:kms"})
    answer = upload.send(1, b"hello")
    assert answer["ETag"] != f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert answer["ServerSideEncryption"] == "aws:kms"
    assert upload.complete()["ServerSideEncryption"] == "aws:kms"
