"""Who may speak to the store at all: Signature Version 4 as S3 judges it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from syncd.demo.loopback import Body, Request
from syncd.demo.store import Store
from syncd.demo.store.auth import Claim, canonical_request, sign

EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "key", ["plain", "a b", "a+b", "ä/ö", "100%25", "a//b", "x~y*'()!", "a/../b", "q?x=1&y", "#", "=,;:@$"]
)
def test_boto3s_signature_is_understood_for_any_key(s3: Any, store: Store, key: str) -> None:
    s3.put_object(Bucket="captures", Key=key, Body=b"hello")
    assert list(store.objects()) == [key]


def test_the_published_example_of_a_signature_comes_out() -> None:
    # "Signature Calculations for the Authorization Header", GET with Range, of the S3 API reference.
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "range": "bytes=0-9",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": "20130524T000000Z",
    }
    request = Request(method="GET", target="/test.txt", headers=headers, body=Body(None, 0, None))  # type: ignore[arg-type]
    claim = Claim(
        access_key="AKIAIOSFODNN7EXAMPLE",
        day="20130524",
        region="us-east-1",
        service="s3",
        signed=tuple(headers),
        signature="",
    )
    canonical = canonical_request(request, claim.signed, EMPTY)
    assert sign(claim, secret, headers["x-amz-date"], canonical) == (
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_a_wrong_secret_is_refused(store: Store, connect: Any, refused: Any) -> None:
    liar = connect(
        store, {"aws_access_key_id": store.access_key, "aws_secret_access_key": store.secret_key + "x"}
    )
    assert refused(liar.put_object, Bucket="captures", Key="k", Body=b"x") == (403, "SignatureDoesNotMatch")
    assert store.objects() == {}


def test_an_unknown_key_is_refused(store: Store, connect: Any, refused: Any) -> None:
    stranger = connect(
        store, {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA", "aws_secret_access_key": store.secret_key}
    )
    assert refused(stranger.put_object, Bucket="captures", Key="k", Body=b"x") == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        ("PUT", "/captures/other", None),
        ("PUT", "/captures/k?x-id=PutObject", None),
        ("DELETE", "/captures/k", None),
        ("PUT", "/captures/k", ("x-amz-meta-note", "changed")),
    ],
)
def test_whatever_was_signed_cannot_be_changed(
    wire: Any, method: str, target: str, header: tuple[str, str] | None
) -> None:
    headers = wire.sign("PUT", "/captures/k", {"x-amz-meta-note": "kept"}, b"hello")
    assert wire.send("PUT", "/captures/k", headers, b"hello").status == 200
    altered = headers | dict([header] if header else [])
    reply = wire.send(method, target, altered, b"hello")
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")


def test_a_header_of_amazons_that_was_not_signed_is_refused(wire: Any) -> None:
    headers = wire.sign("PUT", "/captures/k", {}, b"hello") | {"x-amz-meta-slipped": "in"}
    reply = wire.send("PUT", "/captures/k", headers, b"hello")
    assert (reply.status, reply.code) == (403, "AccessDenied")
    assert b"x-amz-meta-slipped" in reply.body


def _without(*names: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: {name: text for name, text in headers.items() if name not in names}


def _replaced(old: str, new: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: headers | {"Authorization": headers["Authorization"].replace(old, new)}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (_without("Authorization"), 403, "AccessDenied"),
        (_without("X-Amz-Content-SHA256"), 400, "InvalidRequest"),
        (_without("X-Amz-Date"), 403, "AccessDenied"),
        (_replaced("AWS4-HMAC-SHA256 ", "AWS "), 400, "InvalidRequest"),
        (_replaced("Credential=", "Credentials="), 400, "AuthorizationHeaderMalformed"),
        (_replaced("SignedHeaders=", "Headers="), 400, "AuthorizationHeaderMalformed"),
        (_replaced("/us-east-1/", "/eu-west-1/"), 400, "AuthorizationHeaderMalformed"),
        (_replaced("/s3/", "/sts/"), 400, "AuthorizationHeaderMalformed"),
    ],
)
def test_an_incomplete_or_misdirected_signature_is_refused(
    wire: Any, change: Callable[[dict[str, str]], dict[str, str]], status: int, code: str
) -> None:
    reply = wire.send("GET", "/captures/k", change(wire.sign("GET", "/captures/k")))
    assert (reply.status, reply.code) == (status, code)


def test_a_credential_of_another_day_than_the_request_is_refused(wire: Any, store: Store) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time()))
    headers = {
        "host": f"127.0.0.1:{store.port}",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": stamp,
    }

    def reply(day: str) -> Any:
        claim = Claim(
            access_key=store.access_key,
            day=day,
            region="us-east-1",
            service="s3",
            signed=tuple(headers),
            signature="",
        )
        request = Request(method="HEAD", target="/captures", headers=headers, body=Body(None, 0, None))  # type: ignore[arg-type]
        signature = sign(claim, store.secret_key, stamp, canonical_request(request, claim.signed, EMPTY))
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={store.access_key}/{claim.scope}, "
            f"SignedHeaders={';'.join(claim.signed)}, Signature={signature}"
        )
        return wire.send("HEAD", "/captures", headers | {"Authorization": authorization})

    assert reply(stamp[:8]).status == 200
    assert reply("20200101").status == 403


@pytest.mark.parametrize(
    ("minutes", "accepted"), [(-16, False), (-14, True), (14, True), (16, False), (600, False)]
)
def test_a_clock_more_than_15_minutes_off_is_refused(
    clock: Any, s3: Any, refused: Any, minutes: int, accepted: bool
) -> None:
    clock.offset = minutes * 60
    if accepted:
        s3.put_object(Bucket="captures", Key="k", Body=b"x")
    else:
        assert refused(s3.put_object, Bucket="captures", Key="k", Body=b"x") == (403, "RequestTimeTooSkewed")


def test_the_date_of_every_answer_is_the_stores_own(clock: Any, wire: Any) -> None:
    clock.offset = 86_400 * 365
    then = time.gmtime(clock())
    reply = wire.call("GET", "/captures/k")
    assert reply.code == "RequestTimeTooSkewed"
    assert str(then.tm_year) in reply.headers["date"]


def test_a_presigned_url_is_said_to_be_not_implemented(wire: Any) -> None:
    reply = wire.send("GET", "/captures/k?X-Amz-Signature=00", {})
    assert (reply.status, reply.code) == (501, "NotImplemented")


def test_a_body_that_is_not_the_signed_one_is_refused_and_not_kept(wire: Any, store: Store) -> None:
    lie = hashlib.sha256(b"other").hexdigest()
    reply = wire.call("PUT", "/captures/k", {}, b"hello", content_hash=lie)
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    assert store.objects() == {}


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/captures/k?uploads"),
        ("GET", "/captures/k"),
        ("HEAD", "/captures"),
        ("DELETE", "/captures/k"),
    ],
)
def test_the_content_hash_is_verified_for_empty_bodies_too(wire: Any, method: str, target: str) -> None:
    wire.call("PUT", "/captures/k", {}, b"hello")
    lie = hashlib.sha256(b"other").hexdigest()
    assert wire.call(method, target, content_hash=lie).status == 400
    assert wire.call(method, target).status < 300


def test_an_unsigned_payload_is_accepted(wire: Any, store: Store) -> None:
    assert wire.call("PUT", "/captures/k", {}, b"hello", content_hash="UNSIGNED-PAYLOAD").status == 200
    assert store.objects()["k"].size == 5


@pytest.mark.parametrize(
    ("content_hash", "status", "code"),
    [
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 501, "NotImplemented"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 501, "NotImplemented"),
        ("nonsense", 400, "InvalidArgument"),
    ],
)
def test_other_ways_to_state_the_payload_are_refused(
    wire: Any, content_hash: str, status: int, code: str
) -> None:
    reply = wire.call("PUT", "/captures/k", {}, b"hello", content_hash=content_hash)
    assert (reply.status, reply.code) == (status, code)
