"""What may be wrong on the way to the credential API and with what it answers is found there, and the remedy named."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pki import self_signed
from support.rig import Rig
from support.script import API_KINDS, Script

from syncd import checkup

from .conftest import Examine, amend, in_front_of, port_of, read


def test_a_wrong_token(rig: Rig, examine: Examine) -> None:
    (rig.place / "token").write_text("wrong")
    report = examine()
    report.found("api answer", "fail", "401", "credentials.api.token_file", "device cam")
    report.skipped("credentials", "api answer")
    report.skipped("put", "credentials")
    assert report.of("store TLS")["verdict"] == "ok"  # as far as it goes without them


def test_a_token_that_others_can_read(rig: Rig, examine: Examine) -> None:
    (rig.place / "token").chmod(0o644)
    report = examine()
    report.found("configuration", "fail", "others can read it", f"chmod o=,g-w {rig.place}/token")
    report.skipped("api answer", "configuration")
    assert rig.endpoint.calls == 0


def at_api(rig: Rig, url: str, **more: Any) -> None:
    amend(rig, credentials={"api": {"url": url, "token_file": f"{rig.place}/token", **more}})


def test_an_api_whose_name_nobody_knows(rig: Rig, examine: Examine) -> None:
    at_api(rig, "https://uploads.invalid/v1/credentials")
    report = examine()
    report.found("api DNS", "fail", "uploads.invalid has no address", "credentials.api.url", "resolvectl")
    report.skipped("api TLS", "api DNS")
    report.skipped("api answer", "api DNS")


def test_an_api_where_nothing_listens(rig: Rig, examine: Examine) -> None:
    at_api(rig, "http://127.0.0.1:1/v1/credentials")
    report = examine()
    report.found(
        "api TLS", "fail", "127.0.0.1:1 cannot be reached: Connection refused", "credentials.api.url"
    )


def answers(rig: Rig, kind: str) -> None:
    rig.endpoint.faults = Script([API_KINDS[kind]()])


@pytest.mark.parametrize(
    ("kind", "text", "remedy"),
    [
        ("API HTML 200", "web page", "captive portal"),
        ("API 302", "302", "credentials.api.url"),
        ("API garbage", "makes no sense", "credentials.api.url"),
        ("API 403", "turned away", "have device cam enabled"),
        ("API 429 with Retry-After", "too often", "wait 2 s"),
        ("API 500", "in trouble", "the log of the API"),
        ("API closed", "no whole answer", "credentials.api.url"),
        ("API set that has expired", "expired", "credentials.api.url"),
    ],
)
def test_an_api_that_gives_none(rig: Rig, examine: Examine, kind: str, text: str, remedy: str) -> None:
    answers(rig, kind)
    report = examine()
    report.found("api answer", "fail", text, remedy)
    assert report.failed() == ["api answer"]


def test_an_api_that_is_none(rig: Rig, examine: Examine) -> None:
    at_api(rig, rig.endpoint.url + "/elsewhere")
    examine().found("api answer", "fail", "404", "credentials.api.url")


@pytest.mark.parametrize(
    ("host", "days", "believed", "verdict", "text", "remedy"),
    [
        ("localhost", (-1, 40), False, "fail", "is not trusted", "credentials.api.ca_file"),
        ("localhost", (-9, -1), True, "fail", "out of date", "timedatectl set-ntp true"),
        ("other.example", (-1, 40), True, "fail", "is another's", "credentials.api.url"),
        ("localhost", (-1, 5), True, "warn", "by localhost ends in", "renewed"),
        ("localhost", (-1, 40), True, "ok", "proves its name by localhost", ""),
    ],
)
def test_the_certificate_of_the_api(
    rig: Rig,
    examine: Examine,
    host: str,
    days: tuple[int, int],
    believed: bool,
    verdict: str,
    text: str,
    remedy: str,
) -> None:
    pem = self_signed(rig.place / "front.pem", host, days=days)
    with in_front_of(pem, port_of(rig.endpoint.url)) as front:
        own = {"ca_file": str(pem)} if believed else {}
        at_api(rig, f"https://localhost:{front.port}/v1/credentials", **own)
        report = examine()
    report.found("api TLS", verdict, text, remedy)
    if verdict == "fail":
        report.skipped("api answer", "api TLS")
        assert rig.endpoint.calls == 0
    else:
        assert report.of("abort upload")["verdict"] == "ok"


def test_an_api_without_tls_where_https_is_said(rig: Rig, examine: Examine) -> None:
    at_api(rig, rig.endpoint.url.replace("http://127.0.0.1", "https://localhost"))
    examine().found("api TLS", "fail", "TLS with localhost fails", "openssl s_client")


def test_credentials_that_hardly_live(tmp_path: Path) -> None:
    with Rig(tmp_path, session_seconds=60) as rig:
        told = rig.run("doctor", "--json")
        read(told.returncode, told.stdout).found("credentials", "warn", "they end in", "DurationSeconds")


def test_no_credentials_by_the_chain(rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(rig.place / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(rig.place / "none"))
    document = yaml.safe_load(rig.config.read_text())
    document["credentials"] = {"chain": {"profile": "cameras"}}
    document["destination"]["bucket"] = "captures"
    rig.config.write_text(json.dumps(document))
    report = examine()
    report.found("credentials", "fail", "chain has none", "credentials.chain.profile")
    assert report.of("api answer")["text"] == "credentials.chain is configured, no API"


def test_an_api_that_says_nothing_is_waited_for_as_long_as_is_configured(rig: Rig, examine: Examine) -> None:
    answers(rig, "API black hole")
    at_api(rig, rig.endpoint.url, timeout="500ms")
    examine().found("api answer", "fail", "did not answer in 0.5 s", "credentials.api.timeout")


def test_nobody_is_waited_for_longer_than_the_doctors_own_patience(
    rig: Rig, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkup.PATIENCE.total_seconds() == 10
    monkeypatch.setattr(checkup, "PATIENCE", timedelta(seconds=0.5))
    rig.endpoint.faults = Script([API_KINDS["API black hole"]()])
    at_api(rig, rig.endpoint.url, timeout="5m")
    examine().found("api answer", "fail", "did not answer in 0.5 s", "credentials.api.timeout")
