"""URLs for one PUT: which objects they are for, how long they live, and what a store says to them."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from support.clock import FakeClock

from syncd.credential_api.application import PATH
from syncd.credential_api.devices import Device
from syncd.credential_api.presign import LARGEST, BadUpload, S3Presigner, Upload, read_upload

DEVICE = Device(name="cam-07", bucket="captures", prefix="cam-07/")


def presign(desk: Any, **body: Any) -> Any:
    return desk.ask(path=f"{PATH}/presign", body={"device": "cam-07", "path": "a.mp4", "size": 3, **body})


def test_the_answer_says_how_to_put_what_where_and_until_when(desk: Any, clock: FakeClock) -> None:
    document = presign(desk, path="day 1/ä.mp4", content_type="video/mp4").document
    url = urlsplit(document["Url"])
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc) == ("https", "captures.s3.eu-central-1.amazonaws.com")
    assert url.path == "/cam-07/day%201/%C3%A4.mp4"
    assert query["X-Amz-Expires"] == ["3600"]
    assert query["X-Amz-SignedHeaders"] == ["content-length;content-type;host"]
    assert "checksum" not in url.query.lower()
    assert document["Method"] == "PUT"
    assert document["Headers"] == {"Content-Length": "3", "Content-Type": "video/mp4"}
    assert document["Key"] == "cam-07/day 1/ä.mp4"
    assert document["Expires"] == datetime.fromtimestamp(clock.now() + 3600, UTC).isoformat()


def test_a_url_never_outlives_its_session(desk: Any, clock: FakeClock) -> None:
    """STS may give less than was asked for, or be slow."""
    assumed = desk.sts.assume_role({"DurationSeconds": 900})
    document = S3Presigner("eu-central-1").put(Upload(key="k", size=1), DEVICE, assumed, clock.now() + 100.7)
    assert parse_qs(urlsplit(document["Url"]).query)["X-Amz-Expires"] == ["799"]
    assert datetime.fromisoformat(document["Expires"]) <= assumed["Credentials"]["Expiration"]


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"path": path}
            for path in ("", "/a", "a//b", "a/", "./a", "a/../b", "..", "a\x00b", "a\nb", None, 7)
        ),
        *({"path": "x" * 1018}, {"path": "ä" * 509}, {"path": "\ud800"}),
        *({"size": size} for size in (-1, 1.5, "3", None, True)),
        *({"content_type": kind} for kind in ("", "video", "a/b\r\nx: y", 7)),
    ],
)
def test_what_cannot_be_an_object_of_the_device_is_refused(desk: Any, wrong: dict[str, Any]) -> None:
    assert desk.refusal(presign(desk, **wrong)) == (400, "bad_request")
    assert desk.sts.asked == []


def test_a_key_may_have_1024_bytes_and_an_object_5_gib(desk: Any) -> None:
    assert presign(desk, path="x" * (1024 - 7), size=LARGEST).status == 200


def test_more_than_one_put_can_take_points_to_multipart(desk: Any) -> None:
    answer = presign(desk, size=LARGEST + 1)
    assert desk.refusal(answer) == (400, "too_large")
    assert "multipart" in answer.document["error"]["message"]


@given(st.text(max_size=40))
def test_no_path_leads_out_of_the_prefix(path: str) -> None:
    try:
        key = read_upload({"path": path, "size": 1}, DEVICE).key
    except BadUpload:
        return
    assert key.startswith("cam-07/")
    assert not {"", ".", ".."} & set(key.split("/"))


def signature(url: str, headers: dict[str, str], secret: str) -> str:
    """What S3 computes for a PUT with these headers, in our own arithmetic.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    parts = urlsplit(url)
    query = sorted(pair for pair in parts.query.split("&") if not pair.startswith("X-Amz-Signature="))
    fields = parse_qs(parts.query)
    signed = fields["X-Amz-SignedHeaders"][0]
    sent = {"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}}
    lines = "".join(f"{name}:{sent.get(name, '')}\n" for name in signed.split(";"))
    canonical = "\n".join(["PUT", parts.path, "&".join(query), lines, signed, "UNSIGNED-PAYLOAD"])
    scope = fields["X-Amz-Credential"][0].partition("/")[2]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", fields["X-Amz-Date"][0], scope, digest])
    key = f"AWS4{secret}".encode()
    for step in (*scope.split("/"), text):
        key = hmac.digest(key, step.encode(), "sha256")
    return key.hex()


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:7480"])
def test_the_signature_holds_for_this_size_type_and_key_only(desk: Any, endpoint: str | None) -> None:
    assumed = desk.sts.assume_role({"DurationSeconds": 900})
    secret = assumed["Credentials"]["SecretAccessKey"]
    upload = Upload(key="cam-07/a b/ä.mp4", size=3, content_type="video/mp4")
    document = S3Presigner("eu-central-1", endpoint).put(upload, DEVICE, assumed, desk.clock.now())
    url, headers = document["Url"], document["Headers"]
    given = parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]
    assert signature(url, headers, secret) == given
    assert signature(url, {**headers, "Content-Length": "4"}, secret) != given
    assert signature(url, {**headers, "Content-Type": "text/html"}, secret) != given
    assert signature(url.replace("cam-07/", "cam-08/"), headers, secret) != given
    assert url.startswith(f"{endpoint}/captures/cam-07/" if endpoint else "https://captures.s3")


@mock_aws
def test_a_store_takes_the_put(desk: Any) -> None:
    there = boto3.client("s3", region_name="eu-central-1")
    there.create_bucket(Bucket="captures", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    document = presign(desk, path="a b/ä.mp4", size=3).document
    answer = requests.put(document["Url"], data=b"abc", headers=document["Headers"], timeout=10)
    assert answer.status_code == 200
    assert there.get_object(Bucket="captures", Key="cam-07/a b/ä.mp4")["Body"].read() == b"abc"
