"""The control socket itself: who may connect, what it takes, and what no client can do to it."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.console.address import SocketUnusable
from syncd.console.client import Client, NotRunning
from syncd.console.server import CONNECTIONS, LARGEST_BODY, ControlServer
from syncd.errors import LedgerFailure, SyncdError
from syncd.model import Standing


class EchoView:
    """Answers what it was asked; `failure` makes it fail."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.retries: list[list[bytes] | None] = []
        self.replans: list[bool] = []
        self.gate = threading.Event()
        self.gate.set()

    def status(self) -> dict[str, Any]:
        self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        return {"state": "idle"}

    def explain(self, path: bytes) -> dict[str, Any]:
        return {"path": path.hex()}

    def files(self, standing: Standing | None, after: int) -> dict[str, Any]:
        return {"files": [], "asked": [standing, after]}

    def plan(self, at: str | None) -> dict[str, Any]:
        return {"files": [], "next": at}

    def uploads(self) -> dict[str, Any]:
        return {"uploads": ["u"]}

    def proven(self, path: bytes | None, after: int = 0) -> dict[str, Any]:
        return {"path": None if path is None else path.hex(), "after": after}

    def pause(self, seconds: float | None) -> dict[str, Any]:
        return {"seconds": seconds}

    def resume(self) -> dict[str, Any]:
        return {"was_paused": True}

    def rescan(self) -> dict[str, Any]:
        return {"folders": []}

    def retry(self, paths: list[bytes] | None, *, replan: bool = False) -> dict[str, Any]:
        self.retries.append(paths)
        self.replans.append(replan)
        return {"retried": 0, "left": len(paths or ()), "paths": [path.hex() for path in paths or ()]}


@pytest.fixture
def view() -> EchoView:
    return EchoView()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
def server(place: Path, view: EchoView) -> Iterator[ControlServer]:
    running = ControlServer(place, view)
    running.start()
    yield running
    view.gate.set()
    running.stop()


@pytest.fixture
def raw(server: ControlServer, place: Path) -> Iterator[Callable[[], socket.socket]]:
    """Makes bare connections, closed at the end."""
    made: list[socket.socket] = []

    def connect() -> socket.socket:
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].settimeout(10)
        made[-1].connect(str(place))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def said(connection: socket.socket, *pieces: bytes) -> tuple[int, dict[str, Any]]:
    """Send the bytes, then read the answer to its end."""
    if pieces:
        connection.sendall(b"".join(pieces))
    answer = http.client.HTTPResponse(connection)
    try:
        answer.begin()
        document = json.loads(answer.read())
    finally:
        answer.close()
    assert isinstance(document, dict)
    return answer.status, document


def test_owner_and_group_may_connect_and_nobody_else(server: ControlServer, place: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o660
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o750


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path, view: EchoView) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    server = ControlServer(tmp_path / "run" / "s", view)
    server.start()
    server.stop()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


def test_every_question_comes_through(server: ControlServer, view: EchoView, place: Path) -> None:
    client = Client(place)
    assert client.status() == {"state": "idle"}
    assert client.explain(b"/srv/a+b %25\xff\n\xe2\x82\xac?&=") == {
        "path": b"/srv/a+b %25\xff\n\xe2\x82\xac?&=".hex()
    }
    assert client.files(None, 0)["asked"] == [None, 0]
    assert client.files(Standing.PARKED, 2**40)["asked"] == ["parked", 2**40]
    assert client.plan(None)["next"] is None
    assert client.plan("2f61:")["next"] == "2f61:"
    assert client.uploads() == {"uploads": ["u"]}
    assert client.proven(None, 7) == {"path": None, "after": 7}
    assert client.proven(b"/a\xff") == {"path": b"/a\xff".hex(), "after": 0}
    assert client.pause(None) == {"seconds": None}
    assert client.pause(90.5) == {"seconds": 90.5}
    assert client.resume() == {"was_paused": True}
    assert client.rescan() == {"folders": []}
    assert client.retry([b"/srv/\xff", b"/b"])["paths"] == [b"/srv/\xff".hex(), b"/b".hex()]
    assert client.retry(None) == {"retried": 0, "left": 0, "paths": []}
    assert view.retries == [[b"/srv/\xff", b"/b"], None]
    client.retry(None, replan=True)
    client.retry([b"/b"], replan=True)
    assert view.replans == [False, False, True, True]


