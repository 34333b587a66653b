"""`serve` as a process: what clients of many kinds get from it, how it starts, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from support.pki import self_signed
from support.serving import Serving, read_answer

from syncd.adapters.clock import SystemClock
from syncd.adapters.credentials.api import CredentialApi
from syncd.credential_api.devices import Device, digest_of
from syncd.credential_api.dynamodb import write_item
from syncd.errors import LockedOut, SyncdError


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path, "--session", "20m") as serving:
        yield serving


def client(serving: Serving, *, device: str = "cam-07", **more: Any) -> CredentialApi:
    url = serving.url.replace("127.0.0.1", "localhost")
    return CredentialApi(url=url, device=device, token_file=serving.token_file(), clock=SystemClock(), **more)


def test_the_daemons_own_client_gets_credentials(serving: Serving) -> None:
    fetched = client(serving).fetch()
    assert fetched.credentials.prefix == "cam-07/"
    assert fetched.credentials.bucket == serving.store.bucket
    assert 1190 < fetched.lifetime <= 1200


def test_the_daemons_own_client_is_told_why_it_is_refused(serving: Serving) -> None:
    with pytest.raises(LockedOut, match="the token is not that of this device"):
        client(serving, device="cam-08").fetch()


UPLOAD = """
import boto3, sys
from botocore.config import Config
client = boto3.client("s3", endpoint_url=sys.argv[1], config=Config(s3={"addressing_style": "path"}))
client.upload_file(sys.argv[3], sys.argv[2], sys.argv[4])
"""


@pytest.mark.parametrize(("key", "allowed"), [("cam-07/a.bin", True), ("cam-08/a.bin", False)])
def test_an_unmodified_boto3_uploads_below_the_prefix_with_the_container_variables(
    serving: Serving, key: str, *, allowed: bool
) -> None:
    file = serving.place / "file"
    file.write_bytes(os.urandom(9 << 20))  # more than one part
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": serving.url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(serving.token_file()),
        "AWS_DEFAULT_REGION": serving.store.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    command = [sys.executable, "-c", UPLOAD, serving.store.url, serving.store.bucket, str(file), key]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == allowed, done.stderr
    if allowed:
        assert serving.store.read(key) == file.read_bytes()
    else:
        assert "AccessDenied" in done.stderr


def test_many_at_once_all_get_their_own(serving: Serving) -> None:
    with ThreadPoolExecutor(16) as pool:
        fetched = list(pool.map(lambda _: client(serving).fetch(), range(24)))
    assert len({each.credentials.access_key for each in fetched}) == 24


def test_a_device_that_is_added_or_switched_off_is_so_as_soon_as_the_file_is_a_second_old(
    serving: Serving,
) -> None:
    token = serving.add("cam-08")
    asking = f"GET /v1/credentials HTTP/1.0\r\nAuthorization: {token}\r\n\r\n".encode()
    assert serving.raw(asking)[0] == 200
    text = serving.registry.read_text().replace('"cam-08":', '"cam-08":\n    enabled: false')
    new = serving.registry.with_name("new")
    new.write_text(text)
    os.utime(new, (time.time() - 2, time.time() - 2))
    new.rename(serving.registry)
    assert serving.raw(asking)[0] == 403


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /v1/credentials HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/credentials HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v1/credentials HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n",
        b"GET /v1/credentials HTTP/1.1\r\nHost: a\r\nBig: ".ljust(16 << 10, b"x"),
        b"POST /v1/credentials HTTP/1.0\r\nAuthorization: Bearer tok-CANARY-of-cam-07\r\nContent-Length: 60000\r\n\r\n"
        + b"x" * 60_000,
    ],
)
def test_what_is_no_proper_request_is_refused_in_the_contracts_form(
    serving: Serving, request_bytes: bytes
) -> None:
    status, headers, body = serving.raw(request_bytes)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "bad_request"
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert "date" in headers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_even_while_somebody_stays_connected(serving: Serving, number: int) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
        line.sendall(b"GET /v1/credentials HTTP/1.1\r\nHost: a\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 401")
        assert serving.stop(number) == 0
    assert "Traceback" not in serving.log


def test_sighup_is_no_end(serving: Serving) -> None:
    assert serving._child is not None
    serving._child.send_signal(signal.SIGHUP)
    assert client(serving).fetch()
    assert serving._child.poll() is None


def test_the_log_is_json_without_a_secret(serving: Serving) -> None:
    client(serving).fetch()
    serving.raw(b"GET /v1/credentials HTTP/1.0\r\nAuthorization: tok-CANARY-wrong\r\n\r\n")
    assert serving.stop() == 0
    told = [(event["event"], event.get("device"), event.get("source")) for event in serving.events()]
    assert told == [("credentials_issued", "cam-07", "127.0.0.1"), ("refused", None, "127.0.0.1")]
    assert not [secret for secret in [*serving.secrets(), "CANARY"] if secret in serving.log]


# -- TLS


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Serving]:
    pem = self_signed(tmp_path / "localhost.pem", "localhost")
    with Serving(tmp_path, "--tls-cert", str(pem), "--tls-key", str(pem), scheme="https") as serving:
        yield serving


def context(serving: Serving) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(serving.place / "localhost.pem"))


def test_with_a_certificate_it_speaks_tls_and_knows_who_asks(secured: Serving) -> None:
    fetched = client(secured, ca_file=secured.place / "localhost.pem").fetch()
    assert fetched.credentials.prefix == "cam-07/"
    (event,) = secured.events()
    assert (event["event"], event["source"]) == ("credentials_issued", "127.0.0.1")


def test_with_a_certificate_nobody_is_answered_in_the_clear(secured: Serving) -> None:
    with socket.create_connection(("127.0.0.1", secured.port), timeout=20) as line:
        line.sendall(b"GET /v1/credentials HTTP/1.0\r\n\r\n")
        assert b"HTTP" not in line.recv(100)
    with pytest.raises(SyncdError):
        client(secured).fetch()


def test_silent_clients_hold_nobody_up(secured: Serving) -> None:
    """Neither before their handshake nor after it."""
    with ExitStack() as lines:
        for _ in range(40):
            lines.enter_context(socket.create_connection(("127.0.0.1", secured.port), timeout=20))
        for _ in range(40):
            plain = socket.create_connection(("127.0.0.1", secured.port), timeout=20)
            lines.enter_context(context(secured).wrap_socket(plain, server_hostname="localhost"))
        begun = time.monotonic()
        assert client(secured, ca_file=secured.place / "localhost.pem").fetch()
        assert time.monotonic() - begun < 8
        assert secured.stop() == 0
    assert [event["event"] for event in secured.events()] == ["credentials_issued"]


def test_requests_in_a_row_share_a_connection(secured: Serving) -> None:
    plain = socket.create_connection(("127.0.0.1", secured.port), timeout=20)
    with context(secured).wrap_socket(plain, server_hostname="localhost") as line:
        for last in (False, True):
            end = b"Connection: close\r\n" if last else b""
            request = b"GET /v1/credentials HTTP/1.1\r\nHost: a\r\n" + end + b"\r\n"
            line.sendall(request)
            status, headers, body = read_answer(line, request)
            assert status == 401
            assert len(body) == int(headers["content-length"])


# -- how it starts


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--listen", "0.0.0.0:0"], 2, "--tls-cert and --tls-key"),
        (["--listen", "[::]:0"], 2, "--tls-cert and --tls-key"),
        (["--listen", "nothing"], 2, "expected HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], 2, "expected HOST:PORT"),
        (["--table", "devices"], 2, "exactly one of"),
        (["--role-arn", "me"], 2, "expected an ARN"),
        (["--session", "2h"], 2, "expected 1 to 3600 s"),
        (["--tls-cert", "x"], 2, "belong together"),
        (["--path", "x"], 2, "--path"),
        (["--tls-cert", "/dev/null", "--tls-key", "/dev/null"], 78, "no certificate and key"),
        (["--registry", "/dev/null/x"], 78, "cannot be read"),
        (["--sts-endpoint-url", "nonsense"], 78, "nonsense"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(
    tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    serving = Serving(tmp_path)
    serving.add("cam-07")
    done = subprocess.run(
        serving.command(*options),
        env=serving.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "should not have happened" not in done.stderr
    assert done.stdout == ""


def test_against_aws_sessions_shorter_than_15_minutes_are_refused(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    serving.add("cam-07")
    command = [each for each in serving.command("--session", "5m") if "127.0.0.1" not in each]
    command.remove("--sts-endpoint-url")
    command.remove("--listen")
    done = subprocess.run(
        command, env=serving.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "expected 900 to 3600 s" in done.stderr


def test_a_port_that_is_taken_is_a_sentence(serving: Serving) -> None:
    command = serving.command("--listen", f"127.0.0.1:{serving.port}")
    done = subprocess.run(
        command, env=serving.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "cannot listen there" in done.stderr


def test_options_can_come_from_the_environment(serving: Serving) -> None:
    environ = {
        **serving.environ,
        "SYNCD_API_REGISTRY": str(serving.registry),
        "SYNCD_API_ROLE_ARN": "me",
        "SYNCD_API_REGION": "eu-central-1",
    }
    command = [sys.executable, "-m", "syncd", "credential-api", "serve"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "expected an ARN" in done.stderr


def test_devices_can_be_in_a_table(serving: Serving) -> None:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    there = f"http://{host}:{port}"
    client = boto3.client(
        "dynamodb", serving.store.region, endpoint_url=there, aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_table(
        TableName="devices",
        KeySchema=[{"AttributeName": "digest", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "digest", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    device = Device(name="cam-09", bucket=serving.store.bucket, prefix="cam-09/")
    client.put_item(TableName="devices", Item=write_item(device, digest_of("t-9")))
    serving.stop()
    command = serving.command("--table", "devices")
    at = command.index("--registry")
    child = subprocess.Popen(
        [*command[:at], *command[at + 2 :]],
        env={**serving.environ, "AWS_ENDPOINT_URL_DYNAMODB": there},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        serving.port = int(child.stdout.readline().split(":")[2].partition("/")[0])
        request = b"GET /v1/credentials HTTP/1.0\r\nAuthorization: t-9\r\n\r\n"
        assert serving.raw(request)[0] == 200
        moto.stop()
        status, headers, _ = serving.raw(request)
        assert (status, "retry-after" in headers) == (503, True)
        child.terminate()
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.communicate()
        client.close()
