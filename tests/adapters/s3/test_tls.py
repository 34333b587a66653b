"""TLS is always verified, by the CA file or by the built-in authorities, and never tried again without."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncd.adapters.s3 import client
from syncd.adapters.s3.store import S3Store
from syncd.errors import LockedOut, Transient

from .conftest import ScriptedServer
from .operations import BODY, OK_PUT, PLAIN, TARGET, raised

MakeStore = Callable[..., S3Store]


def certificate(path: Path, host: str, *, valid_in_days: float = 0) -> Path:
    """A self-signed certificate for the host, with its key, in one PEM file; valid for a day before and after."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "S3 of this test")])
    now = datetime.now(UTC) + timedelta(days=valid_in_days)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *private)
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server() -> Iterator[Callable[[Path], ScriptedServer]]:
    opened: list[ScriptedServer] = []

    def make(pem: Path) -> ScriptedServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        opened.append(ScriptedServer(context))
        opened[-1].script(OK_PUT)
        return opened[-1]

    yield make
    for server in opened:
        server.close()


def url(server: ScriptedServer) -> str:
    return f"https://localhost:{server.port}"


def test_the_ca_file_vouches_for_the_store(
    tls_server: Callable[[Path], ScriptedServer], make_store: MakeStore, tmp_path: Path
) -> None:
    pem = certificate(tmp_path / "ca.pem", "localhost")
    server = tls_server(pem)
    store = make_store(endpoint_url=url(server), ca_file=str(pem), addressing_style="path")
    assert store.put(TARGET, BODY, PLAIN).etag == '"e"'
    assert server.seen[0].headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert server.seen[0].body == b"hello"


def test_without_a_ca_file_the_machines_own_authorities_vouch_for_the_store(
    tls_server: Callable[[Path], ScriptedServer],
    make_store: MakeStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pem = certificate(tmp_path / "ca.pem", "localhost")
    monkeypatch.setattr(client, "SYSTEM_STORES", ("/nowhere", str(pem)))
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile="/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    store = make_store(endpoint_url=url(tls_server(pem)), addressing_style="path")
    assert store.put(TARGET, BODY, PLAIN).etag == '"e"'


@pytest.mark.parametrize(("host", "vouched"), [("localhost", False), ("elsewhere.example", True)])
def test_a_store_that_cannot_prove_its_name_locks_and_is_named(
    tls_server: Callable[[Path], ScriptedServer],
    make_store: MakeStore,
    tmp_path: Path,
    host: str,
    vouched: bool,
) -> None:
    pem = certificate(tmp_path / "ca.pem", host)
    server = tls_server(pem)
    ca_file = str(pem) if vouched else None
    fault = raised(make_store(endpoint_url=url(server), ca_file=ca_file, addressing_style="path"), "put")
    assert isinstance(fault, LockedOut)
    assert fault.code == "tls"
    assert f"localhost:{server.port}" in (fault.hint or "")
    assert server.seen == []


@pytest.mark.parametrize("days", [-700, 700])
def test_a_certificate_that_looks_out_of_date_makes_one_look_at_the_clock(
    tls_server: Callable[[Path], ScriptedServer], make_store: MakeStore, tmp_path: Path, days: float
) -> None:
    pem = certificate(tmp_path / "ca.pem", "localhost", valid_in_days=days)
    server = tls_server(pem)
    fault = raised(make_store(endpoint_url=url(server), ca_file=str(pem), addressing_style="path"), "put")
    assert isinstance(fault, LockedOut)
    assert fault.code == "tls"
    assert "this machine's clock" in (fault.hint or "")


def test_plain_http_where_tls_was_asked_for_locks(make_store: MakeStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        fault = raised(make_store(endpoint_url=address), "head")
        thread.join()
    assert fault.code == "tls"


def test_a_store_that_speaks_nothing_newer_than_tls_1_1_gets_nothing(
    make_store: MakeStore, tmp_path: Path
) -> None:
    pem = certificate(tmp_path / "ca.pem", "localhost")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(pem)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    server = ScriptedServer(old)
    try:
        fault = raised(make_store(endpoint_url=url(server), ca_file=str(pem)), "put")
    finally:
        server.close()
    assert isinstance(fault, LockedOut | Transient)
    assert server.seen == []
