"""What systemd is told, as it hears it: real datagrams on a real socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.telemetry.notify import Notifier


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(5)
        yield made


def heard(ear: socket.socket) -> str:
    return ear.recv(4096).decode()


def test_each_word_is_one_datagram(ear: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": ear.getsockname()})
    notifier.ready()
    notifier.status("working: a\nb")
    notifier.reloading(12.5)
    notifier.alive()
    notifier.stopping()
    assert [heard(ear) for _ in range(5)] == [
        "READY=1",
        "STATUS=working: a b",
        "RELOADING=1\nMONOTONIC_USEC=12500000",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_an_abstract_socket_is_found() -> None:
    name = f"\0syncd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(name)
        ear.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name[1:]}).ready()
        assert heard(ear) == "READY=1"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify"])
def test_without_a_manager_nothing_is_said_and_nothing_breaks(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).ready()


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "junk"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_is_ours(told: dict[str, str], seconds: float | None) -> None:
    assert Notifier(told).watchdog_s == seconds
