"""HTTP as the store speaks it: kept connections, bodies that come late or not at all, the form of its answers."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from syncd.demo.loopback import Answer, FileSpan, LoopbackServer, Request
from syncd.demo.store import Store

AT = {"Bucket": "captures", "Key": "k"}


@pytest.fixture
def plug(store: Store) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", store.port), timeout=10)) as connection:
        yield connection


def _head(method: str, target: str, headers: dict[str, str], **more: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: " + headers.pop("Host", "")]
    lines = lines[:1] + [line for line in lines[1:] if line != "Host: "]
    lines += [f"{name}: {text}" for name, text in {**headers, **more}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _signed(wire: Any, store: Store, target: str, method: str = "PUT", **headers: str) -> dict[str, str]:
    signed: dict[str, str] = wire.sign(method, target, headers, content_hash="UNSIGNED-PAYLOAD")
    signed.pop("Content-Length", None)
    return {"Host": f"127.0.0.1:{store.port}"} | signed


def _until_closed(connection: socket.socket) -> bytes:
    received = b""
    while block := connection.recv(65536):
        received += block
    return received


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


def test_a_body_is_invited_only_when_the_head_is_good(plug: socket.socket, wire: Any, store: Store) -> None:
    headers = _signed(wire, store, "/captures/k")
    plug.sendall(_head("PUT", "/captures/k", headers, **{"Content-Length": "5", "Expect": "100-continue"}))
    assert plug.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    plug.sendall(b"hello")
    assert plug.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert store.read("k") == b"hello"


@pytest.mark.parametrize(
    ("method", "target", "spoil", "answer"),
    [
        ("PUT", "/captures/k", {"Authorization": "AWS4-HMAC-SHA256 x"}, b"400 Bad Request"),
        ("PUT", "/captures/k?partNumber=1&uploadId=gone", {}, b"404 Not Found"),
        ("POST", "/captures/k?uploadId=gone", {}, b"404 Not Found"),
        ("PUT", "/nowhere/k", {}, b"404 Not Found"),
    ],
)
def test_what_the_head_shows_is_answered_without_the_body_and_ends_the_connection(
    plug: socket.socket,
    wire: Any,
    store: Store,
    method: str,
    target: str,
    spoil: dict[str, str],
    answer: bytes,
) -> None:
    headers = _signed(wire, store, target, method) | spoil
    plug.sendall(_head(method, target, headers, **{"Content-Length": "999999", "Expect": "100-continue"}))
    received = _until_closed(plug)
    assert received.startswith(b"HTTP/1.1 " + answer)
    assert b"100 Continue" not in received
    assert b"Connection: close" in received
    assert store.log[-1].received == 0


def test_conditions_that_fail_are_told_before_the_body(
    plug: socket.socket, s3: Any, wire: Any, store: Store
) -> None:
    s3.put_object(Body=b"first", **AT)
    headers = _signed(wire, store, "/captures/k") | {"If-None-Match": "*"}
    plug.sendall(_head("PUT", "/captures/k", headers, **{"Content-Length": "999", "Expect": "100-continue"}))
    assert _until_closed(plug).startswith(b"HTTP/1.1 412 ")


def test_a_condition_that_fails_while_the_body_comes_is_noticed(
    plug: socket.socket, s3: Any, wire: Any, store: Store
) -> None:
    headers = _signed(wire, store, "/captures/k") | {"If-None-Match": "*"}
    plug.sendall(_head("PUT", "/captures/k", headers, **{"Content-Length": "5", "Expect": "100-continue"}))
    assert plug.recv(65536).startswith(b"HTTP/1.1 100 ")
    s3.put_object(Body=b"rival", **AT)
    plug.sendall(b"hello")
    assert plug.recv(65536).startswith(b"HTTP/1.1 412 ")
    assert store.read("k") == b"rival"
    assert len(list(store._buckets["captures"].data.iterdir())) == 1


def test_an_upload_aborted_while_a_part_comes_does_not_take_it(
    plug: socket.socket, s3: Any, wire: Any, store: Store
) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    target = f"/captures/k?partNumber=1&uploadId={upload}"
    headers = _signed(wire, store, target)
    plug.sendall(_head("PUT", target, headers, **{"Content-Length": "5", "Expect": "100-continue"}))
    assert plug.recv(65536).startswith(b"HTTP/1.1 100 ")
    store.abort(upload)
    plug.sendall(b"hello")
    assert plug.recv(65536).startswith(b"HTTP/1.1 404 ")
    assert list(store._buckets["captures"].data.iterdir()) == []


def test_an_upload_aborted_just_before_a_part_is_opened_does_not_take_it(
    s3: Any, store: Store, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    bucket = store._buckets["captures"]
    named = bucket.new_part_file

    def abort_first(*arguments: Any) -> str:
        store.abort(upload)
        return named(*arguments)

    monkeypatch.setattr(bucket, "new_part_file", abort_first)
    part = {"UploadId": upload, "PartNumber": 1, "Body": b"hello"}
    assert refused(s3.upload_part, **part, **AT) == (404, "NoSuchUpload")


def test_a_truncated_body_leaves_nothing_behind(
    plug: socket.socket, s3: Any, wire: Any, store: Store
) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    target = f"/captures/k?partNumber=1&uploadId={upload}"
    plug.sendall(_head("PUT", target, _signed(wire, store, target), **{"Content-Length": "100"}) + b"hello")
    plug.shutdown(socket.SHUT_WR)
    assert _until_closed(plug) == b""
    assert _eventually(lambda: store.log[-1].operation == "UploadPart")
    record = store.log[-1]
    assert (record.code, record.status, record.length, record.received) == ("IncompleteBody", 0, 100, 5)
    assert store.uploads()[0].parts == {}
    assert [path for path in store._buckets["captures"].data.rglob("*") if path.is_file()] == []


def test_a_large_refused_body_does_not_swallow_the_answer(wire: Any) -> None:
    body = b"x" * (8 << 20)
    headers = wire.sign("PUT", "/nowhere/k", {}, content_hash="UNSIGNED-PAYLOAD")
    reply = wire.send("PUT", "/nowhere/k", headers, body)
    assert (reply.status, reply.code) == (404, "NoSuchBucket")
    assert reply.headers["connection"] == "close"


def test_a_connection_carries_many_requests_also_after_refusals(store: Store, wire: Any) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", store.port, timeout=10)) as connection:
        ports = set()
        for target, status in (("/captures/a", 200), ("/nowhere/b", 404), ("/captures/c", 200)):
            connection.request("PUT", target, b"hello", wire.sign("PUT", target, {}, b"hello"))
            with connection.getresponse() as response:
                response.read()
                assert response.status == status
            ports.add(connection.sock.getsockname())
        assert len(ports) == 1
    assert sorted(store.objects()) == ["a", "c"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 411, b"MissingContentLength"),
        ({"Content-Length": "many"}, 411, b"MissingContentLength"),
        ({"Transfer-Encoding": "chunked"}, 501, b"NotImplemented"),
    ],
)
def test_a_body_must_say_how_long_it_is(
    plug: socket.socket, wire: Any, store: Store, headers: dict[str, str], status: int, code: bytes
) -> None:
    plug.sendall(_head("PUT", "/captures/k", _signed(wire, store, "/captures/k"), **headers))
    plug.shutdown(socket.SHUT_WR)
    received = _until_closed(plug)
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"<Code>" + code + b"</Code>" in received


def test_errors_have_the_form_of_s3(wire: Any) -> None:
    reply = wire.call("GET", "/captures/a%20b%3Cc")
    assert reply.headers["content-type"] == "application/xml"
    text = reply.body.decode()
    assert "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>" in text
    assert "<Resource>/captures/a b&lt;c</Resource>" in text
    assert f"<RequestId>{reply.headers['x-amz-request-id']}</RequestId>" in text


def test_every_answer_has_a_date_and_an_id_of_its_own(wire: Any) -> None:
    calls = [
        ("PUT", "/captures/k"),
        ("GET", "/captures/k"),
        ("HEAD", "/captures/none"),
        ("DELETE", "/captures/k"),
    ]
    replies = [wire.call(method, target) for method, target in calls]
    replies.append(wire.send("GET", "/captures/k", {}))
    assert [reply.status for reply in replies] == [200, 200, 404, 204, 403]
    ids = {reply.headers["x-amz-request-id"] for reply in replies}
    assert len(ids) == len(replies)
    for reply in replies:
        assert abs(parsedate_to_datetime(reply.headers["date"]).timestamp() - time.time()) < 60


def test_a_refused_head_has_no_content(wire: Any) -> None:
    reply = wire.call("HEAD", "/captures/none")
    assert (reply.status, reply.body) == (404, b"")


def test_the_log_says_what_came_and_what_became_of_it(s3: Any, store: Store, refused: Any) -> None:
    upload = s3.create_multipart_upload(**AT)["UploadId"]
    s3.upload_part(UploadId=upload, PartNumber=7, Body=b"hello", **AT)
    refused(s3.upload_part, UploadId="gone", PartNumber=1, Body=b"hello", **AT)
    records = store.log
    assert [(each.operation, each.status, each.code) for each in records] == [
        ("CreateMultipartUpload", 200, ""),
        ("UploadPart", 200, ""),
        ("UploadPart", 404, "NoSuchUpload"),
    ]
    part = records[1]
    assert (part.method, part.bucket, part.key, part.part_number) == ("PUT", "captures", "k", 7)
    assert (part.upload_id, part.received, part.access_key) == (upload, 5, store.access_key)
    assert store.counts() == {"CreateMultipartUpload": 1, "UploadPart": 1, "UploadPart NoSuchUpload": 1}


def test_stopping_ends_every_connection_and_starting_brings_back_the_same_port(
    store: Store, plug: socket.socket, s3: Any
) -> None:
    s3.put_object(Body=b"hello", **AT)
    url = store.url
    store.stop()
    assert plug.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", store.port))
    store.start()
    assert store.url == url
    assert s3.get_object(**AT)["Body"].read() == b"hello"


def test_a_store_that_fails_says_so_and_goes_on(s3: Any, store: Store, refused: Any) -> None:
    s3.put_object(Body=b"hello", **AT)
    bucket = store._buckets["captures"]
    put, bucket.put = bucket.put, lambda _: 1 / 0  # type: ignore[assignment,method-assign]
    assert refused(s3.put_object, Body=b"x", **AT) == (500, "InternalError")
    bucket.put = put  # type: ignore[method-assign]
    s3.put_object(Body=b"again", **AT)
    assert store.read("k") == b"again"


def test_an_object_replaced_while_it_is_fetched_ends_the_answer_short(tmp_path: Any) -> None:
    # The head is out by then, so hanging up is the only honest way to say it.
    (tmp_path / "one").write_bytes(b"12345")
    spans = (FileSpan(tmp_path / "one", 0, 5), FileSpan(tmp_path / "gone", 0, 5))

    def respond(_: Request) -> Answer:
        return Answer(spans=spans)

    server = LoopbackServer(respond)
    server.start()
    try:
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            head, _, body = _until_closed(connection).partition(b"\r\n\r\n")
    finally:
        server.stop()
    assert re.search(rb"Content-Length: 10\b", head)
    assert body == b"12345"
