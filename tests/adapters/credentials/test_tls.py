"""TLS is always verified: an unknown CA, another name, an expired certificate and no TLS at all are refused."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncd.adapters.credentials.api import CredentialApi
from syncd.errors import LockedOut, Transient

NOW = datetime.now(UTC)


class Authority:
    """A CA of our own that signs what a test wants."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        ca = self._certificate(
            self._name, self._key.public_key(), "", NOW - timedelta(days=1), NOW + timedelta(days=1)
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str, begin: datetime, end: datetime) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        leaf = self._certificate(subject, key.public_key(), host, begin, end)
        chain = self._folder / "leaf.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, host: str, begin: datetime, end: datetime
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def fetch(token_file: Path, kit: Any) -> Callable[[str, Path | None], Any]:
    return lambda url, ca_file: CredentialApi(
        url=url, device="cam-07", token_file=token_file, ca_file=ca_file, timeout=5, clock=kit.RealClock()
    ).fetch()


def test_a_certificate_of_the_ca_file_is_believed(
    authority: Authority, serving: Any, fetch: Any, kit: Any
) -> None:
    tls = authority.context("localhost", NOW - timedelta(days=1), NOW + timedelta(days=1))
    with serving(tls) as server:
        server.answer(kit.http(body=kit.good()))
        assert fetch(server.url, authority.file).credentials.secret_key == kit.secret


@pytest.mark.parametrize(
    ("host", "days", "known", "complaint", "hint"),
    [
        ("localhost", (-1, 1), False, "localhost:", "ca_file"),
        ("other.example", (-1, 1), True, "Hostname mismatch", "valid for that name"),
        ("localhost", (-3, -2), True, "expired", "this machine's clock"),
        ("localhost", (2, 3), True, "not yet valid", "this machine's clock"),
    ],
)
def test_any_other_certificate_locks_out_and_gets_no_token(
    authority: Authority,
    serving: Any,
    fetch: Any,
    host: str,
    days: tuple[int, int],
    known: bool,
    complaint: str,
    hint: str,
) -> None:
    tls = authority.context(host, *(NOW + timedelta(days=day) for day in days))
    with serving(tls) as server:
        with pytest.raises(LockedOut, match=complaint) as caught:
            fetch(server.url, authority.file if known else None)
        assert server.requests == []
        assert f"localhost:{server.port}" in str(caught.value)
    assert caught.value.code == "tls"
    assert hint in (caught.value.hint or "")


def test_a_server_without_tls_is_said_to_be_one(server: Any, fetch: Any) -> None:
    server.answer(b"")
    server.greet(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(LockedOut, match=f"TLS with localhost:{server.port}") as caught:
        fetch(server.url.replace("http:", "https:"), None)
    assert caught.value.code == "tls"


def test_a_line_cut_in_the_handshake_means_wait(server: Any, fetch: Any) -> None:
    server.greet(b"")
    with pytest.raises(Transient) as caught:
        fetch(server.url.replace("http:", "https:"), None)
    assert caught.value.unreachable


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_is_none_locks_out(tmp_path: Path, fetch: Any, content: bytes | None) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LockedOut, match=r"bad\.pem") as caught:
        fetch("https://localhost:1/", path)
    assert caught.value.code == "tls"


def test_a_server_that_speaks_nothing_newer_than_tls_1_1_gets_no_token(
    authority: Authority, serving: Any, fetch: Any
) -> None:
    tls = authority.context("localhost", NOW - timedelta(days=1), NOW + timedelta(days=1))
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with serving(tls) as server:
        with pytest.raises(LockedOut, match="TLS with localhost"):
            fetch(server.url, authority.file)
        assert server.requests == []
