"""The units that are shipped: systemd finds nothing wrong with them, little is exposed, the two are alike."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
EXPOSURE = 1.5


@pytest.fixture
def analyze(tmp_path: Path) -> Path:
    """The units with a command that exists here, as `verify` wants it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    for unit in UNITS.glob("*.service"):
        text = unit.read_text().replace("/opt/syncd/bin/syncd", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    (tmp_path / "syncd@second.service").symlink_to("syncd@.service")
    return tmp_path


@pytest.mark.parametrize("unit", ["syncd.service", "syncd@second.service"])
def test_systemd_finds_nothing_wrong(analyze: Path, unit: str) -> None:
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(analyze / unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    own = [line for line in done.stderr.splitlines() if "syncd" in line]
    assert (done.returncode, own) == (0, []), done.stderr


@pytest.mark.parametrize("unit", ["syncd.service", "syncd@second.service"])
def test_little_is_exposed(analyze: Path, unit: str) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(analyze / unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= EXPOSURE


def settings(unit: str) -> list[str]:
    lines = (UNITS / unit).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_instance_differs_only_by_its_name() -> None:
    plain = settings("syncd.service")
    instance = [
        line.replace("syncd/%i", "syncd").replace("/%i.yaml", "/config.yaml").replace(" (%i)", "")
        for line in settings("syncd@.service")
    ]
    assert [line.replace("/etc/syncd.yaml", "/etc/syncd/config.yaml") for line in instance] == plain


def test_what_the_exit_codes_mean_is_heeded() -> None:
    assert "RestartPreventExitStatus=78" in settings("syncd.service")
    assert "Type=notify" in settings("syncd.service")
    assert "ExecReload=/bin/kill -HUP $MAINPID" in settings("syncd.service")
