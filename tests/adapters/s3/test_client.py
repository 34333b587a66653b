from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clock import FakeClock

from syncd.adapters.s3 import open_store
from syncd.adapters.s3.client import Clients, Settings, bare_session, system_store
from syncd.adapters.s3.store import S3Store
from syncd.errors import LockedOut
from syncd.model import Algorithm, Condition, Stored

from .conftest import BytesBody, FakeCredentials, Reply, ScriptedServer, credential_set, target

OK = Reply(200, headers={"ETag": '"e"'})
PLAIN = target(Algorithm.NONE)


def put(store: S3Store) -> Stored:
    return store.put(PLAIN, BytesBody(b"x", Algorithm.NONE), Condition())


def test_every_request_is_signed_with_the_newest_set(
    server: ScriptedServer, store: S3Store, credentials: FakeCredentials
) -> None:
    server.script(OK)
    put(store)
    credentials.sets[0] = credential_set("TWO")
    put(store)
    for seen, name in zip(server.seen, ["ONE", "TWO"], strict=True):
        assert f"Credential=AKIA{name}/" in seen.headers["authorization"]
        assert seen.headers["x-amz-security-token"] == f"canary-token-{name}"


def test_no_credentials_come_out_as_that_very_refusal_and_nothing_is_sent(
    server: ScriptedServer, store: S3Store, credentials: FakeCredentials
) -> None:
    server.script(OK)
    put(store)
    credentials.missing = LockedOut("none yet", code="credentials")
    with pytest.raises(LockedOut) as caught:
        put(store)
    assert caught.value is credentials.missing
    assert len(server.seen) == 1


def test_credentials_that_run_out_while_signing_come_out_as_that_refusal(
    server: ScriptedServer, make_store: Callable[..., S3Store], credentials: FakeCredentials
) -> None:
    store = make_store(region="us-east-1")  # then only the signer asks for them
    server.script(OK)
    put(store)
    credentials.missing = LockedOut("none yet", code="credentials")
    with pytest.raises(LockedOut) as caught:
        put(store)
    assert caught.value is credentials.missing


def test_the_surroundings_bend_nothing(
    server: ScriptedServer,
    make_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "config").write_text(
        "[default]\nregion = evil-1\nendpoint_url = http://127.0.0.1:9/\nca_bundle = /nix\n"
    )
    (aws / "credentials").write_text("[default]\naws_access_key_id = EVIL\naws_secret_access_key = EVIL\n")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "EVIL",
        "AWS_SECRET_ACCESS_KEY": "EVIL",
        "AWS_PROFILE": "does-not-exist",
        "AWS_REGION": "evil-1",
        "AWS_DEFAULT_REGION": "evil-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9/",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9/",
        "AWS_CA_BUNDLE": "/nix",
        "REQUESTS_CA_BUNDLE": "/nix",
        "AWS_DATA_PATH": "/nix",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "http_proxy": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    server.script(OK)
    put(make_store())
    sent = server.seen[0].headers
    assert "Credential=AKIAONE/" in sent["authorization"]
    assert "/us-east-1/s3/aws4_request" in sent["authorization"]
    assert not [name for name in sent if "checksum" in name]


