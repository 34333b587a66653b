"""Status, page and metrics are one story: the same facts, in every state that the whole can be in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.fake_store import FakeStore
from support.room import Room, closing
from support.visitor import Visitor

from syncd.console.headline import opening
from syncd.console.page.server import PageServer
from syncd.errors import LockedOut

Told = dict[str, Any]


def look(room: Room) -> tuple[Told, Told, str, dict[tuple[str, str], float]]:
    """Asked of the socket's view, and over HTTP: the status document twice, the page, and the metrics by first label."""
    server = PageServer("127.0.0.1", 0, room.inside, room.house.clock)
    server.start()
    try:
        port = server.port()
        assert port is not None
        visitor = Visitor(port)
        status = room.inside.status()
        for folder in status["folders"]:
            folder["free_bytes"] = None  # others use the disk too
        text = visitor.get("/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        metrics = {(each.name, next(iter(each.labels.values()), "")): each.value for each in samples}
        document = visitor.get("/status.json").document
        for folder in document["folders"]:
            folder["free_bytes"] = None
        return status, document, visitor.get("/").text, metrics
    finally:
        server.stop()


def idle(room: Room) -> None:
    room.write("film")
    room.house.run()


def waiting(room: Room) -> None:
    room.write("film")
    room.meet()


def paused(room: Room) -> None:
    room.write("film")
    room.meet()
    room.inside.pause(None)


def blocked(room: Room) -> None:
    room.write("film")
    _deny(room.store)
    room.house.run(until=lambda: room.house.gate.closed() is not None)


def _deny(store: FakeStore) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise LockedOut("s3:PutObject is denied", code="permission", hint="allow it")

    store.put = store.create = store.head = refuse  # type: ignore[method-assign, assignment]


def parked(room: Room) -> None:
    room.write("a/film")
    room.house.run()
    room.write("b/film", b"another")
    room.house.rescan()
    room.house.run()


STATES: dict[str, Callable[[Room], object]] = {
    "idle": idle,
    "working": lambda room: room.write("film", b"x" * 23),
    "waiting": waiting,
    "paused": paused,
    "blocked": blocked,
    "parked": parked,
}


@pytest.mark.parametrize("name", STATES)
def test_all_say_the_same(tmp_path: Path, name: str) -> None:
    with closing(Room(tmp_path, key="{prefix}{name}")) as room:
        STATES[name](room)
        told = room.during_a_part(lambda: look(room)) if name == "working" else look(room)
        status, document, page, metrics = told
    state = "idle" if name == "parked" else name
    assert status == document
    assert status["state"] == state
    assert f'<p class="badge">{state}</p>' in page
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page)
    assert heading is not None
    assert heading[1] == f"{opening(status)}."
    for reason in status["reasons"]:
        assert reason["text"] in page
        assert reason["hint"] is None or reason["hint"] in page
    assert {each for (metric, each), on in metrics.items() if metric == "syncd_state" and on} == {state}
    codes = {each for metric, each in metrics if metric == "syncd_reason"}
    assert codes == {reason["code"] for reason in status["reasons"]}
    for kind, count in status["counts"].items():
        assert kind == "pending" or metrics["syncd_files", kind] == count
    assert metrics["syncd_pending_files", ""] == status["counts"]["pending"]
    assert metrics["syncd_pending_bytes", ""] == status["bytes"]["pending"]
    assert metrics["syncd_sent_bytes_total", ""] == status["bytes"]["sent_total"]
    assert metrics["syncd_transfers", ""] == status["transfers_total"]
    assert (status["counts"]["parked"] == 1) is (name == "parked")
    assert ("/b/film" in page.partition('id="history"')[0]) is (name == "parked")
