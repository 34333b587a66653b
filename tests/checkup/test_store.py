"""What may be wrong on the way to the store and with what it does is found there, and the remedy named."""

from __future__ import annotations

import json
import subprocess

import pytest
from support.pki import self_signed
from support.proxy import running
from support.rig import Rig
from support.script import KINDS, Rule, Script

from syncd.credential_api import issue
from syncd.demo.store.faults import Fault

from .conftest import Examine, amend, in_front_of


def test_a_clock_that_the_store_refuses_in_spite_of_all(rig: Rig, examine: Examine) -> None:
    rig.store.faults = Script([KINDS["403 RequestTimeTooSkewed"]()])
    report = examine()
    report.found("clock", "fail", "RequestTimeTooSkewed", "timedatectl set-ntp true")
    report.skipped("put", "clock")


def without_right(monkeypatch: pytest.MonkeyPatch, right: str) -> None:
    """The sessions' own policy does not have it: the store judges, no fault is scripted."""
    monkeypatch.setattr(issue, "UPLOAD_ACTIONS", tuple(set(issue.UPLOAD_ACTIONS) - {right}))


def test_no_right_to_abort(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:AbortMultipartUpload")
    report = examine()
    report.found(
        "abort upload", "fail", "may be left open", "s3:AbortMultipartUpload", "syncd orphans --abort"
    )
    [upload] = rig.store.uploads()
    assert upload.upload_id in report.of("abort upload")["text"]
    assert report.failed() == ["abort upload"]


def test_no_right_to_list_parts(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:ListMultipartUploadParts")
    report = examine()
    report.found("list parts", "fail", "AccessDenied", "s3:ListMultipartUploadParts")
    assert report.failed() == ["list parts"]


def test_no_right_to_read(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:GetObject")
    report = examine()
    report.found("proof", "fail", "does not show", "allow s3:GetObject on s3://captures/cam/*")
    assert report.failed() == ["proof"]


@pytest.mark.parametrize(
    ("operation", "check", "dependent"),
    [
        ("CreateMultipartUpload", "create upload", "upload part"),
        ("UploadPart", "upload part", "complete"),
        ("CompleteMultipartUpload", "complete", None),
    ],
)
def test_no_multipart_permission(
    rig: Rig, examine: Examine, operation: str, check: str, dependent: str | None
) -> None:
    rig.store.faults = Script([Rule(fault=Fault(status=403, code="AccessDenied"), operation=operation)])
    report = examine()
    report.found(check, "fail", "AccessDenied", "s3:PutObject", "session policy")
    assert report.failed() == [check]
    if dependent is not None:
        report.skipped(dependent, check)
    assert rig.store.uploads() == []


def test_a_prefix_that_the_session_does_not_have(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"prefix": "other/"})
    report = examine()
    report.found("prefix", "fail", "AccessDenied", "set destination.prefix to cam/")
    report.skipped("put", "prefix")
    assert rig.store.objects() == {}


def test_no_right_to_write_at_all(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    without_right(monkeypatch, "s3:PutObject")
    examine().found("prefix", "fail", "AccessDenied", "s3:PutObject", "the role's policy")


def test_another_region(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"region": "eu-west-1"})
    report = examine()
    report.found("region", "fail", "us-east-1", "set destination.region to us-east-1")
    report.skipped("bucket", "region")


def test_a_bucket_that_is_not_there(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"bucket": "no-such-bucket"})
    report = examine()
    report.found("bucket", "fail", "no-such-bucket", "destination.bucket")
    report.skipped("put", "bucket")


def test_no_bucket_at_all(rig: Rig, examine: Examine) -> None:
    keys = {"AccessKeyId": "ASIATEST", "SecretAccessKey": "s" * 20, "SessionToken": "t" * 20}
    body = json.dumps({"Credentials": keys | {"Expiration": "2099-01-01T00:00:00Z"}}).encode()
    rig.endpoint.faults = Script([Rule(fault=Fault(status=200, body=body))])
    examine().found("credentials", "fail", "names a bucket", "set destination.bucket")


def test_keys_of_another_store(rig: Rig, examine: Examine) -> None:
    rig.store.faults = Script([KINDS["403 InvalidAccessKeyId"]()])
    examine().found("put", "fail", "InvalidAccessKeyId", "destination.endpoint_url")


def test_something_in_the_stores_place(rig: Rig, examine: Examine) -> None:
    rig.store.faults = Script([KINDS["301 to a portal"](operation="PutObject")])
    report = examine()
    report.found("put", "fail", "301", "captive portal", "endpoint_url")
    assert report.of("create upload")["verdict"] == "skipped"


def test_a_store_that_nobody_knows(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"endpoint_url": "https://store.invalid"})
    report = examine()
    report.found("store DNS", "fail", "store.invalid has no address", "destination.endpoint_url")
    report.skipped("store TLS", "store DNS")
    report.skipped("put", "store DNS")