def test_without_an_endpoint_it_is_the_regions_own_at_aws_over_verified_tls(
    credentials: FakeCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nix")
    endpoint = Clients(Settings(region="us-east-1"), credentials).current()._endpoint
    assert endpoint.host == "https://s3.us-east-1.amazonaws.com"
    assert endpoint.http_session._verify == system_store()
    assert system_store() is True or Path(str(system_store())).is_file()


def test_the_bare_session_knows_no_files_of_the_user(credentials: FakeCredentials) -> None:
    session = bare_session(credentials)
    assert session.get_config_variable("config_file") is None
    assert session.get_config_variable("credentials_file") is None
    assert session.full_config["profiles"] == {}


def test_the_region_is_the_configured_one_else_the_credentials_else_us_east_1(
    credentials: FakeCredentials,
) -> None:
    assert Clients(Settings(region="eu-west-1"), credentials).region() == "eu-west-1"
    assert Clients(Settings(), credentials).region() == "us-east-1"
    elsewhere = Clients(Settings(), FakeCredentials([credential_set(region="eu-north-1")]))
    assert elsewhere.current().meta.region_name == "eu-north-1"


def test_one_client_serves_all_threads(credentials: FakeCredentials) -> None:
    clients = Clients(Settings(endpoint_url="http://127.0.0.1:9"), credentials)
    found = []
    threads = [threading.Thread(target=lambda: found.append(clients.current())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1


def test_bodies_are_signed_over_plain_http_to_another_machine_only() -> None:
    from syncd.adapters.s3.client import _must_sign_bodies as must_sign

    def _must_sign_bodies(endpoint_url: str | None, proxy: str | None = None) -> bool:
        return must_sign(Settings(endpoint_url=endpoint_url, proxy=proxy))

    assert not _must_sign_bodies(None)
    assert not _must_sign_bodies("https://store.example")
    assert not _must_sign_bodies("https://store.example", "http://proxy.example")
    for loopback in ("http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:9000"):
        assert not _must_sign_bodies(loopback)
        assert _must_sign_bodies(loopback, "http://proxy.example")
    for far in ("http://store.example", "http://192.0.2.7:9000"):
        assert _must_sign_bodies(far)


def test_a_signed_body_is_read_twice_in_mebibytes_and_its_hash_is_right(
    server: ScriptedServer, make_store: Callable[..., S3Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncd.adapters.s3.client._must_sign_bodies", lambda _: True)
    server.script(OK)
    data = bytes(range(256)) * 4096 * 2
    body = BytesBody(data, Algorithm.NONE)
    make_store().put(PLAIN, body, Condition())
    assert server.seen[0].headers["x-amz-content-sha256"] == hashlib.sha256(data).hexdigest()
    assert [size for _, size in body.asked] == [1 << 20] * 4


def test_an_unsigned_body_is_said_to_be(server: ScriptedServer, store: S3Store) -> None:
    server.script(OK)
    put(store)
    assert server.seen[0].headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_locks_the_destination(
    credentials: FakeCredentials, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LockedOut) as caught:
        Clients(Settings(ca_file=str(path)), credentials).current()
    assert caught.value.code == "tls"
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("settings", [{"endpoint_url": "not a url"}, {"region": "no such region!"}])
def test_settings_that_make_no_client_lock_the_destination(
    credentials: FakeCredentials, settings: dict[str, Any]
) -> None:
    with pytest.raises(LockedOut) as caught:
        Clients(Settings(**settings), credentials).current()
    assert "destination." in (caught.value.hint or "")


def test_open_store_gives_a_store_with_retries_and_its_sums(
    server: ScriptedServer, credentials: FakeCredentials, clock: FakeClock
) -> None:
    store, sums = open_store(
        credentials=credentials,
        clock=clock,
        stop=threading.Event(),
        region=None,
        endpoint_url=server.url,
        addressing_style="path",
        ca_file=None,
        connect_timeout=5,
        read_timeout=5,
        connections=3,
    )
    server.script(Reply(503), OK)
    body = BytesBody(b"x", Algorithm.NONE)
    assert store.upload_part(PLAIN, "U", 1, body).etag == '"e"'
    assert len(server.seen) == 2
    assert base64.b64decode(sums.new(Algorithm.MD5).value()) == hashlib.md5().digest()
    store.close()


def test_no_secret_is_in_a_message_a_repr_or_a_hint(
    server: ScriptedServer, store: S3Store, credentials: FakeCredentials
) -> None:
    server.script(Reply(403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>"))
    with pytest.raises(LockedOut) as caught:
        put(store)
    told = f"{caught.value!r} {caught.value} {caught.value.hint} {credentials.sets[0]!r} {store!r}"
    assert "canary" not in told


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"endpoint_url": "http://127.0.0.1:9"}, "http://127.0.0.1:9/captures/cam/a%20b"),
        (
            {"endpoint_url": "https://s3.lab:444", "addressing_style": "virtual"},
            "https://captures.s3.lab:444/cam/a%20b",
        ),
        (
            {"endpoint_url": None, "region": "eu-west-3"},
            "https://captures.s3.eu-west-3.amazonaws.com/cam/a%20b",
        ),
    ],
)
def test_the_address_of_an_object_is_told_without_a_request(
    server: ScriptedServer, make_store: Callable[..., S3Store], settings: dict[str, Any], address: str
) -> None:
    assert make_store(**settings).address("captures", "cam/a b") == address
    assert server.seen == []