def test_more_paths_than_a_body_holds_go_in_portions(
    server: ControlServer, view: EchoView, place: Path
) -> None:
    paths = [b"/" + b"\xff" * 4000 + b"%d" % number for number in range(60)]
    answer = Client(place).retry(paths)
    assert answer["left"] == 60
    assert len(view.retries) == 3
    assert [path for portion in view.retries for path in portion or ()] == paths


def test_status_json_is_the_status(raw: Callable[[], socket.socket]) -> None:
    assert said(raw(), b"GET /status.json HTTP/1.1\r\n\r\n") == (200, {"state": "idle"})


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00 what is this\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"BREW /pot HTTP/1.1\r\n\r\n", 501),
        (b"GET /secrets HTTP/1.1\r\n\r\n", 404),
        (b"POST /status HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404),
        (b"GET /retry HTTP/1.1\r\n\r\n", 404),
        (b"GET /pause HTTP/1.1\r\n\r\n", 404),
        (b"GET /resume HTTP/1.1\r\n\r\n", 404),
        (b"GET /rescan HTTP/1.1\r\n\r\n", 404),
        (b"GET //[ HTTP/1.1\r\n\r\n", 404),
        (b"GET /explain HTTP/1.1\r\n\r\n", 400),
        (b"GET /explain?path=relative HTTP/1.1\r\n\r\n", 400),
        (b"GET /explain?path=/a%00b HTTP/1.1\r\n\r\n", 400),
        (b"GET /explain?path=/a&path=/b HTTP/1.1\r\n\r\n", 400),
        (b"GET /explain?path=/" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET /explain?" + b"a=1&" * 100 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET /files?state=lost HTTP/1.1\r\n\r\n", 400),
        (b"GET /plan?at=2f HTTP/1.1\r\n\r\n", 400),
        (b"GET /plan?at=2:2f HTTP/1.1\r\n\r\n", 400),
        (b"GET /files?after=-1 HTTP/1.1\r\n\r\n", 400),
        (b"GET /files?after=" + b"9" * 30 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /status HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /retry HTTP/1.1\r\n\r\n", 411),
        (b"POST /retry HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 411),
        (b"POST /retry HTTP/1.1\r\nContent-Length: 9" + b"9" * 4000 + b"\r\n\r\n", 413),
        (f"POST /retry HTTP/1.1\r\nContent-Length: {LARGEST_BODY + 1}\r\n\r\n".encode(), 413),
    ],
)
def test_what_makes_no_sense_is_refused_in_json(
    raw: Callable[[], socket.socket], place: Path, request_bytes: bytes, status: int
) -> None:
    answered, document = said(raw(), request_bytes)
    assert answered == status
    assert set(document["error"]) == {"message", "hint"}
    assert Client(place).status() == {"state": "idle"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"paths": "/a"}',
        b'{"paths": [1]}',
        b'{"paths": ["relative"]}',
        b'{"paths": ["/a\\u0000"]}',
        b'{"paths": ["/\\ud800"]}',
        b'{"paths": ["/a"], "all": true}',
        b'{"all": 1}',
        b'{"all": true, "replan": 1}',
        b"\xff\xfe",
    ],
)
def test_a_retry_that_names_no_paths_is_refused(raw: Callable[[], socket.socket], body: bytes) -> None:
    head = f"POST /retry HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert said(raw(), head, body)[0] == 400


@pytest.mark.parametrize("seconds", [b"0", b"-1", b"true", b'"2h"', b"1e300", b"NaN", b"[]"])
def test_a_pause_of_no_length_is_refused(raw: Callable[[], socket.socket], seconds: bytes) -> None:
    body = b'{"seconds": ' + seconds + b"}"
    head = f"POST /pause HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert said(raw(), head, body)[0] == 400


def test_a_client_that_goes_in_the_middle_costs_nothing(
    raw: Callable[[], socket.socket], place: Path
) -> None:
    for piece in (b"", b"GET /sta", b"POST /retry HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"):
        connection = raw()
        connection.sendall(piece)
        connection.close()
    gone = raw()
    gone.sendall(b"GET /status HTTP/1.1\r\n\r\n")
    gone.close()  # before it has read its answer
    assert Client(place).status() == {"state": "idle"}


def test_clients_that_say_nothing_are_in_nobodys_way(raw: Callable[[], socket.socket], place: Path) -> None:
    silent = [raw() for _ in range(CONNECTIONS * 2)]
    assert Client(place, patience=5).status() == {"state": "idle"}
    assert silent[0].recv(1) == b""  # the oldest has given way


