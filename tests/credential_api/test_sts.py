"""What STS may answer, over real HTTP, and what it means: AWS's form, Ceph's bare one, silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from syncd.credential_api.devices import Device
from syncd.credential_api.issue import Role, assume_role
from syncd.credential_api.sts import (
    AwsSts,
    RoleRefused,
    SessionImpossible,
    SessionUnavailable,
    role_problems,
    sts_client,
)
from syncd.demo.loopback import Answer, LoopbackServer, Request

ARN = "arn:aws:iam::123456789012:role/syncd-upload"
ARGUMENTS = assume_role(
    Device(name="cam-07", bucket="captures", prefix="cam-07/"),
    Role(arn=ARN, region="eu-central-1", session_seconds=5),
)


@contextmanager
def answering(respond: Callable[[Request], Answer]) -> Iterator[AwsSts]:
    server = LoopbackServer(respond)
    server.start()
    session = boto3.session.Session("AKIA", "secret")
    client = sts_client(region="eu-central-1", endpoint_url=server.url, session=session)
    try:
        yield AwsSts(client)
    finally:
        client.close()
        server.stop()


def aws_error(status: int, code: str) -> Answer:
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
    return Answer(status=status, headers={"Content-Type": "text/xml"}, body=body.encode())


def ceph_error(status: int) -> Answer:
    return Answer(
        status=status,
        headers={"Content-Type": "application/xml"},
        body=b"<Error><Code>Whatever</Code></Error>",
    )


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (aws_error(403, "AccessDenied"), RoleRefused),
        (ceph_error(403), RoleRefused),
        (aws_error(400, "ValidationError"), SessionImpossible),
        (aws_error(400, "PackedPolicyTooLarge"), SessionImpossible),
        (aws_error(403, "InvalidClientTokenId"), SessionImpossible),
        (ceph_error(404), SessionImpossible),
        (ceph_error(400), SessionImpossible),
        (aws_error(400, "Throttling"), SessionUnavailable),
        (aws_error(503, "ServiceUnavailable"), SessionUnavailable),
        (ceph_error(500), SessionUnavailable),
        (Answer(status=429), SessionUnavailable),
        (Answer(status=200, body=b"<SecretAccessKey>CANARY"), SessionUnavailable),
        (Answer(status=200, body=b"<AssumeRoleResponse/>"), SessionUnavailable),
    ],
)
def test_an_error_is_one_of_three_kinds(answer: Answer, meaning: type[Exception], events: list[Any]) -> None:
    calls: list[Request] = []

    def respond(request: Request) -> Answer:
        calls.append(request)
        request.body.read()
        return answer

    with answering(respond) as sts, pytest.raises(meaning):
        sts.assume_role(ARGUMENTS)
    passing = answer.status in {500, 503} or b"Throttling" in answer.body
    assert len(calls) == (2 if passing else 1)
    assert [event["event"] for event in events] == ["assume_role_failed"]
    assert "CANARY" not in repr(events)


def test_only_faults_of_the_policy_are_those_of_the_device() -> None:
    assert SessionImpossible("PackedPolicyTooLarge").of_the_device
    assert not SessionImpossible("HTTP 404").of_the_device


def test_a_store_that_is_not_there_is_unavailable() -> None:
    client = sts_client(
        region="eu-central-1", endpoint_url="http://127.0.0.1:9", session=boto3.session.Session("A", "s")
    )
    with pytest.raises(SessionUnavailable):
        AwsSts(client).assume_role(ARGUMENTS)
    client.close()


def test_without_keys_of_its_own_the_api_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client = sts_client(region="eu-central-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(SessionUnavailable):
        AwsSts(client).assume_role(ARGUMENTS)
    client.close()


@pytest.mark.parametrize(
    ("arn", "seconds", "own", "wrong"),
    [
        (ARN, 3600, False, 0),
        (ARN, 900, False, 0),
        (ARN, 899, False, 1),
        (ARN, 3601, True, 1),
        (ARN, 1, True, 0),
        (ARN, 0, True, 1),
        ("arn:aws:iam::1:user/me", 900, False, 1),
        ("arn:aws:iam:::role/demo", 900, False, 0),
        ("x", 0, False, 2),
    ],
)
def test_a_role_is_looked_at_before_anybody_asks(arn: str, seconds: int, own: bool, wrong: int) -> None:
    role = Role(arn=arn, region="eu-central-1", session_seconds=seconds)
    assert len(role_problems(role, own_endpoint=own)) == wrong
