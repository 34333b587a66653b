"""Every key of `credentials`, from the YAML file to the API that is asked and the store that judges."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import proxy as fronts
from support.pki import self_signed
from support.whole import Servers, Whole

Daemon = Callable[..., Whole]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.close()


@pytest.fixture
def daemon(servers: Servers, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon with these sections in its configuration."""
    running: list[Whole] = []

    def start(**sections: Any) -> Whole:
        running.append(Whole(servers, tmp_path / str(len(running)), **sections))
        return running[-1]

    yield start
    servers.endpoint.override = None
    for one in running:
        one.__exit__()


def test_the_configured_certificate_shows_the_api_who_we_are(
    daemon: Daemon, servers: Servers, tmp_path: Path
) -> None:
    theirs, ours = (self_signed(tmp_path / f"{host}.pem", host) for host in ("localhost", "cam-07"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(theirs)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # says no within the handshake, where it is always heard
    tls.load_verify_locations(ours)
    path = servers.endpoint.url.partition("://")[2].partition("/")[2]
    port = int(servers.endpoint.url.rpartition(":")[2].partition("/")[0])
    with fronts.running(tls, leads_to=port) as front:
        api = {
            "url": f"https://localhost:{front.port}/{path}",
            "token_file": str(servers.token_file),
            "ca_file": str(theirs),
        }
        device = daemon(credentials={"api": api})
        device.drop("film")
        device.run(lambda: device.closed() == "credentials" and "client_cert" in device.hint())
        mutual = {"client_cert": str(ours), "client_key": str(ours)}
        device.write(credentials={"api": api | mutual})
        assert device.reload()
        device.run(lambda: device.done("film"))
