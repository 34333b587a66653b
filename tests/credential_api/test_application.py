"""Every question that can be asked of the API, and its answer: who gets what, and how the others are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from support.clock import FakeClock

from syncd.credential_api.application import PATH
from syncd.credential_api.devices import BadRegistration, DevicesUnavailable
from syncd.credential_api.sts import RoleRefused, SessionImpossible, SessionUnavailable

PRESIGN = f"{PATH}/presign"


def change(desk: Any, **changes: Any) -> None:
    ((token, device),) = desk.devices.found.items()
    desk.devices.found[token] = replace(device, **changes)


def test_a_device_gets_credentials_for_its_own_prefix(desk: Any) -> None:
    answer = desk.ask()
    assert answer.status == 200
    assert answer.document["Credentials"]["AccessKeyId"] == "ASIA7"
    assert answer.document["Destination"] == {
        "Bucket": "captures",
        "Prefix": "cam-07/",
        "Region": "eu-central-1",
    }
    (asked,) = desk.sts.asked
    assert asked["RoleSessionName"] == "syncd-cam-07"
    assert json.loads(asked["Policy"])["Statement"][0]["Resource"] == "arn:aws:s3:::captures/cam-07/*"


@pytest.mark.parametrize("form", ["Bearer {}", "bearer  {}", "{}"])
def test_get_answers_in_the_container_form_to_a_bearer_token_and_to_a_bare_one(desk: Any, form: str) -> None:
    answer = desk.ask("GET", authorization=form.format(next(iter(desk.devices.found))))
    assert answer.status == 200
    assert set(answer.document) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}


def test_post_does_not_take_a_bare_token(desk: Any) -> None:
    assert desk.refusal(desk.ask(authorization=next(iter(desk.devices.found)))) == (401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic dXNlcg==", "Bearer a b", "Bearer \ud800", "x" * 9000],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_right_token_nobody_gets_anything(desk: Any, method: str, header: str) -> None:
    answer = desk.ask(method, authorization=header)
    assert desk.refusal(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert desk.sts.asked == []


def test_a_device_that_is_switched_off_is_refused(desk: Any) -> None:
    change(desk, enabled=False)
    assert desk.refusal(desk.ask()) == (403, "disabled")


def test_a_registration_ends_at_its_second(desk: Any, clock: FakeClock) -> None:
    change(desk, expires_at=clock.now() + 10)
    assert desk.ask().status == 200
    clock.advance(10)
    assert desk.refusal(desk.ask()) == (403, "expired")


def test_a_token_is_good_for_its_own_device_only(desk: Any) -> None:
    answer = desk.ask(body={"device": "cam-08"})
    assert desk.refusal(answer) == (403, "wrong_device")
    assert desk.sts.asked == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"[]", b'"cam-07"', b"{}", b'{"device": 7}', b'{"device": null}', b"\xff\xfe"),
        *(b"[" * 4000, b'{"device": "cam-07", "more": "' + b"x" * 4096 + b'"}'),
    ],
)
@pytest.mark.parametrize("path", [PATH, PRESIGN])
def test_a_body_that_is_not_as_documented_is_refused(desk: Any, path: str, body: bytes) -> None:
    assert desk.refusal(desk.ask(path=path, body=body)) == (400, "bad_request")


def test_a_body_may_have_4096_bytes(desk: Any) -> None:
    start = b'{"device": "cam-07", "more": "'
    assert desk.ask(body=start + b"x" * (4096 - len(start) - 2) + b'"}').status == 200


def test_after_so_many_requests_a_device_has_to_wait_and_others_do_not(desk: Any, clock: FakeClock) -> None:
    desk.devices.found["other"] = replace(next(iter(desk.devices.found.values())), name="cam-08")
    assert [desk.ask().status for _ in range(3)] == [200] * 3
    answer = desk.ask()
    assert desk.refusal(answer) == (429, "too_many")
    assert answer.headers["Retry-After"] == "10"
    assert desk.ask("GET", authorization="Bearer other").status == 200
    clock.advance(10)
    assert [desk.ask().status for _ in range(2)] == [200, 429]


def test_wrong_tokens_are_held_up_by_address_and_right_ones_are_not(desk: Any) -> None:
    answers = [desk.ask(authorization="Bearer wrong") for _ in range(4)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) == 10
    assert desk.ask().status == 200
    assert desk.ask(authorization="Bearer wrong", source="192.0.2.8").status == 401


@pytest.mark.parametrize(
    ("trouble", "refusal"),
    [
        (SessionUnavailable(), (503, "unavailable")),
        (RoleRefused(), (500, "role_refused")),
        (SessionImpossible("ValidationError"), (500, "session_refused")),
        (SessionImpossible("PackedPolicyTooLarge"), (500, "bad_registration")),
        (RuntimeError("a secret tok-CANARY"), (500, "internal")),
    ],
)
def test_what_sts_says_becomes_a_refusal_that_names_nobody(
    desk: Any, trouble: Exception, refusal: tuple[int, str]
) -> None:
    desk.sts.trouble = trouble
    answer = desk.ask()
    assert desk.refusal(answer) == refusal
    assert ("Retry-After" in answer.headers) == (answer.status == 503)
    assert "arn:" not in answer.body.decode()
    assert "CANARY" not in answer.body.decode()


def test_a_refused_role_says_what_to_look_at(desk: Any) -> None:
    desk.sts.trouble = RoleRefused()
    assert "trust policy" in desk.ask().document["error"]["message"]


@pytest.mark.parametrize(
    ("trouble", "refusal"),
    [
        (DevicesUnavailable(), (503, "unavailable")),
        (BadRegistration(["cam-07: bucket is missing"]), (500, "bad_registration")),
    ],
)
def test_devices_that_cannot_be_read_are_no_ones_fault_who_asks(
    desk: Any, trouble: Exception, refusal: tuple[int, str]
) -> None:
    desk.devices.trouble = trouble
    assert desk.refusal(desk.ask()) == refusal


def test_a_prefix_that_cannot_be_put_into_a_policy_is_a_bad_registration(desk: Any) -> None:
    change(desk, prefix="*/")
    assert desk.refusal(desk.ask()) == (500, "bad_registration")
    assert desk.sts.asked == []


@pytest.mark.parametrize("path", ["/", "/v1", f"{PATH}/", f"{PATH}/x", "/V1/credentials", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
def test_there_is_nothing_at_other_paths(desk: Any, method: str, path: str) -> None:
    assert desk.refusal(desk.ask(method, path)) == (404, "not_found")


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "BREW"])
@pytest.mark.parametrize(("path", "allow"), [(PATH, "POST, GET, OPTIONS"), (PRESIGN, "POST, OPTIONS")])
def test_other_methods_are_told_which_there_are(desk: Any, method: str, path: str, allow: str) -> None:
    answer = desk.ask(method, path)
    assert desk.refusal(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


def test_options_tells_the_methods_to_anybody(desk: Any) -> None:
    answer = desk.ask("OPTIONS", authorization="")
    assert (answer.status, answer.body, answer.headers["Allow"]) == (204, b"", "POST, GET, OPTIONS")


@pytest.mark.parametrize(
    "ask", [{}, {"method": "GET"}, {"authorization": "x"}, {"method": "PUT"}, {"path": "/"}]
)
def test_every_answer_may_be_kept_by_nobody_and_tells_the_time(
    desk: Any, clock: FakeClock, ask: dict[str, str]
) -> None:
    headers = desk.ask(**ask).headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    assert parsedate_to_datetime(headers["Date"]).timestamp() == clock.now()


def test_the_log_says_who_got_what_for_how_long(desk: Any) -> None:
    desk.ask()
    (event,) = desk.events
    assert event == {
        "event": "credentials_issued",
        "log_level": "info",
        "device": "cam-07",
        "session_s": 3600,
        "expires_at": "2027-01-15T09:00:00+00:00",
        "source": "192.0.2.7",
    }


def test_the_log_says_who_was_refused_and_why(desk: Any) -> None:
    desk.ask(body={"device": "cam-08"})
    desk.ask(authorization="Bearer wrong")
    assert [(event["event"], event["code"], event["device"]) for event in desk.events] == [
        ("refused", "wrong_device", "cam-07"),
        ("refused", "unauthorized", None),
    ]


def test_neither_answers_nor_log_repeat_what_was_asked(desk: Any) -> None:
    body = {"device": "CANARY-1", "path": "CANARY-2", "size": 1}
    told = [desk.ask("POST", path, body=body).body.decode() for path in (PATH, PRESIGN)]
    told += [
        desk.ask("GET", "/CANARY-3").body.decode(),
        desk.ask(authorization="Bearer CANARY-4").body.decode(),
    ]
    assert "CANARY" not in "".join(told) + repr(desk.events)
