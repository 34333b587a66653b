"""Fetching over real HTTP: what is sent, what each answer means, and what no server can make us do."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd import __version__
from syncd.adapters.credentials import wire
from syncd.adapters.credentials.api import CredentialApi, fetch_once
from syncd.adapters.server_time import LearntTime
from syncd.errors import ConfigError, LockedOut, Transient


def api_at(url: str, token_file: Path, clock: Any, timeout: float = 10) -> CredentialApi:
    return CredentialApi(url=url, device="cam-07", token_file=token_file, timeout=timeout, clock=clock)


def test_the_request_is_one_post_with_token_and_device(api: CredentialApi, server: Any, kit: Any) -> None:
    server.answer(kit.http(body=kit.good()))
    api.fetch()
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert first == "POST /v1/credentials HTTP/1.1"
    assert json.loads(body) == {"device": "cam-07"}
    assert headers["authorization"] == f"Bearer {kit.token}"
    assert headers["host"] == f"localhost:{server.port}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"syncd/{__version__}"
    assert headers["accept-encoding"] == "identity"
    assert len(lines) == len(headers)


def test_the_token_is_read_anew_for_each_fetch(
    api: CredentialApi, server: Any, kit: Any, token_file: Path
) -> None:
    server.answer(kit.http(body=kit.good()))
    api.fetch()
    token_file.write_text("rotated")
    api.fetch()
    assert b"Bearer rotated\r\n" in server.requests[1]
    assert api.secrets() == ("rotated", kit.token)


def test_the_servers_date_gives_the_life_whatever_our_clock_says(
    server: Any, kit: Any, token_file: Path
) -> None:
    class Wrong(kit.RealClock):  # type: ignore[misc]
        def now(self) -> float:
            return 1000.0

    server.answer(
        kit.http(body=kit.good(Expiration=kit.rfc3339(1_900_000_900)), Date=kit.http_date(1_900_000_000))
    )
    got = api_at(server.url, token_file, Wrong()).fetch()
    assert got.lifetime == 900


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_without_a_date_our_clock_gives_the_life(
    api: CredentialApi, server: Any, kit: Any, date: str
) -> None:
    server.answer(kit.http(body=kit.good(600), Date=date))
    got = api.fetch()
    assert 590 < got.lifetime <= 600


@pytest.mark.parametrize("date", ["", "yesterday"])
@pytest.mark.parametrize(
    ("wrong_by", "trial", "life"),
    [(0, 600, 600), (-4 * 3600, 900, 600), (4 * 3600, 60, 600), (4 * 3600, 60, -5)],
)
def test_without_a_date_a_set_is_tried_for_a_while_until_s3_has_told_the_time(
    server: Any, kit: Any, token_file: Path, date: str, wrong_by: float, trial: float, life: float
) -> None:
    clock = kit.FakeClock()
    there = clock.wall
    clock.turn(wrong_by)
    learnt = LearntTime(clock)
    api = CredentialApi(
        url=server.url, device="cam-07", token_file=token_file, clock=clock, server_time=learnt
    )
    server.answer(kit.http(body=kit.good(Expiration=kit.rfc3339(there + life)), Date=date))
    assert api.fetch().lifetime == trial
    assert learnt.offset() is None
    learnt.heard(there, source="s3", asked_at=clock.boottime())
    if life > 0:
        assert api.fetch().lifetime == pytest.approx(life, abs=1)
    else:
        with pytest.raises(Transient, match=r"expired [56] s ago"):
            api.fetch()


@pytest.mark.parametrize("wrong_by", [-4 * 3600, 4 * 3600])
def test_a_date_tells_the_time_of_a_good_answer_only(
    server: Any, kit: Any, token_file: Path, wrong_by: float
) -> None:
    clock = kit.FakeClock()
    date = kit.http_date(clock.wall)
    good = kit.good(Expiration=kit.rfc3339(clock.wall + 900))
    clock.turn(wrong_by)
    learnt = LearntTime(clock)
    api = CredentialApi(
        url=server.url, device="cam-07", token_file=token_file, clock=clock, server_time=learnt
    )
    for portal in (
        kit.http(302, Date=date, Location="http://portal.example/"),
        kit.http(body=b"<html>", Date=date, Content_Type="text/html"),
        kit.http(503, Date=date),
        kit.http(body=b"{}", Date=date),
    ):
        server.answer(portal)
        with pytest.raises(Transient):
            api.fetch()
        assert learnt.offset() is None
    server.answer(kit.http(body=good, Date=date))
    assert api.fetch().lifetime == 900
    assert learnt.offset() == pytest.approx(wrong_by, abs=1)


def test_a_set_that_has_expired_is_refused(api: CredentialApi, server: Any, kit: Any) -> None:
    server.answer(kit.http(body=kit.good(-5)))
    with pytest.raises(Transient, match=r"expired [5-7] s ago"):
        api.fetch()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_names_token_and_device(
    api: CredentialApi, server: Any, kit: Any, status: int
) -> None:
    body = json.dumps({"error": {"code": "no", "message": f"unknown token {kit.token}\r\n"}}).encode()
    server.answer(kit.http(status, body))
    with pytest.raises(
        LockedOut, match=f"localhost:{server.port} answered {status}: unknown token"
    ) as caught:
        api.fetch()
    assert caught.value.code == "credentials"
    assert "token_file" in (caught.value.hint or "")
    assert kit.token not in kit.chain(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 404, 405, 410, 418, 422])
def test_other_refusals_point_at_the_address(api: CredentialApi, server: Any, kit: Any, status: int) -> None:
    server.answer(kit.http(status, b"<html>CANARY</html>"))
    with pytest.raises(LockedOut) as caught:
        api.fetch()
    assert "credentials.api.url" in (caught.value.hint or "")
    assert "CANARY" not in kit.chain(caught.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize(
    ("wish", "seconds"),
    [("", None), ("7", 7), ("99999999", 900), ("-5", None), ("1.5", None), ("soon", None)],
)
def test_a_busy_or_broken_server_means_wait(
    api: CredentialApi, server: Any, kit: Any, status: int, wish: str, seconds: float | None
) -> None:
    server.answer(kit.http(status, b"", Retry_After=wish))
    with pytest.raises(Transient) as caught:
        api.fetch()
    assert caught.value.retry_after == seconds
    assert not caught.value.unreachable


@pytest.mark.parametrize(("ahead", "seconds"), [(40, 40), (86400, 900), (-40, None), (0, None)])
def test_a_retry_after_date_counts_from_the_servers_own_date(
    api: CredentialApi, server: Any, kit: Any, ahead: int, seconds: float | None
) -> None:
    there = 1_900_000_000
    server.answer(kit.http(503, Date=kit.http_date(there), Retry_After=kit.http_date(there + ahead)))
    with pytest.raises(Transient) as caught:
        api.fetch()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(
    api: CredentialApi, server: Any, serving: Any, kit: Any, status: int
) -> None:
    with serving() as elsewhere:
        elsewhere.answer(kit.http(body=kit.good()))
        server.answer(kit.http(status, Location=elsewhere.url))
        with pytest.raises(Transient, match=f"answered {status}") as caught:
            api.fetch()
        assert elsewhere.requests == []
    assert "captive portal" in (caught.value.hint or "")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [201, 204, 206])
def test_only_200_brings_credentials(api: CredentialApi, server: Any, kit: Any, status: int) -> None:
    server.answer(kit.http(status, kit.good() if status != 204 else b""))
    with pytest.raises(Transient, match=f"answered {status}"):
        api.fetch()


def test_a_captive_portals_page_is_called_one(api: CredentialApi, server: Any, kit: Any) -> None:
    server.answer(kit.http(200, b"<html>Log in!</html>", Content_Type="text/html; charset=utf-8"))
    with pytest.raises(Transient, match="web page") as caught:
        api.fetch()
    assert "captive portal" in (caught.value.hint or "")


def test_a_compressed_answer_is_refused_unopened(api: CredentialApi, server: Any, kit: Any) -> None:
    server.answer(kit.http(200, gzip.compress(b" " * 10_000_000), Content_Encoding="gzip"))
    with pytest.raises(Transient, match="is compressed"):
        api.fetch()


def flood(start: bytes, piece: bytes, taken: list[int]) -> Callable[[socket.socket], None]:
    """A hundred megabytes, as far as anyone takes them."""

    def script(line: socket.socket) -> None:
        line.sendall(start)
        for _ in range(100_000_000 // len(piece)):
            line.sendall(piece)
            taken.append(len(piece))

    return script


@pytest.mark.parametrize(
    ("start", "piece", "complaint"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", b"x" * 65536, "larger than 64 KiB"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, "larger than 64 KiB"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5f5e100\r\n", b"x" * 65536, "larger than 64"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 65536, "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 65536, "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 10_000, "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536, "proper HTTP"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "proper HTTP"),
        (b"HTTP/1.1 403 No\r\n\r\n", b"x" * 65536, "answered 403"),
    ],
)
def test_a_hundred_megabytes_are_cut_off_early(
    api: CredentialApi, server: Any, start: bytes, piece: bytes, complaint: str
) -> None:
    taken: list[int] = []
    server.answer(flood(start, piece, taken))
    with pytest.raises((Transient, LockedOut), match=complaint):
        api.fetch()
    server.close_line()
    assert sum(taken) < 20_000_000  # what socket buffers swallow, far from the whole


def drip(start: bytes, piece: bytes, stop: threading.Event) -> Callable[[socket.socket], None]:
    def script(line: socket.socket) -> None:
        line.sendall(start)
        while not stop.wait(0.02):
            line.sendall(piece)

    return script


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_server_that_feeds_byte_by_byte_is_left_at_the_deadline(
    server: Any, kit: Any, token_file: Path, start: bytes, piece: bytes
) -> None:
    stop = threading.Event()
    server.answer(drip(start, piece, stop))
    began = time.monotonic()
    with pytest.raises(Transient, match=r"did not answer in 0\.3 s") as caught:
        api_at(server.url, token_file, kit.RealClock(), timeout=0.3).fetch()
    took = time.monotonic() - began
    stop.set()
    assert 0.25 < took < 2
    assert caught.value.unreachable


def test_a_slow_body_of_a_refusal_does_not_hide_the_refusal(server: Any, kit: Any, token_file: Path) -> None:
    stop = threading.Event()
    server.answer(drip(b"HTTP/1.1 401 No\r\nContent-Length: 5000\r\n\r\n", b" ", stop))
    with pytest.raises(LockedOut, match="answered 401"):
        api_at(server.url, token_file, kit.RealClock(), timeout=0.3).fetch()
    stop.set()


def test_a_silent_server_is_left_at_the_deadline(server: Any, kit: Any, token_file: Path) -> None:
    stop = threading.Event()
    server.answer(lambda _line: stop.wait(5) and None)
    with pytest.raises(Transient, match="did not answer"):
        api_at(server.url, token_file, kit.RealClock(), timeout=0.2).fetch()
    stop.set()


@pytest.mark.parametrize(
    ("script", "complaint", "unreachable"),
    [
        (b"", "closed connection", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", "ends too early", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "proper HTTP", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{", "proper HTTP", False),
        (b"HTTP/1.1 twohundred OK\r\n\r\n", "proper HTTP", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "proper HTTP", False),
        (b"\x15\x03\x01\x00\x02\x02\x46", "proper HTTP", False),
    ],
)
def test_broken_http_means_wait(
    api: CredentialApi, server: Any, script: bytes, complaint: str, unreachable: bool
) -> None:
    server.answer(script)
    with pytest.raises(Transient, match=complaint) as caught:
        api.fetch()
    assert caught.value.unreachable is unreachable


def test_a_refused_connection_and_an_unknown_name_mean_wait(kit: Any, token_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "https://nowhere.invalid/"):
        with pytest.raises(Transient, match="cannot reach") as caught:
            api_at(url, token_file, kit.RealClock()).fetch()
        assert caught.value.unreachable


def test_an_address_that_never_answers_gets_its_connect_seconds_only(
    kit: Any, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as crowd:
        for _ in range(4):  # whoever comes after a full queue is not even refused
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        began = time.monotonic()
        with pytest.raises(Transient, match=r"cannot reach .*: connection timed out"):
            api_at(f"http://127.0.0.1:{deaf.getsockname()[1]}/", token_file, kit.RealClock()).fetch()
        assert 0.15 < time.monotonic() - began < 2


def test_an_unreadable_token_sends_nothing(api: CredentialApi, server: Any, token_file: Path) -> None:
    token_file.chmod(0o644)
    with pytest.raises(LockedOut):
        api.fetch()
    assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://uploads.example.com/v1",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.com/",
        "ftp://localhost/",
        "uploads.example.com/v1",
        "https://",
        "https://user:secret@uploads.example.com/",
        "https://uploads.example.com/ HTTP/1.1",
        "https://uploads.example.com/\r\nX: y",
        "https://uploads.example.com:port/",
        "https://uploäds.example.com/",
        "https://[::1/",
        "",
    ],
)
def test_an_address_that_must_not_get_the_token_is_a_mistake_in_the_configuration(
    kit: Any, token_file: Path, url: str
) -> None:
    with pytest.raises(ConfigError, match=r"credentials\.api\.url: ") as caught:
        api_at(url, token_file, kit.RealClock())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://uploads.example.com/v1/c?x=y", "uploads.example.com"),
        ("https://uploads.example.com:8443", "uploads.example.com:8443"),
        ("http://127.0.0.9:8080/", "127.0.0.9:8080"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://LOCALHOST/", "localhost"),
    ],
)
def test_https_anywhere_and_http_to_this_machine_are_fine(
    kit: Any, token_file: Path, url: str, source: str
) -> None:
    assert api_at(url, token_file, kit.RealClock()).source == source


def test_a_local_name_that_leads_to_another_machine_gets_no_plain_http(
    kit: Any, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(Transient, match="no address that may be used"):
        api_at("http://localhost/", token_file, kit.RealClock()).fetch()


def test_fetch_once_is_the_same_in_one_call(server: Any, kit: Any, token_file: Path) -> None:
    server.answer(kit.http(body=kit.good(900)))
    got = fetch_once(url=server.url, device="cam-07", token_file=token_file, clock=kit.RealClock())
    assert got.credentials.secret_key == kit.secret
    assert kit.secret not in repr(got)
    assert kit.session not in repr(got)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from([200, 200, 200, 302, 401, 429, 500]) | st.integers(100, 999),
    body=st.binary(max_size=60)
    | st.sampled_from([b'{"Credentials": {}}', b'{"error": {"message": "x"}}', b"[[["]),
    headers=st.dictionaries(
        st.sampled_from(
            ["Date", "Retry-After", "Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding"]
        ),
        st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=12)
        | st.sampled_from(["chunked", "gzip", "text/html", "-1", "3", "Wed, 28 Jan 2026 22:42:22 GMT"]),
    ),
)
def test_whatever_a_server_sends_only_our_kinds_are_raised(
    api: CredentialApi, server: Any, kit: Any, status: int, body: bytes, headers: dict[str, str]
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    server.answer(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1") + body)
    with pytest.raises((Transient, LockedOut)) as caught:
        api.fetch()
    assert kit.token not in kit.chain(caught.value)
