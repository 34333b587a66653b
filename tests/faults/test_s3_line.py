"""The line to S3: silence, slowness, resets, no name, a proxy. All over real sockets, with time-outs of 0.3 s."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.script import KINDS, Rule

from syncd.act.body import HeldBody
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.sums import AwsSums
from syncd.demo.loopback import Answer, LoopbackServer, Request
from syncd.demo.store import Fault
from syncd.errors import Transient
from syncd.model import Algorithm, Condition, Target

from .scene import LARGE, SMALL, TIMEOUT, Scene, noise, raised

MEGABYTE = 1 << 20
MINUTES = 60.0


def body(size: int) -> HeldBody:
    data = noise(size)
    running = AwsSums().new(Algorithm.CRC32)
    running.update(data)
    return HeldBody(memoryview(data), running.value())


def put(store: S3Store, scene: Scene, size: int) -> Any:
    target = Target(
        bucket="captures", key=f"{scene.prefix}film", algorithm=Algorithm.CRC32, token="t", metadata={}
    )
    return store.put(target, body(size), Condition())


def test_a_store_that_stops_reading_in_the_middle_of_a_body_is_left_soon_and_nothing_is_stored(
    scene: Scene,
) -> None:
    """`connect_timeout` is what limits a send that stalls."""
    scene.trouble(Rule(fault=Fault(hang=True, take=MEGABYTE)))
    began = time.monotonic()
    error = raised(lambda: put(scene.line.impatient, scene, 24 * MEGABYTE))
    assert time.monotonic() - began < 3 + 2 * TIMEOUT
    assert isinstance(error, Transient)  # no doubt: its last byte had not been sent
    assert not scene.objects()


def test_a_store_that_accepts_the_whole_body_and_never_answers_leaves_doubt(impatient: Scene) -> None:
    impatient.trouble(KINDS["never an answer, with effect"](operation="PutObject", times=1))
    impatient.drop("a", SMALL)
    impatient.arrives()
    assert len(impatient.requests("PutObject")) == 1


def test_a_slow_line_that_moves_takes_longer_than_any_time_out_and_is_not_cut(scene: Scene) -> None:
    size = 32 * MEGABYTE
    scene.trouble(Rule(fault=Fault(pace=size / (4 * TIMEOUT))))
    store = S3Store(
        Clients(
            Settings(endpoint_url=scene.store.url, connect_timeout=TIMEOUT, read_timeout=4 * TIMEOUT),
            scene.keys,
        )
    )
    began = time.monotonic()
    try:
        put(store, scene, size)
    finally:
        store.close()
    assert time.monotonic() - began > 2 * TIMEOUT
    assert len(scene.objects()["film"]) == size


def test_a_complete_that_takes_longer_than_the_read_timeout_is_waited_for_while_it_says_something(
    impatient: Scene,
) -> None:
    impatient.trouble(Rule(fault=Fault(drip=4 * TIMEOUT), operation="CompleteMultipartUpload", when="after"))
    impatient.drop("a")
    impatient.arrives()
    assert len(impatient.requests("CompleteMultipartUpload")) == 1


def test_a_line_that_is_reset_for_ten_minutes_parks_nothing(scene: Scene) -> None:
    scene.trouble(KINDS["reset before the body"](where=lambda _: scene.waited() < 10 * MINUTES))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives()
    assert len(scene.requests()) < 200


def test_a_name_that_cannot_be_resolved_is_waited_out_and_costs_no_attempt(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    asked: list[Any] = []

    def no_name(*arguments: Any, **options: Any) -> Any:
        if scene.waited() < 10 * MINUTES:
            asked.append(arguments[0])
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(*arguments, **options)

    scene.line.s3.close()  # a connection that is open needs no name
    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    scene.drop("a")
    scene.run(until=lambda: scene.waited() > 5 * MINUTES)
    closed = scene.house.gate.closed()
    assert closed is not None
    assert closed.code == "network"
    assert "127.0.0.1" in closed.text
    scene.arrives()
    assert 0 < len(asked) < 100
    assert scene.row("a").attempts == 0


class Proxy:
    """A forward proxy that says no."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = LoopbackServer(self._respond)
        self._server.start()
        self.url = self._server.url

    def _respond(self, request: Request) -> Answer:
        self.asked.append(request.target)
        return Answer(status=403, headers={"Content-Type": "text/html"}, body=b"<h1>Forbidden by policy</h1>")

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    one = Proxy()
    yield one
    one.stop()


def test_a_refusal_by_a_proxy_is_not_taken_for_one_by_s3(scene: Scene, proxy: Proxy) -> None:
    settings = Settings(endpoint_url="http://s3.invalid", proxy=proxy.url, connect_timeout=1, read_timeout=1)
    store = S3Store(Clients(settings, scene.keys))
    try:
        error = raised(lambda: put(store, scene, 10))
    finally:
        store.close()
    assert type(error) is Transient
    assert "proxy" in (error.hint or "")
    assert proxy.asked[0].startswith("http://s3.invalid/")


def test_a_proxy_that_is_away_is_an_unreachable_store_and_its_password_is_not_told(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://user:canary-password@127.0.0.1:{port}"
    settings = Settings(endpoint_url="http://s3.invalid", proxy=url, connect_timeout=1, read_timeout=1)
    store = S3Store(Clients(settings, scene.keys))
    try:
        error = raised(lambda: put(store, scene, 10))
    finally:
        store.close()
    assert isinstance(error, Transient)
    assert error.unreachable
    assert "canary" not in f"{error} {error.hint}"
