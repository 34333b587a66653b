"""The page's life: a port that is taken, a thread that dies, fifty that look at once; and nothing of it ever raises."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.moments import MadeUp, readings
from support.visitor import Visitor

from syncd.console.facts import Readings
from syncd.console.page import server as page_server
from syncd.console.page.server import AGAIN_S, PageServer
from syncd.console.page.snapshot import Snapshots


@contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_taken_port_is_told_once_and_tried_again(view: MadeUp, clock: FakeClock) -> None:
    with taken() as port, capture_logs() as told:
        server = PageServer("127.0.0.1", port, view, clock)
        server.start()
        for _ in range(3):
            clock.advance(AGAIN_S)
            assert not server.mend()
        away = f"the status page cannot listen at 127.0.0.1:{port}: Address already in use"
        assert server.away() == away
    assert [each["event"] for each in told] == ["page_away"]
    assert not server.mend()
    assert server.away() == away, "not sooner than it should"
    clock.advance(AGAIN_S)
    server.mend()
    assert (server.away(), server.port()) == (None, port)
    assert Visitor(port).get("/healthz").status == 200
    server.stop()


def test_what_has_died_begins_again_at_its_port(
    view: MadeUp, server: PageServer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not server.mend()
    running = server._running
    assert running is not None

    def broken(**_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch, capture_logs() as told:
        patch.setattr(page_server.wasyncore, "loop", broken)
        running._server.pull_trigger()
        running._thread.join(10)
    assert not running.is_alive()
    assert [each["event"] for each in told] == ["page_failed"]
    server._port = visitor.port
    assert server.mend()
    assert visitor.get("/healthz").status == 200
    assert not server.mend()


def test_it_leaves_nothing_behind(view: MadeUp, clock: FakeClock) -> None:
    before = set(threading.enumerate())
    server = PageServer("127.0.0.1", 0, view, clock)
    server.stop()
    server.start()
    port = server.port()
    assert port is not None
    idle = socket.create_connection(("127.0.0.1", port))
    assert Visitor(port).get().status == 200
    server.stop()
    server.stop()
    idle.settimeout(10)
    assert idle.recv(1) == b"", "hung up"
    idle.close()
    assert set(threading.enumerate()) == before
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_ipv6_and_localhost_are_listened_at(view: MadeUp, clock: FakeClock) -> None:
    for host, at in (("[::1]", "::1"), ("localhost", "127.0.0.1")):
        server = PageServer(host, 0, view, clock)
        server.start()
        port = server.port()
        assert port is not None, server.away()
        assert Visitor(port, at).get("/healthz", Host=f"{host}:{port}").status == 200
        server.stop()


def test_however_many_look_it_is_gathered_once_a_second(
    view: MadeUp, visitor: Visitor, clock: FakeClock
) -> None:
    places = ["/", "/status.json", "/metrics", "/healthz"] * 15
    with ThreadPoolExecutor(20) as many:
        assert {said.status for said in many.map(visitor.get, places)} == {200}
    assert (view.asked, view.searched) == (1, 1)
    clock.advance(0.9)
    visitor.get("/status.json")
    assert view.asked == 1
    clock.advance(0.1)
    view.now = readings(device="another")
    assert visitor.get("/status.json").document["device"] == "another"
    assert view.asked == 2


def test_the_same_search_is_made_once_a_second_and_two_searches_are_two(
    view: MadeUp, visitor: Visitor
) -> None:
    view.tell(b"one", b"two")
    for _ in range(3):
        assert "/srv/inbox/two" not in visitor.get("/?q=one").text
        assert "/srv/inbox/two" in visitor.get("/?q=two").text
    assert view.searched == 2


def test_gathering_that_is_dear_is_done_more_rarely(clock: FakeClock) -> None:
    class Slow(MadeUp):
        def readings(self) -> Readings:
            clock.advance(3.0)
            return super().readings()

    view = Slow()
    snapshots = Snapshots(view, clock)
    first = snapshots.latest()
    clock.advance(29.0)
    assert snapshots.latest() is first
    clock.advance(1.0)
    assert snapshots.latest() is not first


def test_a_client_that_says_nothing_or_rubbish_is_in_nobodys_way(visitor: Visitor) -> None:
    silent = [socket.create_connection(("127.0.0.1", visitor.port)) for _ in range(60)]
    silent[0].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 GET\r\n\r\n")
    silent[1].sendall(b"GET / HTTP/1.1\r\nHost: " + b"a" * 100_000)
    silent[2].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
    began = time.monotonic()
    assert visitor.get().status == 200
    assert time.monotonic() - began < 10
    for each in silent:
        each.close()


def test_a_request_that_hangs_holds_up_no_end(
    view: MadeUp, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "_END_S", 0.2)
    asked, go_on = threading.Event(), threading.Event()
    gather = view.readings

    def hang() -> Readings:
        asked.set()
        go_on.wait(20)
        return gather()

    view.readings = hang  # type: ignore[method-assign]
    server = PageServer("127.0.0.1", 0, view, clock)
    server.start()
    port = server.port()
    assert port is not None
    visitor = threading.Thread(target=_ask_in_vain, args=(port,))
    visitor.start()
    assert asked.wait(10)
    workers = [each for each in threading.enumerate() if each.name.startswith("waitress")]
    server.stop()
    assert any(each.is_alive() for each in workers), "it was waited for"
    with socket.create_server(("127.0.0.1", port)):
        pass
    go_on.set()
    for thread in (visitor, *workers):
        thread.join(10)
        assert not thread.is_alive()


def _ask_in_vain(port: int) -> None:
    with suppress(OSError, http.client.HTTPException):
        Visitor(port).get()
