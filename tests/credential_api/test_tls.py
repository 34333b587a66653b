"""TLS in front of `serve`: what clients that leave, stay or say half get, and how a certificate is renewed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.pki import self_signed
from support.serving import Serving, read_answer

from syncd.credential_api.server import connections_for
from syncd.credential_api.tls import Certificate, Front

ASKING = b"GET /v1/credentials HTTP/1.1\r\nHost: a\r\nAuthorization: tok-CANARY-of-cam-07\r\n\r\n"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return self_signed(tmp_path / "localhost.pem", "localhost")


@pytest.fixture
def secured(tmp_path: Path, pem: Path) -> Iterator[Serving]:
    with Serving(tmp_path, "--tls-cert", str(pem), "--tls-key", str(pem), scheme="https") as serving:
        yield serving


def wait_for(holds: Callable[[], bool], within: float = 20.0) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.02)


def connect(port: int, *, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))


def is_hung_up_on(port: int, source: str) -> bool:
    with connect(port, source=source) as line:
        line.settimeout(5)  # less than a handshake may take: its end is no hanging up
        return line.recv(1) == b""


def shake_hands(serving: Serving, trusted: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(trusted))
    return context.wrap_socket(connect(serving.port), server_hostname="localhost")


def pid(serving: Serving) -> int:
    assert serving._child is not None
    return serving._child.pid


def descriptors(serving: Serving) -> int:
    return len(list(Path(f"/proc/{pid(serving)}/fd").iterdir()))


# -- places


def test_clients_that_leave_at_once_leave_nothing_open(secured: Serving, pem: Path) -> None:
    with shake_hands(secured, pem) as line:  # what is opened once, is open from here on
        line.sendall(ASKING)
        assert read_answer(line, ASKING)[0] == 200
    settled = descriptors(secured)
    for _ in range(200):
        shake_hands(secured, pem).close()
    wait_for(lambda: descriptors(secured) <= settled, within=10)


def test_clients_that_break_off_leave_nothing_open(secured: Serving, pem: Path) -> None:
    settled = descriptors(secured)
    lines = [shake_hands(secured, pem) for _ in range(20)]
    wait_for(lambda: descriptors(secured) >= settled + 60)
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of an end
        line.close()
    wait_for(lambda: descriptors(secured) <= settled, within=10)


def test_silent_clients_have_a_place_each_and_one_address_only_its_share(pem: Path) -> None:
    backend, listener = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    front = Front(Certificate(pem, pem), at_once=8)
    front.start(listener, backend=backend.getsockname()[1])
    with backend, ExitStack() as lines:
        try:
            for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"):
                for _ in range(2):
                    lines.enter_context(connect(port, source=source))
                if source == "127.0.0.2":
                    assert is_hung_up_on(port, source)
            assert is_hung_up_on(port, "127.0.0.6")
            assert len(front._connections) == 8
            lines.close()
            wait_for(lambda: not front._connections)
        finally:
            front.stop()


@pytest.mark.parametrize(
    ("limit", "at_once"), [(20_000, 500), (1600, 500), (1024, 308), (256, 52), (64, 1), (0, 1)]
)
def test_there_are_no_more_places_than_descriptors(limit: int, at_once: int) -> None:
    assert connections_for(limit) == at_once


class Modest(Serving):
    """Started where few descriptors are allowed, but more may be had."""

    def command(self, *options: str) -> list[str]:
        return ["sh", "-c", 'ulimit -Sn 128; exec "$@"', "sh", *super().command(*options)]


def test_serve_takes_all_descriptors_that_it_may_have(tmp_path: Path) -> None:
    with Modest(tmp_path) as serving:
        limits = Path(f"/proc/{pid(serving)}/limits").read_text().splitlines()
        (soft, hard) = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
        assert soft == hard


# -- half an end


def test_a_client_that_ends_its_sending_side_still_gets_its_answer(secured: Serving, pem: Path) -> None:
    with shake_hands(secured, pem) as line:
        line.sendall(ASKING)
        socket.socket.shutdown(line, socket.SHUT_WR)
        assert read_answer(line, ASKING)[0] == 200
        assert line.recv(1) == b""


def test_a_client_that_ends_its_sending_side_by_tls_still_gets_its_answer(
    secured: Serving, pem: Path
) -> None:
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(pem))
    tls = context.wrap_bio(received, to_send, server_hostname="localhost")
    with connect(secured.port) as line:

        def more() -> None:
            line.sendall(to_send.read())
            block = line.recv(1 << 16)
            received.write(block) if block else received.write_eof()

        def finished() -> bool:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                return False
            return True

        while not finished():
            more()
        tls.write(ASKING)
        with pytest.raises(ssl.SSLError):
            tls.unwrap()  # our word is given; theirs is not there yet
        answer = b""
        while b"expiration" not in answer.lower():
            more()
            try:
                answer += tls.read(1 << 16)
            except ssl.SSLWantReadError:
                continue
        assert answer.startswith(b"HTTP/1.1 200")


def test_what_is_refused_before_all_of_it_came_is_still_told(secured: Serving, pem: Path) -> None:
    asking = b"POST /v1/credentials HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"
    with shake_hands(secured, pem) as line:
        line.sendall(asking + b"x" * 50_000)
        assert read_answer(line, asking)[0] == 400


# -- renewal


def told(serving: Serving, event: str) -> list[dict[str, object]]:
    complete = serving.log.rpartition("\n")[0]
    return [each for each in serving.events() if each["event"] == event] if event in complete else []


def test_a_renewed_certificate_is_served_after_sighup_and_a_broken_one_is_not(
    secured: Serving, pem: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copy(pem, tmp_path / "old.pem"))
    renewed = self_signed(tmp_path / "renewed.pem", "localhost")
    with shake_hands(secured, old) as line:
        shutil.copy(renewed, pem)
        shake_hands(secured, old).close()  # nobody has said so yet
        os.kill(pid(secured), signal.SIGHUP)
        wait_for(lambda: bool(told(secured, "certificate_loaded")))
        shake_hands(secured, renewed).close()
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(secured, old)
        line.sendall(ASKING)  # on a connection from before
        assert read_answer(line, ASKING)[0] == 200
    foreign_key = old.read_text().partition("-----BEGIN CERT")[0]
    chain = renewed.read_text()
    pem.write_text(foreign_key + chain[chain.index("-----BEGIN CERT") :])
    os.kill(pid(secured), signal.SIGHUP)
    wait_for(lambda: bool(told(secured, "certificate_refused")))
    assert "no certificate and key" in str(told(secured, "certificate_refused")[0]["reason"])
    shake_hands(secured, renewed).close()
    assert "Traceback" not in secured.log
    assert secured.stop() == 0
