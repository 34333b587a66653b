"""The contract of `ports.ObjectStore`, held against real servers: one clause, one test."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import time

import pytest

from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.sums import AwsSums
from syncd.errors import LockedOut, ObjectExists, PartsRejected, Refused, Transient, UploadGone
from syncd.model import Algorithm, Condition, Part, Stored, Target

from .conftest import BytesBody, Destination

SUMS = AwsSums()
NEW = Condition(if_none_match=True)
ANY = Condition()
PART = 5 << 20


def usable() -> list[Algorithm]:
    missing = set() if SUMS.automatic() is Algorithm.CRC64NVME else {Algorithm.CRC64NVME, Algorithm.CRC32C}
    return [algorithm for algorithm in Algorithm if algorithm not in missing]


each_algorithm = pytest.mark.parametrize("algorithm", usable())
summed = pytest.mark.parametrize("algorithm", [a for a in usable() if a is not Algorithm.NONE])


def piece(number: int, size: int = PART) -> bytes:
    return bytes([number % 256]) * size


def blocks_of(destination: Destination) -> list[bytes]:
    """Two full parts and a tail, as small as the server allows."""
    size = 5 if destination.name == "strict" else PART
    return [piece(1, size), piece(2, size), b"tail"]


def send(destination: Destination, target: Target, upload_id: str, blocks: list[bytes]) -> list[Part]:
    return [
        destination.store.upload_part(target, upload_id, number, BytesBody(block, target.algorithm))
        for number, block in enumerate(blocks, 1)
    ]


def whole_of(target: Target, parts: list[Part]) -> str:
    return SUMS.whole(target.algorithm, [(part.checksum or "", part.size) for part in parts], multipart=True)


def complete(
    destination: Destination,
    target: Target,
    upload_id: str,
    parts: list[Part],
    condition: Condition = ANY,
    checksum: str | None = None,
    size: int | None = None,
) -> Stored:
    return destination.store.complete(
        target,
        upload_id,
        parts,
        size=sum(part.size for part in parts) if size is None else size,
        checksum=whole_of(target, parts) if checksum is None else checksum,
        condition=condition,
    )


def wrong(algorithm: Algorithm) -> str:
    running = SUMS.new(algorithm)
    running.update(b"other bytes")
    return running.value()


@each_algorithm
@pytest.mark.parametrize("size", [0, 1, 3 << 20])
def test_a_put_stores_the_bytes_with_sum_token_and_type(
    destination: Destination, algorithm: Algorithm, size: int
) -> None:
    target, body = destination.target(algorithm), BytesBody(piece(7, size), algorithm)
    with destination.clause(f"put with {algorithm}"):
        stored = destination.store.put(target, body, NEW)
        assert destination.content(target) == body.data
        found = destination.store.head(target.bucket, target.key)
        assert (found.etag, found.size, found.token) == (stored.etag, size, target.token)
        assert found.etag == f'"{hashlib.md5(body.data).hexdigest()}"'
        assert found.etag_is_md5
        if algorithm not in {Algorithm.MD5, Algorithm.NONE}:
            assert stored.checksum == found.checksums[algorithm] == body.checksum
    described = destination.admin.head_object(Bucket=target.bucket, Key=target.key)
    assert described["ContentType"] == "video/mp4"
    assert described["Metadata"]["syncd-device"] == "cam-07"


def test_a_put_under_if_none_match_meets_an_object(destination: Destination) -> None:
    target, body = destination.target(), BytesBody(b"first", Algorithm.MD5)
    destination.store.put(target, body, NEW)
    with pytest.raises(ObjectExists):
        destination.store.put(target, BytesBody(b"second", Algorithm.MD5), NEW)
    assert destination.content(target) == b"first"


def test_a_put_under_if_match_replaces_only_our_own_object(destination: Destination) -> None:
    target = destination.target()
    ours = destination.store.put(target, BytesBody(b"first", Algorithm.MD5), NEW)
    replaced = destination.store.put(
        target, BytesBody(b"second", Algorithm.MD5), Condition(if_match=ours.etag)
    )
    assert destination.content(target) == b"second"
    with pytest.raises(ObjectExists):
        destination.store.put(target, BytesBody(b"third", Algorithm.MD5), Condition(if_match=ours.etag))
    assert destination.store.head(target.bucket, target.key).etag == replaced.etag


def test_a_put_under_if_match_on_a_missing_key_does_not_happen(destination: Destination) -> None:
    target = destination.target()
    with pytest.raises(ObjectExists):
        destination.store.put(target, BytesBody(b"x", Algorithm.MD5), Condition(if_match='"abc"'))


@summed
def test_a_put_with_a_wrong_sum_is_refused(destination: Destination, algorithm: Algorithm) -> None:
    target = destination.target(algorithm)
    with destination.clause(f"put with a wrong {algorithm}"):
        with pytest.raises(Transient):
            destination.store.put(target, BytesBody(b"bytes", algorithm, wrong(algorithm)), NEW)
        assert destination.store.head(target.bucket, target.key) is None


def test_an_object_without_our_token_shows_none(destination: Destination) -> None:
    target = destination.target()
    destination.admin.put_object(Bucket=target.bucket, Key=target.key, Body=b"a stranger's")
    found = destination.store.head(target.bucket, target.key)
    assert found.token is None
    assert found.size == 12


def test_head_of_a_missing_key_shows_nothing(destination: Destination) -> None:
    target = destination.target()
    assert destination.store.head(target.bucket, target.key) is None


@each_algorithm
def test_a_multipart_upload_becomes_one_object_with_its_whole_sum(
    destination: Destination, algorithm: Algorithm
) -> None:
    target, blocks = destination.target(algorithm), blocks_of(destination)
    with destination.clause(f"multipart with {algorithm}"):
        upload_id = destination.store.create(target)
        parts = send(destination, target, upload_id, blocks)
        assert list(destination.store.list_parts(target, upload_id)) == [
            Part(
                number=p.number,
                size=p.size,
                etag=p.etag,
                checksum=None if algorithm is Algorithm.MD5 else p.checksum,
            )
            for p in parts
        ]
        stored = complete(destination, target, upload_id, parts, NEW)
        assert destination.content(target) == b"".join(blocks)
        found = destination.store.head(target.bucket, target.key)
        digests = [hashlib.md5(block).digest() for block in blocks]
        assert found.etag == stored.etag == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-3"'
        assert (found.size, found.token) == (sum(map(len, blocks)), target.token)
        if algorithm not in {Algorithm.MD5, Algorithm.NONE}:
            assert found.checksums[algorithm] == stored.checksum == whole_of(target, parts)
        if algorithm is Algorithm.MD5:
            assert found.etag.strip('"') == whole_of(target, parts)
        with pytest.raises(UploadGone):
            list(destination.store.list_parts(target, upload_id))


def test_one_part_alone_is_an_upload_too(destination: Destination) -> None:
    target = destination.target()
    upload_id = destination.store.create(target)
    parts = send(destination, target, upload_id, [b"x"])
    assert complete(destination, target, upload_id, parts).etag.endswith('-1"')


def begin(
    destination: Destination, blocks: list[bytes], algorithm: Algorithm = Algorithm.MD5
) -> tuple[Target, str, list[Part]]:
    """An upload by the algorithm that every server takes for parts."""
    target = destination.target(algorithm)
    upload_id = destination.store.create(target)
    return target, upload_id, send(destination, target, upload_id, blocks)


@summed
def test_a_part_with_a_wrong_sum_is_refused_and_not_kept(
    destination: Destination, algorithm: Algorithm
) -> None:
    target = destination.target(algorithm)
    with destination.clause(f"part with a wrong {algorithm}"):
        upload_id = destination.store.create(target)
        with pytest.raises(Transient):
            destination.store.upload_part(
                target, upload_id, 1, BytesBody(b"bytes", algorithm, wrong(algorithm))
            )
        assert list(destination.store.list_parts(target, upload_id)) == []


def test_sending_a_part_again_replaces_it(destination: Destination) -> None:
    target, upload_id, _ = begin(destination, [b"first"])
    again = send(destination, target, upload_id, [b"second!"])
    assert [p.size for p in destination.store.list_parts(target, upload_id)] == [7]
    complete(destination, target, upload_id, again)
    assert destination.content(target) == b"second!"


def test_parts_may_come_in_any_order_and_are_listed_by_number(destination: Destination) -> None:
    target, upload_id, _ = begin(destination, [])
    for number in (3, 1, 2):
        destination.store.upload_part(target, upload_id, number, BytesBody(piece(number, 5), Algorithm.MD5))
    assert [p.number for p in destination.store.list_parts(target, upload_id)] == [1, 2, 3]


def test_parts_are_listed_over_all_pages(served: Destination) -> None:
    target, upload_id, _ = begin(served, [b"%05d" % n for n in range(7)])
    paged = S3Store(served.store._clients, page=3)
    assert [part.number for part in paged.list_parts(target, upload_id)] == list(range(1, 8))
    with pytest.raises(UploadGone):
        list(paged.list_parts(target, "never-was"))


def test_uploads_are_listed_over_all_pages(served: Destination) -> None:
    target = served.target()
    begun = {served.store.create(target) for _ in range(5)}
    served.store.create(dataclasses.replace(target, key=f"{target.key}.more"))
    paged = S3Store(served.store._clients, page=2)
    with served.clause("uploads over pages"):
        assert {upload for upload, _ in paged.list_uploads(target.bucket, target.key)} == begun


def test_a_repeated_complete_is_answered_alike(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, [b"x"])
    first = complete(destination, target, upload_id, parts, NEW)
    assert complete(destination, target, upload_id, parts, NEW).etag == first.etag
    assert destination.store.head(target.bucket, target.key).token == target.token


def test_complete_under_if_none_match_meets_an_object(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, [b"mine"])
    destination.admin.put_object(Bucket=target.bucket, Key=target.key, Body=b"a stranger's")
    with pytest.raises(ObjectExists):
        complete(destination, target, upload_id, parts, NEW)
    assert destination.content(target) == b"a stranger's"


def test_complete_under_if_match_replaces_only_our_own_object(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, [b"new"])
    destination.admin.put_object(Bucket=target.bucket, Key=target.key, Body=b"another")
    theirs = destination.store.head(target.bucket, target.key).etag
    with destination.clause("complete under if-match"), pytest.raises(ObjectExists):
        complete(destination, target, upload_id, parts, Condition(if_match='"0123"'))
    complete(destination, target, upload_id, parts, Condition(if_match=theirs))
    assert destination.content(target) == b"new"


def test_a_list_with_a_wrong_etag_a_missing_part_or_none_is_rejected(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, blocks_of(destination))
    forged = Part(number=1, size=5, etag=f'"{"0" * 32}"', checksum=parts[0].checksum)
    with pytest.raises(PartsRejected):
        complete(destination, target, upload_id, [forged, *parts[1:]])
    absent = Part(number=4, size=5, etag=parts[0].etag, checksum=None)
    with pytest.raises(PartsRejected):
        complete(destination, target, upload_id, [*parts, absent])
    with pytest.raises(PartsRejected):
        complete(destination, target, upload_id, [])
    assert complete(destination, target, upload_id, parts).etag.endswith('-3"')


def test_parts_out_of_order_are_rejected(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, blocks_of(destination))
    with destination.clause("parts out of order"), pytest.raises(PartsRejected):
        complete(destination, target, upload_id, [parts[1], parts[0], parts[2]])


def test_parts_that_are_too_small_refuse_the_file(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, [b"1234", b"1234"])
    with pytest.raises(Refused):
        complete(destination, target, upload_id, parts)


def test_a_wrong_size_is_rejected(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, [b"12345"])
    with destination.clause("a wrong size"), pytest.raises(PartsRejected):
        complete(destination, target, upload_id, parts, size=6)


@pytest.mark.parametrize("algorithm", [a for a in usable() if a.value.startswith("crc")])
def test_a_wrong_whole_sum_is_rejected(destination: Destination, algorithm: Algorithm) -> None:
    with destination.clause(f"complete with a wrong {algorithm}"):
        target, upload_id, parts = begin(destination, [b"12345"], algorithm)
        with pytest.raises(PartsRejected):
            complete(destination, target, upload_id, parts, checksum=wrong(algorithm))
        assert destination.store.head(target.bucket, target.key) is None


def test_aborting_twice_is_aborting_once_and_the_upload_is_gone(destination: Destination) -> None:
    target, upload_id, parts = begin(destination, [b"12345"])
    destination.store.abort(target.bucket, target.key, upload_id)
    destination.store.abort(target.bucket, target.key, upload_id)
    with pytest.raises(UploadGone):
        list(destination.store.list_parts(target, upload_id))
    with destination.clause("complete after abort"), pytest.raises(UploadGone):
        complete(destination, target, upload_id, parts)
    with destination.clause("a part after abort"), pytest.raises(UploadGone):
        destination.store.upload_part(target, upload_id, 1, BytesBody(b"x", Algorithm.MD5))


def test_an_unknown_upload_is_gone(destination: Destination) -> None:
    target = destination.target()
    with pytest.raises(UploadGone):
        list(destination.store.list_parts(target, "never-was"))
    destination.store.abort(target.bucket, target.key, "never-was")


def test_open_uploads_are_listed_for_exactly_the_key(destination: Destination) -> None:
    before = time.time()
    target, upload_id, _ = begin(destination, [])
    longer = destination.target(Algorithm.MD5, key=f"{target.key}.more")
    destination.store.create(longer)
    found = destination.store.list_uploads(target.bucket, target.key)
    assert [upload for upload, _ in found] == [upload_id]
    with destination.clause("the time of an upload"):
        assert before - 2 <= found[0][1] <= time.time() + 2
    destination.store.abort(target.bucket, target.key, upload_id)
    assert destination.store.list_uploads(target.bucket, target.key) == []


@pytest.mark.parametrize(
    "name", ["a b+c&d=e?f#g.bin", "ä/ß/漢字.bin", "100%25.bin", "'quoted\"<x>.bin", "dir/.../x"]
)
def test_any_key_survives_every_operation(destination: Destination, name: str) -> None:
    target = destination.target(Algorithm.MD5, key=f"names/{name}")
    upload_id = destination.store.create(target)
    parts = send(destination, target, upload_id, [b"content"])
    assert [upload for upload, _ in destination.store.list_uploads(target.bucket, target.key)] == [upload_id]
    complete(destination, target, upload_id, parts, NEW)
    assert destination.store.head(target.bucket, target.key).token == target.token
    assert destination.content(target) == b"content"


def test_a_missing_bucket_locks_the_destination_and_is_named(destination: Destination) -> None:
    target = dataclasses.replace(destination.target(), bucket="no-such-bucket")
    with pytest.raises(LockedOut) as caught:
        destination.store.put(target, BytesBody(b"x", Algorithm.MD5), NEW)
    assert caught.value.code == "bucket"
    assert "no-such-bucket" in caught.value.hint


def policy(*actions: str, prefix: str = "cam-07/") -> str:
    statement = {"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::captures/{prefix}*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_what_a_session_may_not_do_locks_and_names_the_action(strict: Destination) -> None:
    limited = strict.assume(policy("s3:PutObject"))
    outside = strict.target(key="elsewhere/x.bin")
    with pytest.raises(LockedOut) as caught:
        limited.put(outside, BytesBody(b"x", Algorithm.MD5), NEW)
    assert caught.value.code == "permission"
    assert "s3:PutObject on s3://captures/elsewhere/x.bin" in caught.value.hint
    inside = strict.target()
    limited.put(inside, BytesBody(b"x", Algorithm.MD5), NEW)
    upload_id = limited.create(strict.target())
    with pytest.raises(LockedOut, match="AccessDenied"):
        limited.abort(inside.bucket, inside.key, upload_id)


def test_a_session_that_may_neither_read_nor_list_is_shown_nothing(strict: Destination) -> None:
    limited = strict.assume(policy("s3:PutObject"))
    target = strict.target()
    limited.put(target, BytesBody(b"x", Algorithm.MD5), NEW)
    assert limited.head(target.bucket, target.key) is None
    assert limited.list_uploads(target.bucket, target.key) is None


def test_a_session_without_list_bucket_is_shown_nothing_of_a_missing_key(strict: Destination) -> None:
    limited = strict.assume(policy("s3:PutObject", "s3:GetObject"))
    assert limited.head("captures", "cam-07/missing.bin") is None
    target = strict.target()
    stored = limited.put(target, BytesBody(b"x", Algorithm.MD5), NEW)
    assert limited.head(target.bucket, target.key).etag == stored.etag


def test_every_sum_of_the_strict_store_is_base64(strict: Destination) -> None:
    target, body = strict.target(Algorithm.SHA256), BytesBody(b"x", Algorithm.SHA256)
    stored = strict.store.put(target, body, NEW)
    assert base64.b64decode(stored.checksum) == hashlib.sha256(b"x").digest()
