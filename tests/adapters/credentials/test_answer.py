"""Answer bodies: both good forms, and everything that must be refused without repeating it."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.adapters.credentials.answer import read_complaint, read_credentials, read_http_date
from syncd.errors import Transient
from syncd.model import CredentialSet


def test_the_assume_role_form_is_read_with_its_destination(kit: Any) -> None:
    body = {
        "Credentials": kit.fields(Expiration="2026-01-28T22:42:22+00:00"),
        "AssumedRoleUser": {"Arn": "arn:aws:sts::1:assumed-role/r/s", "AssumedRoleId": "A:s"},
        "Destination": {"Bucket": "captures", "Prefix": "cam-07/", "Region": "eu-central-1"},
    }
    got = read_credentials(json.dumps(body).encode())
    assert (got.access_key, got.secret_key, got.session_token) == ("ASIAEXAMPLE", kit.secret, kit.session)
    assert got.expires_at == 1769640142
    assert (got.bucket, got.prefix, got.region) == ("captures", "cam-07/", "eu-central-1")


@pytest.mark.parametrize("destination", [None, {}, {"Bucket": None, "Prefix": None, "Region": None}])
def test_a_destination_may_be_absent_or_empty(kit: Any, destination: Any) -> None:
    got = read_credentials(json.dumps({"Credentials": kit.fields(), "Destination": destination}).encode())
    assert (got.bucket, got.prefix, got.region) == (None, None, None)


def test_the_flat_container_form_is_read(kit: Any) -> None:
    fields = kit.fields()
    fields["Token"] = fields.pop("SessionToken")
    got = read_credentials(json.dumps(fields | {"RoleArn": "arn", "Type": ""}).encode())
    assert (got.secret_key, got.session_token) == (kit.secret, kit.session)


def test_a_byte_order_mark_does_no_harm(kit: Any) -> None:
    assert read_credentials(b"\xef\xbb\xbf" + kit.good()).secret_key == kit.secret


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-01-28T22:42:22Z", 1769640142.0),
        ("2026-01-28t22:42:22z", 1769640142.0),
        ("2026-01-28T22:42:22.250000Z", 1769640142.25),
        ("2026-01-28T22:42:22.123456789Z", 1769640142.123456789),
        ("2026-01-28T23:42:22+01:00", 1769640142.0),
        ("2026-01-28T17:12:22-05:30", 1769640142.0),
        ("2026-01-28T22:42:60Z", 1769640179.0),
    ],
)
def test_times_with_a_zone_are_understood(kit: Any, written: str, seconds: float) -> None:
    assert read_credentials(kit.good(Expiration=written)).expires_at == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("2026-01-28T22:42:22", "Expiration has no time zone"),
        ("2026-01-28T22:42:22.5", "Expiration has no time zone"),
        ("2026-02-30T22:42:22Z", "Expiration is no time that there is"),
        ("0000-01-01T00:00:00Z", "Expiration is no time that there is"),
        ("2026-01-28T22:42:22+99:00", "Expiration is no time that there is"),
        ("9999-12-31T23:59:59-01:00", "Expiration is no time that there is"),
        ("9999-12-31T23:59:59.999999999Z", "Expiration is no time that there is"),
        ("0001-01-01T00:00:00+01:00", "Expiration is no time that there is"),
        ("2026-01-28", "RFC 3339"),
        ("Wed, 28 Jan 2026 22:42:22 GMT", "RFC 3339"),
        ("1769640142", "RFC 3339"),
        ("٢٠٢٦-01-28T22:42:22Z", "RFC 3339"),
        (1769640142, "Expiration is a number, expected text"),
        (1769640142000.0, "Expiration is a number, expected text"),
        (None, "Expiration is null, expected text"),
        (True, "Expiration is true or false, expected text"),
        ([], "Expiration is a list, expected text"),
        ({}, "Expiration is an object, expected text"),
    ],
)
def test_times_that_could_mean_anything_are_refused(kit: Any, written: object, complaint: str) -> None:
    with pytest.raises(Transient, match=complaint):
        read_credentials(kit.good(Expiration=written))


BROKEN = [
    (b"", "it is empty"),
    (b" \n", "it is empty"),
    (b"<!doctype html><title>Log in</title>", "not JSON"),
    (b"null", "the answer is null, expected an object"),
    (b"[]", "the answer is a list"),
    (b"{}", "AccessKeyId is missing"),
    (b'{"Credentials": null}', "Credentials is null"),
    (b'{"Credentials": {}}', "AccessKeyId is missing"),
    (b'{"Credentials": {"AccessKeyId": "A", "AccessKeyId": "B"}}', "a key stands in it twice"),
    (b'{"x": NaN}', "not finite"),
    (b'{"x": -Infinity}', "not finite"),
    (b'{"x": ' + b"9" * 5000 + b"}", "not JSON"),
    (b"[" * 60_000, "nested too deeply"),
    (b'{"a":' * 10_000, "nested too deeply"),
    (b"\xff\xfe{\x00}\x00", "not UTF-8"),
    (b"\x1f\x8b\x08\x00garbage", "not UTF-8"),
]


@pytest.mark.parametrize(("body", "complaint"), BROKEN)
def test_bodies_that_are_no_answer_are_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(Transient, match=complaint):
        read_credentials(body)


@pytest.mark.parametrize("name", ["AccessKeyId", "SecretAccessKey", "SessionToken"])
@pytest.mark.parametrize(
    "value", [None, "", 7, 1.5, False, ["x"], {"x": 1}, "a b", "a\r\nb", "ü", "\ud800", "x" * 40_000]
)
def test_a_field_of_another_kind_is_refused_by_its_name(kit: Any, name: str, value: object) -> None:
    with pytest.raises(Transient, match=f": {name} is "):
        read_credentials(kit.good(**{name: value}))


@pytest.mark.parametrize("name", ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"])
def test_a_missing_field_is_named(kit: Any, name: str) -> None:
    fields = kit.fields()
    del fields[name]
    with pytest.raises(Transient, match=f"{name} is missing"):
        read_credentials(json.dumps({"Credentials": fields}).encode())


@pytest.mark.parametrize(
    "destination",
    [
        "bucket",
        [],
        {"Bucket": 5},
        {"Bucket": ""},
        {"Bucket": "a/b"},
        {"Bucket": "../x"},
        {"Prefix": 5},
        {"Prefix": "/x"},
        {"Prefix": "a\nb"},
        {"Prefix": "x" * 901},
        {"Prefix": "\ud800"},
        {"Region": "us east"},
        {"Region": "a.evil.example/"},
    ],
)
def test_a_destination_that_cannot_be_is_refused(kit: Any, destination: object) -> None:
    body = json.dumps({"Credentials": kit.fields(), "Destination": destination}).encode()
    with pytest.raises(Transient, match=r"Destination|Prefix|Bucket"):
        read_credentials(body)


def test_an_endpoint_in_the_answer_is_nobodys(kit: Any) -> None:
    """Whoever answers for the API may name a bucket, but not the machine that the bytes go to."""
    elsewhere = dict.fromkeys(("Endpoint", "EndpointUrl", "endpoint_url", "Proxy"), "http://169.254.169.254/")
    plain = {"Bucket": "captures", "Prefix": "cam/", "Region": "eu-central-1"}
    answers = [
        {"Credentials": kit.fields(), "Destination": plain},
        {"Credentials": kit.fields(**elsewhere), "Destination": plain | elsewhere, **elsewhere},
    ]
    first, second = (read_credentials(json.dumps(answer).encode()) for answer in answers)
    assert first == second
    assert "169.254" not in repr(vars_of(second))


def vars_of(credentials: CredentialSet) -> list[object]:
    """Its values, those too that no repr shows."""
    return [getattr(credentials, field.name) for field in dataclasses.fields(credentials)]


def test_no_complaint_holds_a_value_or_the_text(kit: Any) -> None:
    good = kit.good().decode()
    bodies = [
        good[:-4],
        good.replace(kit.session, kit.session + "\\n"),
        good.replace("Expiration", "Expired"),
        good + good,
        good.replace("{", '{"x": NaN, ', 1),
        good.replace('"AccessKeyId"', f'"SecretAccessKey": "{kit.secret}", "AccessKeyId"'),
    ]
    for body in [*(text.encode() for text in bodies), kit.good().replace(b"ASIA", b"\xff")]:
        with pytest.raises(Transient) as caught:
            read_credentials(body)
        told = kit.chain(caught.value)
        assert not [canary for canary in kit.canaries if canary in told]


def test_a_servers_own_message_is_shown_escaped_short_and_without_secrets() -> None:
    def said(message: object) -> str | None:
        return read_complaint(json.dumps({"error": {"code": "x", "message": message}}).encode(), ("s3cret",))

    assert said("Device cam-07 is unknown") == "Device cam-07 is unknown"
    assert said("token s3cret is bad") == "token *** is bad"
    assert said("a\r\nb\x1b[31m\u202e") == "a\\u000d\\u000ab\\u001b[31m\\u202e"
    assert len(said("\x00" * 5000) or "") == 200
    strange: tuple[object, ...] = (None, 5, "", ["x"], {})
    assert [said(odd) for odd in strange] == [None] * 5
    other = (b"", b"[]", b'{"error": "x"}', b"<html>", b"\xff")
    assert [read_complaint(body, ()) for body in other] == [None] * 5


def test_http_dates_are_read_and_nonsense_is_none() -> None:
    assert read_http_date("Wed, 28 Jan 2026 22:42:22 GMT") == 1769640142
    assert read_http_date("Wed Jan 28 22:42:22 2026") == 1769640142
    assert [
        read_http_date(odd) for odd in (None, "", "soon", "Wed, 99 Jan 2026 22:42:22 GMT", "1" * 500)
    ] == [None] * 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
plausible = st.fixed_dictionaries(
    {},
    optional={
        name: json_values | st.just("x") | st.datetimes().map(lambda t: t.isoformat() + "Z")
        for name in (
            "AccessKeyId",
            "SecretAccessKey",
            "SessionToken",
            "Token",
            "Expiration",
            "Destination",
            "Credentials",
        )
    },
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | plausible.map(lambda value: json.dumps(value).encode())
    | plausible.map(lambda value: json.dumps({"Credentials": value, "Destination": value}).encode())
    | plausible.map(lambda value: json.dumps({"error": {"message": value.get("Token")}}).encode()[:-1])
)


@settings(max_examples=400, deadline=None)
@given(body=bodies)
def test_whatever_the_body_is_it_is_read_or_refused(body: bytes) -> None:
    try:
        got = read_credentials(body)
    except Transient as refused:
        assert refused.hint  # noqa: PT017 - a set is as good an outcome
    else:
        assert got.secret_key
        assert got.session_token
        assert isinstance(got.expires_at, float)
    assert read_complaint(body, ("x",)) is None or len(read_complaint(body, ("x",)) or "") <= 200


def test_a_large_hostile_body_is_refused_quickly() -> None:
    began = time.monotonic()
    for piece in (b"[", b'{"a":', b'"\\u0000', b"1e9,", b"\\" * 2):
        with pytest.raises(Transient):
            read_credentials((piece * 65536)[:65536])
    assert time.monotonic() - began < 2