def test_a_slow_answer_is_in_nobodys_way(
    server: ControlServer, view: EchoView, raw: Callable[[], socket.socket], place: Path
) -> None:
    view.gate.clear()
    slow = raw()
    slow.sendall(b"GET /status HTTP/1.1\r\n\r\n")
    assert Client(place, patience=5).explain(b"/a") == {"path": b"/a".hex()}
    view.gate.set()
    assert said(slow) == (200, {"state": "idle"})


@pytest.mark.parametrize("failure", [ValueError("a bug"), OSError(5, "input/output error"), KeyError("x")])
def test_a_fault_of_ours_is_a_500_and_no_more(
    server: ControlServer, view: EchoView, place: Path, failure: Exception
) -> None:
    view.failure = failure
    with pytest.raises(SyncdError, match="could not answer"):
        Client(place).status()
    view.failure = None
    assert Client(place).status() == {"state": "idle"}


def test_a_failure_of_our_kind_keeps_its_words_and_its_hint(
    server: ControlServer, view: EchoView, place: Path
) -> None:
    view.failure = LedgerFailure("the ledger failed", hint="free space")
    with pytest.raises(SyncdError, match="the ledger failed") as told:
        Client(place).status()
    assert told.value.hint == "free space"


# -- the file


def test_a_dead_daemons_socket_is_replaced(place: Path, view: EchoView) -> None:
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    server = ControlServer(place, view)
    server.start()
    assert Client(place).status() == {"state": "idle"}
    server.stop()
    assert not place.exists()


def test_a_live_daemons_socket_is_never_taken(server: ControlServer, place: Path) -> None:
    second = ControlServer(place, EchoView())
    with pytest.raises(SocketUnusable, match="another process answers") as told:
        second.start()
    assert told.value.hint is not None
    second.stop()
    assert Client(place).status() == {"state": "idle"}


def test_what_is_no_socket_is_left_alone(place: Path, view: EchoView) -> None:
    place.parent.mkdir()
    place.write_text("precious")
    with pytest.raises(SocketUnusable, match="no socket"):
        ControlServer(place, view).start()
    assert place.read_text() == "precious"


def test_a_path_beyond_the_kernels_limit_is_told_with_a_remedy(tmp_path: Path, view: EchoView) -> None:
    long = tmp_path / ("s" * 108)
    with pytest.raises(SocketUnusable, match="107 bytes") as told:
        ControlServer(long, view).start()
    assert "console.socket" in str(told.value.hint)
    assert told.value.exit_code == 78
    with pytest.raises(SocketUnusable):
        Client(long).status()


def test_a_place_that_cannot_be_is_told_with_a_remedy(tmp_path: Path, view: EchoView) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SocketUnusable, match="cannot listen") as told:
        ControlServer(tmp_path / "file" / "s", view).start()
    assert "console.socket" in str(told.value.hint)


def test_a_socket_that_somebody_replaced_is_not_taken_away(
    server: ControlServer, place: Path, view: EchoView
) -> None:
    place.unlink()
    successor = ControlServer(place, view)
    successor.start()
    server.stop()
    assert Client(place).status() == {"state": "idle"}
    successor.stop()


def test_stopping_hangs_up_on_who_is_still_there(
    server: ControlServer, raw: Callable[[], socket.socket], place: Path
) -> None:
    silent = raw()
    Client(place).status()  # the silent one has been accepted by then
    server.stop()
    assert silent.recv(1) == b""
    assert not place.exists()


# -- the client


def test_where_nobody_listens_the_client_says_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "none" / "s"):
        with pytest.raises(NotRunning, match="not running") as told:
            Client(path).status()
        assert "-c" in str(told.value.hint)


def test_who_may_not_connect_is_told_the_remedy(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_connection: object) -> None:  # as the kernel does it to everybody but root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("syncd.console.client._Connection.connect", refused)
    with pytest.raises(SyncdError, match="may not talk") as told:
        Client(place).status()
    assert "group" in str(told.value.hint)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.0 500 Oh\r\nContent-Length: 11\r\n\r\n{"error":1}',
    ],
)
def test_an_answer_that_is_none_is_an_error_of_ours(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(tmp_path / "s"))
        stranger.listen()

        def speak() -> None:
            connection, _ = stranger.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(SyncdError):
            Client(tmp_path / "s", patience=5).status()
        thread.join()


def test_a_daemon_that_does_not_answer_in_time_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen()
        with pytest.raises(SyncdError, match="did not answer"):
            Client(tmp_path / "s", patience=0.05).status()