@pytest.mark.parametrize(
    ("believed", "verdict", "text", "remedy"),
    [
        (False, "fail", "is not trusted", "destination.ca_file"),
        (True, "warn", "by localhost ends in", "destination.endpoint_url"),
    ],
)
def test_the_certificate_of_the_store(
    rig: Rig, examine: Examine, believed: bool, verdict: str, text: str, remedy: str
) -> None:
    pem = self_signed(rig.place / "front.pem", "localhost")
    with in_front_of(pem, rig.store.port) as front:
        own = {"ca_file": str(pem)} if believed else {}
        amend(rig, destination={"endpoint_url": f"https://localhost:{front.port}", **own})
        report = examine()
    report.found("store TLS", verdict, text, remedy)
    assert report.of("put")["verdict"] == ("skipped" if verdict == "fail" else "ok")


def test_a_proxy_that_refuses(rig: Rig, examine: Examine) -> None:
    with running() as proxy:
        proxy.refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
        amend(
            rig,
            destination={
                "endpoint_url": "https://s3.invalid",
                "proxy": f"http://someone:canary@127.0.0.1:{proxy.port}",
            },
        )
        report = examine()
    report.found("proxy", "fail", "407 Proxy Authentication Required", "destination.proxy", "s3.invalid:443")
    report.skipped("store TLS", "proxy")
    report.skipped("put", "proxy")
    assert "canary" not in "".join(rig.said)


def test_a_proxy_that_is_not_there(rig: Rig, examine: Examine) -> None:
    amend(rig, destination={"proxy": "http://127.0.0.1:1"})
    examine().found("proxy", "fail", "127.0.0.1:1 cannot be reached", "destination.proxy")


def test_through_a_proxy_everything_is_asked(rig: Rig, examine: Examine) -> None:
    pem = self_signed(rig.place / "front.pem", "s3.invalid")
    with in_front_of(pem, rig.store.port) as front, running() as proxy:
        proxy.ways["s3.invalid"] = ("127.0.0.1", front.port)
        amend(
            rig,
            destination={
                "endpoint_url": "https://s3.invalid",
                "proxy": f"http://127.0.0.1:{proxy.port}",
                "ca_file": str(pem),
            },
        )
        report = examine()
    assert report.of("proxy")["verdict"] == "ok"
    assert report.of("store DNS")["text"] == "s3.invalid is looked up by the proxy"
    report.found("store TLS", "warn", "ends in")
    assert report.of("abort upload")["verdict"] == "ok"


def test_a_store_that_ignores_conditions(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_conditions = True
    report = examine()
    report.found("condition", "warn", "in spite of If-None-Match", "destination.prefix", "{mtime:")
    assert report.code == 0


def test_a_store_that_ignores_checksums(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_checksums = True
    report = examine()
    report.found("checksum", "warn", "MD5 proves", "set destination.checksum: md5")
    assert report.of("complete")["text"] == "what is stored is what was sent, by md5"


def test_a_store_that_ignores_the_checksum_that_was_asked_for_by_name(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_checksums = True
    amend(rig, destination={"checksum": "sha256"})
    report = examine()
    report.found("checksum", "fail", "does not honour sha256", "destination.checksum to auto")
    report.skipped("proof", "checksum")


def test_a_store_that_ignores_encryption(rig: Rig, examine: Examine) -> None:
    rig.store.habits.ignores_encryption = True
    amend(rig, destination={"server_side_encryption": "AES256"})
    examine().found("put", "fail", "encrypts", "destination.server_side_encryption")


@pytest.mark.parametrize(
    ("days", "text", "remedy"),
    [
        (None, "no lifecycle rule", "AbortIncompleteMultipartUpload"),
        (1, "ends open uploads after", "DaysAfterInitiation"),
    ],
)
def test_the_rule_for_uploads_that_are_left_open(
    rig: Rig, examine: Examine, days: int | None, text: str, remedy: str
) -> None:
    rig.store.habits.sweeps_after_days = days
    examine().found("stale uploads", "warn", text, remedy)


def test_who_stops_to_listen_in_the_middle_leaves_no_upload_open(rig: Rig) -> None:
    with subprocess.Popen(rig.command("doctor"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        while not child.stdout.readline().startswith(b"ok    create upload"):
            assert child.poll() is None
        child.stdout.close()
    assert rig.store.uploads() == []
