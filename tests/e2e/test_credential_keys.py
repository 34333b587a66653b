"""Every key of `credentials`, from the YAML file to the API that is asked and the store that judges."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import proxy as fronts
from support.endpoint import json_answer
from support.pki import self_signed
from support.whole import LARGE, Servers, Whole

from syncd.app import fetch_credentials
from syncd.config import load
from syncd.demo.loopback import Answer, Request

Daemon = Callable[..., Whole]


@pytest.fixture
def daemon(servers: Servers, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon with these sections in its configuration."""
    running: list[Whole] = []

    def start(**sections: Any) -> Whole:
        running.append(Whole(servers, tmp_path / str(len(running)), **sections))
        return running[-1]

    yield start
    servers.endpoint.override = None
    for one in running:
        one.__exit__()


def test_the_configured_certificate_shows_the_api_who_we_are(
    daemon: Daemon, servers: Servers, tmp_path: Path
) -> None:
    theirs, ours = (self_signed(tmp_path / f"{host}.pem", host) for host in ("localhost", "cam-07"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(theirs)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # says no within the handshake, where it is always heard
    tls.load_verify_locations(ours)
    path = servers.endpoint.url.partition("://")[2].partition("/")[2]
    port = int(servers.endpoint.url.rpartition(":")[2].partition("/")[0])
    with fronts.running(tls, leads_to=port) as front:
        api = {
            "url": f"https://localhost:{front.port}/{path}",
            "token_file": str(servers.token_file),
            "ca_file": str(theirs),
        }
        device = daemon(credentials={"api": api})
        device.drop("film")
        device.run(lambda: device.closed() == "credentials" and "client_cert" in device.hint())
        mutual = {"client_cert": str(ours), "client_key": str(ours)}
        device.write(credentials={"api": api | mutual})
        assert device.reload()
        device.run(lambda: device.done("film"))


def test_the_flat_container_form_of_an_answer_will_do(daemon: Daemon, servers: Servers) -> None:
    def flat(request: Request) -> Answer:
        document = json.loads(servers.endpoint.credentials(request).body)["Credentials"]
        document["Token"] = document.pop("SessionToken")
        return json_answer(200, document)

    servers.endpoint.override = flat
    device = daemon(destination={"bucket": servers.store.bucket})
    assert device.sends("film").size == 5
    used = {request.access_key for request in device.requests()}
    assert used == {device.app.keeper.current().access_key}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any AWS settings but those that a test makes."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    return tmp_path / "aws-config"


def helper(servers: Servers, config: Path) -> Path:
    """A profile `lab` whose helper program hands out the store's own key for an hour; where it notes its calls."""
    store, calls = servers.store, config.with_name("calls")
    program = config.with_name("helper.py")
    program.write_text(f"""
import json, time
open({str(calls)!r}, "a").write("x")
end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
keys = {{"AccessKeyId": {store.access_key!r}, "SecretAccessKey": {store.secret_key!r}}}
print(json.dumps({{"Version": 1, "Expiration": end, **keys}}))
""")
    config.write_text(f"[profile lab]\ncredential_process = {sys.executable} {program}\n")
    return calls


def test_the_chain_signs_and_is_walked_once_for_many_requests(
    daemon: Daemon, servers: Servers, aws: Path
) -> None:
    bucket = {"bucket": servers.store.bucket}
    device = daemon(credentials={"chain": {}}, destination=bucket)
    device.drop("small")
    device.drop("large", LARGE)
    device.run(lambda: "gives nothing" in (device.app.keeper.snapshot().failure or ""))
    device.run(lambda: device.closed() == "credentials" and "credentials.api" in device.hint())
    assert device.status()["credentials"]["source"] == "chain"
    assert not device.requests()
    calls = helper(servers, aws)
    device.write(credentials={"chain": {"profile": "lab"}}, destination=bucket)
    assert device.reload()
    device.run(lambda: device.done("small") and device.done("large"))
    assert calls.read_text() == "x"
    assert {request.access_key for request in device.requests()} == {servers.store.access_key}
    assert device.status()["credentials"]["source"] == "chain (profile lab)"
    assert device.status()["credentials"]["state"] == "ok"
    assert servers.store.secret_key in device.app.household.secrets()


def test_the_verb_creds_asks_the_chain_that_is_configured(
    servers: Servers, aws: Path, daemon: Daemon
) -> None:
    helper(servers, aws)
    chain = {"credentials": {"chain": {"profile": "lab"}}, "destination": {"bucket": servers.store.bucket}}
    device = daemon(**chain)
    found = fetch_credentials(load(device.config))
    assert (found.access_key, found.bucket) == (servers.store.access_key, None)


def test_an_api_that_answers_later_than_the_configured_timeout_counts_as_silent(
    daemon: Daemon, servers: Servers
) -> None:
    def silent(_request: Request) -> Answer:
        time.sleep(0.4)  # the other side is slow: there is nothing to wait for
        return json_answer(503, {})

    servers.endpoint.override = silent
    api = {"url": servers.endpoint.url, "token_file": str(servers.token_file)}
    device = daemon(credentials={"api": api | {"timeout": "200ms"}})
    device.run(lambda: "did not answer in 0.2 s" in (device.app.keeper.snapshot().failure or ""))


def test_new_credentials_are_fetched_as_long_before_the_end_as_is_configured(
    daemon: Daemon, servers: Servers
) -> None:
    api = {"url": servers.endpoint.url, "token_file": str(servers.token_file)}
    device = daemon(credentials={"api": api | {"renew_before": "1m"}})
    device.run(lambda: device.app.keeper.snapshot().renewals == 1)
    left = device.app.keeper._try_at - device.app.clock.boottime()
    assert 900 - 1.1 * 60 - 10 < left < 900 - 60  # without the key it would be a third of the 900 s
