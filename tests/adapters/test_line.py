"""The way to a server, step by step, over real sockets; nothing waits for ever."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pki import self_signed
from support.proxy import running

from syncd.adapters import line
from syncd.adapters.line import Place, Proxy, ProxyRefused


@pytest.fixture
def silent() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_place_is_read_off_a_url() -> None:
    assert Place.of("https://s3.example/b/k") == Place("s3.example", 443, tls=True)
    assert Place.of("http://127.0.0.1:9000") == Place("127.0.0.1", 9000, tls=False)
    assert Place.of("https://[::1]:444/") == Place("::1", 444, tls=True)


def test_a_proxys_login_is_decoded_once_and_never_shown() -> None:
    proxy = Proxy.of("http://us%40er:p%3Aw@proxy:3128")
    assert proxy.place == Place("proxy", 3128, tls=False)
    assert base64.b64decode(proxy.login or "") == b"us@er:p:w"
    assert (proxy.login or "?") not in repr(proxy)
    assert Proxy.of("http://proxy").login is None


def test_a_name_is_looked_up() -> None:
    assert "127.0.0.1" in line.addresses("localhost", 10)


def test_a_name_that_nobody_knows_is_told_by_the_resolvers_words() -> None:
    with pytest.raises(socket.gaierror):
        line.addresses("no.such.invalid", 10)


def test_a_name_that_can_be_none_is_not_asked_for() -> None:
    with pytest.raises(OSError, match="no name that a host can have"):
        line.addresses("a" * 70 + ".example", 10)


def test_a_resolver_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="resolver"):
        line.addresses("slow.example", 0.2)
    assert time.monotonic() - began < 5
    over.set()


@pytest.mark.torture
def test_who_signed_a_certificate_and_when_it_ends_is_told(tmp_path: Path, silent: int) -> None:
    pem = self_signed(tmp_path / "own.pem", "localhost", days=(-1, 3))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trust = ssl.create_default_context(cafile=pem)
    with running(context, leads_to=silent) as front:
        seen = line.look(Place("localhost", front.port, tls=True), trust=trust, seconds=10)
    assert seen is not None
    assert seen.issuer == "localhost"
    assert seen.ends_at - time.time() == pytest.approx(3 * 86_400, abs=60)


def test_a_server_that_does_not_shake_hands_is_not_waited_for(silent: int) -> None:
    place = Place("127.0.0.1", silent, tls=True)
    with pytest.raises(TimeoutError):
        line.look(place, trust=ssl.create_default_context(), seconds=0.2)
    assert line.look(place, trust=None, seconds=0.2) is None


def test_a_proxy_gets_its_login_and_lets_us_through(silent: int) -> None:
    with running() as proxy:
        proxy.ways["store.invalid"] = ("127.0.0.1", silent)
        way = Proxy.of(f"http://me:canary@127.0.0.1:{proxy.port}")
        assert line.look(Place("store.invalid", 443, tls=True), trust=None, seconds=10, through=way) is None
        assert proxy.asked == ["CONNECT store.invalid:443 HTTP/1.1"]
        assert proxy.headers["proxy-authorization"] == f"Basic {way.login}"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 403 Forbidden by policy\r\n\r\n", "403 Forbidden by policy"),
        (b"SSH-2.0-nothing\r\n\r\n", "nothing that is HTTP"),
        (b"\r\n\r\n", "nothing that is HTTP"),
        (b"HTTP/1.1 200" * 2000, "200HTTP"),
    ],
)
def test_what_is_no_yes_of_a_proxy_is_a_no(answer: bytes, told: str) -> None:
    with running() as proxy:
        proxy.refuse = answer
        way = Proxy.of(f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ProxyRefused, match=told):
            line.look(Place("s", 443, tls=True), trust=None, seconds=10, through=way)
