"""Every word of a fault, seen from the client: what comes over the wire, and what the store has kept."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError
from support.script import KINDS, Rule, Script

from syncd.demo.store import Fault, Store
from syncd.demo.store.faults import ALL

AT = {"Bucket": "captures", "Key": "k"}
TARGET = "/captures/k"
BODY = bytes(range(256)) * 16


def scripted(store: Store, fault: Fault, **where: Any) -> Script:
    store.faults = script = Script([Rule(fault=fault, **where)])
    return script


@contextmanager
def line(
    wire: Any, store: Store, body: bytes = BODY, announced: int | None = None
) -> Iterator[socket.socket]:
    """A bare connection on which a signed PutObject was sent, as much of its body as is given."""
    headers = wire.sign("PUT", TARGET, {"Content-Length": str(announced or len(body))}, body)
    lines = ["PUT /captures/k HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    if not any(name.lower() == "host" for name in headers):
        lines.insert(1, f"Host: 127.0.0.1:{store.port}")
    with socket.create_connection(("127.0.0.1", store.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        yield connection


def everything(connection: socket.socket) -> bytes:
    received = b""
    while block := connection.recv(65536):
        received += block
    return received


@pytest.mark.parametrize(("when", "stored"), [("before", []), ("after", ["k"])])
def test_a_reset_is_a_reset_and_no_orderly_end(wire: Any, store: Store, when: Any, stored: list[str]) -> None:
    scripted(store, Fault(reset=True, take=ALL), when=when)
    with line(wire, store) as connection, pytest.raises(ConnectionResetError):
        everything(connection)
    assert (store.log[-1].status, store.log[-1].code) == (0, "Reset")
    assert list(store.objects()) == stored


def test_a_drop_is_an_orderly_end(wire: Any, store: Store) -> None:
    scripted(store, Fault(drop=True, take=ALL))
    with line(wire, store) as connection:
        assert everything(connection) == b""


@pytest.mark.parametrize(("take", "received"), [(None, 0), (100, 100), (ALL, len(BODY))])
def test_the_end_comes_before_during_or_after_the_body_and_nothing_is_kept(
    s3: Any, store: Store, take: int | None, received: int
) -> None:
    scripted(store, Fault(reset=True, take=take))
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Body=BODY, **AT)
    assert store.log[-1].received == received
    assert not store.objects()


def test_a_refusal_may_come_in_the_middle_of_the_body(s3: Any, store: Store, refused: Any) -> None:
    scripted(store, Fault(status=503, code="SlowDown", take=100))
    assert refused(s3.put_object, Body=BODY, **AT) == (503, "SlowDown")
    assert not store.objects()


def test_to_read_a_part_of_a_body_and_go_on_is_no_fault() -> None:
    with pytest.raises(ValueError, match="needs an end"):
        Fault(take=1)


def test_a_black_hole_stops_reading_and_never_answers(wire: Any, store: Store) -> None:
    scripted(store, Fault(hang=True, take=10))
    with line(wire, store) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert store.log[-1].received == 10
        assert store.log[-1].code == "Hung"


def test_after_the_effect_a_black_hole_hides_it(store: Store, connect: Any) -> None:
    scripted(store, Fault(hang=True), when="after", times=1)
    impatient = connect(store, read_timeout=0.2)
    with pytest.raises(ReadTimeoutError):
        impatient.put_object(Body=BODY, **AT)
    assert list(store.objects()) == ["k"]


def test_a_black_hole_ends_with_the_store(wire: Any, store: Store) -> None:
    scripted(store, Fault(hang=True))
    with line(wire, store) as connection:
        while not store.log:
            time.sleep(0.001)
        began = time.monotonic()
        store.stop()
        assert time.monotonic() - began < 5
        assert everything(connection) == b""


def test_a_black_hole_lets_go_of_a_client_that_left(wire: Any, store: Store) -> None:
    def holding() -> int:
        return sum("process_request_thread" in thread.name for thread in threading.enumerate())

    before = holding()
    scripted(store, Fault(hang=True))
    with line(wire, store):
        while not store.log:
            time.sleep(0.001)
        assert holding() > before
    deadline = time.monotonic() + 5
    while holding() > before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert holding() == before


def test_a_throttled_body_takes_its_time_and_arrives(s3: Any, store: Store) -> None:
    scripted(store, Fault(pace=len(BODY) / 0.2))
    began = time.monotonic()
    s3.put_object(Body=BODY, **AT)
    assert time.monotonic() - began >= 0.2
    assert store.read("k") == BODY


def test_a_throttled_body_ends_with_the_store(wire: Any, store: Store) -> None:
    scripted(store, Fault(pace=1.0))
    with line(wire, store) as connection:
        began = time.monotonic()
        store.stop()
        assert time.monotonic() - began < 5
        with suppress(ConnectionResetError):  # unread bytes may have been under way
            assert everything(connection) == b""


def test_a_flipped_bit_is_noticed_by_a_store_that_checks(wire: Any, store: Store, checksum: Any) -> None:
    scripted(store, Fault(flip=9))
    sums = {"Content-MD5": checksum("MD5", BODY)}
    assert wire.call("PUT", TARGET, sums, BODY, "UNSIGNED-PAYLOAD").code == "BadDigest"
    assert not store.objects()


def test_a_flipped_bit_is_stored_by_one_that_ignores_checksums(s3: Any, store: Store, checksum: Any) -> None:
    scripted(store, Fault(flip=9 + 8 * len(BODY)))  # modulo the body's length
    store.habits.ignores_checksums = store.habits.ignores_md5 = True
    answer = s3.put_object(
        Body=BODY, ContentMD5=checksum("MD5", BODY), ChecksumCRC32=checksum("CRC32", BODY), **AT
    )
    wrong = bytearray(BODY)
    wrong[1] ^= 2
    assert store.read("k") == wrong
    assert answer["ETag"] == f'"{hashlib.md5(wrong).hexdigest()}"'
    assert "ChecksumCRC32" not in answer


def test_an_answer_may_trickle(s3: Any, store: Store) -> None:
    scripted(store, Fault(drip=0.3), when="after")
    began = time.monotonic()
    assert s3.put_object(Body=BODY, **AT)["ETag"]
    assert time.monotonic() - began >= 0.25


def test_a_dripping_complete_begins_with_its_head_and_whitespace(wire: Any, s3: Any, store: Store) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    etag = s3.upload_part(Body=b"hello", UploadId=upload, PartNumber=1, **AT)["ETag"]
    scripted(store, Fault(drip=0.5), when="after")
    listed = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    reply = wire.call("POST", f"{TARGET}?uploadId={upload}", {}, listed.encode())
    assert reply.status == 200
    declaration, _, rest = reply.body.partition(b"?>\n")
    assert declaration.startswith(b"<?xml")
    assert rest.startswith(b" " * 1000)
    assert rest.lstrip().startswith(b"<CompleteMultipartUploadResult")


def test_botocore_takes_a_dripping_complete_longer_than_its_read_timeout(store: Store, connect: Any) -> None:
    client = connect(store, read_timeout=0.3)
    upload = client.create_multipart_upload(**AT)["UploadId"]
    etag = client.upload_part(Body=b"hello", UploadId=upload, PartNumber=1, **AT)["ETag"]
    scripted(store, Fault(drip=0.7), when="after")
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    assert client.complete_multipart_upload(UploadId=upload, MultipartUpload=parts, **AT)["ETag"]


def test_an_answer_may_break_off(wire: Any, store: Store) -> None:
    scripted(store, Fault(status=500, body=b"0123456789", truncate=4))
    with line(wire, store) as connection:
        head, _, content = everything(connection).partition(b"\r\n\r\n")
    assert b"Content-Length: 10" in head
    assert content == b"0123"


def test_an_answer_may_be_enormous(wire: Any, store: Store) -> None:
    scripted(store, Fault(status=200, body=b"x" * 65536, repeat=1600))
    with line(wire, store) as connection:
        received = 0
        while block := connection.recv(1 << 20):
            received += len(block)
            if received > 100_000_000:
                break
    assert received > 100_000_000


@pytest.mark.parametrize("etag", ["", "bare", '"other"'])
def test_an_answer_may_show_another_etag(s3: Any, store: Store, etag: str) -> None:
    scripted(store, Fault(etag=etag), when="after")
    assert s3.put_object(Body=b"hello", **AT)["ETag"] == etag
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    s3.upload_part(Body=b"hello", UploadId=upload, PartNumber=1, **AT)
    assert s3.list_parts(UploadId=upload, **AT)["Parts"][0]["ETag"] == etag


def test_a_foreign_answer_has_nothing_of_s3(wire: Any, store: Store) -> None:
    store.faults = Script([KINDS["302 to a portal"]()])
    reply = wire.call("HEAD", TARGET)
    assert reply.status == 302
    assert not [name for name in reply.headers if name.startswith("x-amz-")]


def test_an_upload_is_aborted_behind_its_owners_back(s3: Any, store: Store, refused: Any) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    scripted(store, Fault(abort=True), operation="UploadPart")
    said = refused(s3.upload_part, Body=b"hello", UploadId=upload, PartNumber=1, **AT)
    assert said == (404, "NoSuchUpload")
    assert not store.uploads()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_happens_and_the_store_goes_on(store: Store, connect: Any, name: str) -> None:
    client, impatient = connect(store), connect(store, read_timeout=0.05, connect_timeout=0.05)
    upload = client.create_multipart_upload(**AT)["UploadId"]
    etag = client.upload_part(Body=b"hello", UploadId=upload, PartNumber=1, **AT)["ETag"]
    store.faults = script = Script([KINDS[name](times=1)])
    for call in (
        lambda: impatient.upload_part(Body=b"hello", UploadId=upload, PartNumber=1, **AT),
        lambda: impatient.complete_multipart_upload(
            UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **AT
        ),
    ):
        with suppress(BotoCoreError, ClientError):
            call()
    assert script.hits == 1, script.told
    client.put_object(Bucket="captures", Key="after", Body=b"hello")
    assert store.read("after") == b"hello"
