"""Mutual TLS: our certificate is shown, read anew each time; what is wrong with it is said, and no token goes out."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncd.adapters.credentials.api import CredentialApi
from syncd.adapters.credentials.identity import Identity
from syncd.errors import LockedOut

from .test_tls import NOW, Authority

Fetch = Callable[[Any, Identity | None], Any]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def fetch(authority: Authority, token_file: Path, kit: Any) -> Fetch:
    def _fetch(server: Any, identity: Identity | None) -> Any:
        return CredentialApi(
            url=server.url,
            device="cam-07",
            token_file=token_file,
            ca_file=authority.file,
            identity=identity,
            timeout=5,
            clock=kit.RealClock(),
        ).fetch()

    return _fetch


def demanding(authority: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    """A server that wants to see a certificate of the authority. By TLS 1.2 it says so within the handshake."""
    context = authority.context("localhost", NOW - timedelta(days=1), NOW + timedelta(days=1))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    context.maximum_version = version
    return context


def identity(
    authority: Authority, place: Path, *, days: tuple[int, int] = (-1, 1), password: bytes | None = None
) -> Identity:
    """A certificate of the authority and its key, in two files."""
    place.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cam-07")])
    begin, end = (NOW + timedelta(days=day) for day in days)
    leaf = authority._certificate(name, key.public_key(), "cam-07", begin, end)
    made = Identity(place / "client.pem", place / "client.key")
    made.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    made.key.write_bytes(private)
    made.key.chmod(0o640)
    return made


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_api_that_wants_a_certificate_gets_ours(
    authority: Authority, tmp_path: Path, serving: Any, fetch: Fetch, kit: Any, version: ssl.TLSVersion
) -> None:
    with serving(demanding(authority, version)) as server:
        server.answer(kit.http(body=kit.good()))
        assert fetch(server, identity(authority, tmp_path / "us")).credentials.secret_key == kit.secret


@pytest.mark.parametrize("shown", ["none", "of another CA", "expired"])
def test_an_api_that_does_not_take_it_locks_out_and_gets_no_token(
    authority: Authority, tmp_path: Path, serving: Any, fetch: Fetch, shown: str
) -> None:
    (tmp_path / "other").mkdir()
    ours = {
        "none": lambda: None,
        "of another CA": lambda: identity(Authority(tmp_path / "other"), tmp_path / "us"),
        "expired": lambda: identity(authority, tmp_path / "us", days=(-3, -2)),
    }[shown]()
    with serving(demanding(authority)) as server:
        with pytest.raises(LockedOut) as caught:
            fetch(server, ours)
        assert server.requests == []
    assert caught.value.code == "tls"
    assert "credentials.api.client_cert" in (caught.value.hint or "")


def test_both_files_may_be_replaced_under_a_running_daemon(
    authority: Authority, tmp_path: Path, serving: Any, token_file: Path, kit: Any
) -> None:
    ours = identity(authority, tmp_path / "us", days=(-3, -2))
    with serving(demanding(authority)) as server:
        server.answer(kit.http(body=kit.good()))
        api = CredentialApi(
            url=server.url,
            device="cam-07",
            token_file=token_file,
            ca_file=authority.file,
            identity=ours,
            clock=kit.RealClock(),
        )
        with pytest.raises(LockedOut):
            api.fetch()
        identity(authority, tmp_path / "us")
        assert api.fetch().credentials.secret_key == kit.secret


def break_mode(ours: Identity) -> None:
    ours.key.chmod(0o644)


def break_key(ours: Identity) -> None:
    ours.key.unlink()


def break_certificate(ours: Identity) -> None:
    ours.certificate.write_text("no certificate")


def swap_key(ours: Identity) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ours.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))


@pytest.mark.parametrize(
    ("harm", "told", "hint"),
    [
        (break_mode, r"client_key .*client\.key: can be read by others .*0644", "chmod 640"),
        (break_key, r"client_key .*client\.key: No such file", "able to read it"),
        (break_certificate, r"client_cert .*client\.pem and .* cannot be used", "PEM"),
        (swap_key, r"cannot be used: key values mismatch", "that of the certificate"),
    ],
)
def test_files_that_are_no_good_lock_out_by_name_before_anybody_is_called(
    authority: Authority,
    tmp_path: Path,
    serving: Any,
    fetch: Fetch,
    harm: Callable[[Identity], None],
    told: str,
    hint: str,
) -> None:
    ours = identity(authority, tmp_path / "us")
    harm(ours)
    with serving(demanding(authority)) as server:
        with pytest.raises(LockedOut, match=told) as caught:
            fetch(server, ours)
        assert server.requests == []
    assert caught.value.code == "tls"
    assert hint in (caught.value.hint or "")


def test_a_key_with_a_password_is_refused_and_asks_nobody(
    authority: Authority, tmp_path: Path, serving: Any, fetch: Fetch
) -> None:
    ours = identity(authority, tmp_path / "us", password=b"hunter2")
    with serving(demanding(authority)) as server, pytest.raises(LockedOut, match="the key is encrypted"):
        fetch(server, ours)
