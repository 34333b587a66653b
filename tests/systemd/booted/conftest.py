"""Inside a systemd that was booted for the tests (`tests/systemd/with-systemd`): the .deb is installed, its units run.

The store and the credential API live in this process. Chosen by `-m booted`; see `.ci/run`. Whoever runs it on a machine
of their own gets nothing installed: without SYNCD_DEB, which the stage sets in a throw-away system, the tests skip.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from support.booted import CAPTURE, DROP_INS, STATE, Machine, run
from support.whole import Servers

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    package = os.environ.get("SYNCD_DEB")
    if package is None:
        pytest.skip("SYNCD_DEB names no package: these tests run in a system that is thrown away afterwards")
    run("dpkg", "--install", package)
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield Machine(servers)
    servers.close()


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """Configured, with an empty folder, not started; put back afterwards."""
    installed.device = f"cam-{next(NUMBERS)}"  # the store keeps what the test before has sent
    installed.configure()
    installed.drop_in("test", "RestartSec=200ms")
    yield installed
    run("systemctl", "stop", "syncd")
    run("systemctl", "reset-failed", "syncd", check=False)
    run("sh", "-c", f"rm -rf {STATE}/* {CAPTURE}/* {DROP_INS}")
    run("systemctl", "daemon-reload")
