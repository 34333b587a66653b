"""The page beside a running daemon: it agrees with `syncd status`, follows the configuration, and is never in an upload's way."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.rig import Rig, noise
from support.story import lasting
from support.visitor import Visitor, free_port
from support.whole import LARGE, Servers, Whole

from syncd.console.page import server as page_server

MIB = 1 << 20


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def visitor(port: int) -> Visitor:
    return Visitor(port)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path)
    yield made
    made.close()


def reload(rig: Rig, **config: Any) -> None:
    known = sum(each.get("event") == "reloaded" for each in rig.events)
    rig.write_config(**config)
    rig.signal(signal.SIGHUP)
    rig.wait(lambda: sum(each.get("event") == "reloaded" for each in rig.events) > known, what="the reload")


def test_status_page_and_metrics_agree_during_an_upload_and_after_it(
    rig: Rig, port: int, visitor: Visitor
) -> None:
    rig.write_config(listen=port)
    rig.pace.rate = 2.0 * MIB
    rig.start()
    rig.drop("film", noise(40 * MIB))
    rig.wait(lambda: len(rig.successes("UploadPart")) >= 1, what="the first part")
    rig.wait(
        lambda: lasting(rig.status()) == lasting(visitor.get("/status.json").document),
        20,
        what="one story from both",
    )
    page = visitor.get("/").text
    assert '<p class="badge">working</p>' in page
    assert f'<p class="path" id="path-1">{rig.inbox}/film</p>' in page
    assert "<progress" in page
    assert visitor.get("/healthz").document["ok"] is True
    rig.pace.rate = None
    rig.wait(lambda: rig.status()["state"] == "idle", what="the end of the upload")
    rig.wait(lambda: visitor.get("/status.json").document["state"] == "idle", what="the same on the page")
    families = text_string_to_metric_families(visitor.get("/metrics").text)
    samples = {
        (each.name, *each.labels.values()): each.value for family in families for each in family.samples
    }
    status = rig.status()
    assert samples["syncd_sent_bytes_total",] == status["bytes"]["sent_total"] == 40 * MIB
    assert samples["syncd_parts_total", "acknowledged"] == 8
    assert samples["syncd_files", "done"] == 1
    assert f"{rig.inbox}/film" in visitor.get("/?q=FILM").text
    everything = visitor.get("/").text + visitor.get("/metrics").text + visitor.get("/status.json").text
    rig.said.append(everything)
    assert rig.stop() == 0
    rig.assert_everything_arrived_once()


def test_a_reload_opens_moves_and_closes_it(rig: Rig, port: int, visitor: Visitor) -> None:
    rig.start()
    with pytest.raises(OSError, match="refused"):
        visitor.get("/healthz")
    reload(rig, listen=port)
    assert visitor.get("/healthz").status == 200
    other = free_port()
    reload(rig, listen=other)
    assert Visitor(other).get("/healthz").status == 200
    with pytest.raises(OSError, match="refused"):
        visitor.get("/healthz")
    reload(rig, listen=other, quiet="1s")
    assert Visitor(other).get("/healthz").status == 200
    reload(rig)
    with pytest.raises(OSError, match="refused"):
        Visitor(other).get("/healthz")
    assert rig.stop() == 0


@pytest.mark.torture
def test_a_taken_port_is_told_and_the_daemon_goes_on(rig: Rig, port: int, visitor: Visitor) -> None:
    rig.write_config(listen=port)
    with socket.create_server(("127.0.0.1", port)):
        rig.start()
        assert rig.has_told("page_away")
        rig.drop("film", b"12345")
        rig.wait(lambda: rig.arrived() == 1, what="the upload")
        reasons = {each["code"]: each for each in rig.status()["reasons"]}
        assert f"cannot listen at 127.0.0.1:{port}" in reasons["page"]["text"]
        assert reasons["page"]["hint"]
    rig.wait(lambda: rig.has_told("page_listens"), what="another try")
    rig.wait(lambda: "page" not in [each["code"] for each in rig.status()["reasons"]], what="that it is over")
    assert visitor.get("/healthz").status == 200
    assert rig.stop() == 0


def test_a_page_that_dies_touches_no_upload_and_begins_again(
    servers: Servers, tmp_path: Path, port: int, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Whole(servers, tmp_path / "device", console={"listen": f"127.0.0.1:{port}"}) as whole:
        household = whole.app.household
        page = household.doors.page
        assert page is not None
        running = page._running
        assert running is not None

        def broken(**_: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(page_server.wasyncore, "loop", broken)
            running._server.pull_trigger()
            running._thread.join(10)
        assert not running.is_alive()
        whole.sends("film", LARGE)
        assert household.mend() == ["page"]
        assert visitor.get("/healthz").status == 200
        assert "/film" in visitor.get("/").text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_control_socket_that_dies_touches_no_upload_and_begins_again(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Whole(servers, tmp_path / "device") as whole:
        household = whole.app.household
        console = household.doors.console
        assert console._thread is not None

        def broken(connection: socket.socket) -> None:
            connection.close()
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(console, "_welcome", broken)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(whole.place / "s" / "c.sock"))
                console._thread.join(10)
        assert not console._thread.is_alive()
        whole.sends("film", LARGE)
        assert household.mend() == ["console"]
        status = subprocess.run(
            [sys.executable, "-m", "syncd", "status", "-c", str(whole.config)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "1 done" in status.stdout


def test_a_file_that_is_read_to_be_compared_counts_as_getting_on(servers: Servers, tmp_path: Path) -> None:
    with Whole(servers, tmp_path / "device") as whole:
        household = whole.app.household
        assert household.world.looked == household.pulse.looked


WITHOUT_A_PAGE = """
import sys
from pathlib import Path
from syncd.app import build
from syncd.config import Surroundings, load
app = build(load(Path(sys.argv[1]), Surroundings.from_system()))
app.household.start()
loaded = sorted({"flask", "waitress", "jinja2", "werkzeug", "prometheus_client"} & set(sys.modules))
print(loaded, file=sys.stderr)
app.household.close()
"""


@pytest.mark.parametrize("listens", [False, True])
def test_a_daemon_without_a_page_loads_none_of_it(rig: Rig, port: int, listens: bool) -> None:
    rig.write_config(listen=port if listens else None)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_PAGE, str(rig.config)], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.strip().splitlines()[-1]
    everything = json.dumps(["flask", "jinja2", "prometheus_client", "waitress", "werkzeug"]).replace(
        '"', "'"
    )
    assert loaded == (everything if listens else "[]")
