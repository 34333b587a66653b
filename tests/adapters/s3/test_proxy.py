"""Through a proxy the store still proves by TLS who it is, and nobody but the configuration names the proxy."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.proxy import Proxy, running

from syncd.adapters.s3.store import S3Store
from syncd.errors import LockedOut, Transient

from .conftest import ScriptedServer
from .operations import BODY, OK_PUT, PLAIN, TARGET, raised
from .test_tls import certificate

MakeStore = Callable[..., S3Store]
STORE = "captures.s3.invalid"  # a name that no one resolves: only the proxy knows the way


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with running() as made:
        yield made


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Callable[[str], ScriptedServer]]:
    opened: list[ScriptedServer] = []

    def make(host: str) -> ScriptedServer:
        opened.append(ScriptedServer(context(certificate(tmp_path / "ca.pem", host))))
        opened[-1].script(OK_PUT)
        return opened[-1]

    yield make
    for server in opened:
        server.close()


def context(pem: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pem)
    return made


def test_the_proxy_is_asked_to_connect_and_sees_no_more_than_the_stores_name(
    proxy: Proxy, tls_server: Callable[[str], ScriptedServer], make_store: MakeStore, tmp_path: Path
) -> None:
    server = tls_server(STORE)
    proxy.ways[STORE] = ("127.0.0.1", server.port)
    store = make_store(
        endpoint_url="https://s3.invalid",
        ca_file=str(tmp_path / "ca.pem"),
        addressing_style="virtual",
        proxy=f"http://localhost:{proxy.port}",
    )
    assert store.put(TARGET, BODY, PLAIN).etag == '"e"'
    assert [line.rpartition(" ")[0] for line in proxy.asked] == [f"CONNECT {STORE}:443"]
    assert "authorization" not in proxy.headers
    assert server.seen[0].line == "PUT /cam/a.bin HTTP/1.1"
    assert server.seen[0].headers["host"] == STORE
    assert server.seen[0].body == b"hello"


def test_a_proxy_that_answers_in_the_stores_place_gets_nothing(
    proxy: Proxy, tls_server: Callable[[str], ScriptedServer], make_store: MakeStore, tmp_path: Path
) -> None:
    server = tls_server("proxy.example")
    proxy.ways["s3.invalid"] = ("127.0.0.1", server.port)
    fault = raised(
        make_store(
            endpoint_url="https://s3.invalid",
            ca_file=str(tmp_path / "ca.pem"),
            addressing_style="path",
            proxy=f"http://localhost:{proxy.port}",
        ),
        "put",
    )
    assert isinstance(fault, LockedOut)
    assert fault.code == "tls"
    assert "s3.invalid:443" in (fault.hint or "")
    assert server.seen == []


def test_a_proxy_over_tls_must_prove_who_it_is_too(make_store: MakeStore, tmp_path: Path) -> None:
    certificate(tmp_path / "ca.pem", "s3.invalid")
    with running(context(certificate(tmp_path / "proxy.pem", "localhost"))) as proxy:
        fault = raised(
            make_store(
                endpoint_url="https://s3.invalid",
                ca_file=str(tmp_path / "ca.pem"),
                addressing_style="path",
                proxy=f"https://localhost:{proxy.port}",
            ),
            "put",
        )
        assert proxy.asked == []
    assert isinstance(fault, LockedOut)
    assert fault.code == "tls"
    assert f"localhost:{proxy.port}" in (fault.hint or ""), fault.hint


@pytest.mark.parametrize("refusal", ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"])
def test_a_proxy_that_refuses_is_waited_for_and_named_without_its_password(
    proxy: Proxy, make_store: MakeStore, refusal: str
) -> None:
    proxy.refuse = f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode()
    fault = raised(
        make_store(
            endpoint_url="https://s3.invalid",
            addressing_style="path",
            proxy=f"http://cam:pass-CANARY@localhost:{proxy.port}",
        ),
        "put",
    )
    assert proxy.headers["proxy-authorization"] == "Basic " + b64encode(b"cam:pass-CANARY").decode()
    assert isinstance(fault, Transient)
    assert fault.unreachable
    assert refusal[:3] in str(fault)
    assert "destination.proxy" in (fault.hint or "")
    assert f"localhost:{proxy.port}" in str(fault)
    assert "CANARY" not in f"{fault} {fault.hint} {fault!r}"


def test_a_proxy_that_is_not_there_is_unreachable(make_store: MakeStore) -> None:
    fault = raised(
        make_store(endpoint_url="https://s3.invalid", proxy="http://cam:pass-CANARY@127.0.0.1:9"), "head"
    )
    assert isinstance(fault, Transient)
    assert fault.unreachable
    assert "127.0.0.1:9" in str(fault)
    assert "CANARY" not in f"{fault} {fault.hint} {fault!r}"


@pytest.mark.parametrize(
    ("style", "host"),
    [
        ("auto", "captures.s3.us-east-1.amazonaws.com"),
        ("virtual", "captures.s3.us-east-1.amazonaws.com"),
        ("path", "s3.us-east-1.amazonaws.com"),
    ],
)
def test_where_the_bucket_stands_at_aws_is_what_addressing_style_says(
    proxy: Proxy, make_store: MakeStore, style: str, host: str
) -> None:
    proxy.refuse = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    raised(
        make_store(endpoint_url=None, addressing_style=style, proxy=f"http://localhost:{proxy.port}"), "head"
    )
    assert {line.split()[1] for line in proxy.asked} == {f"{host}:443"}
