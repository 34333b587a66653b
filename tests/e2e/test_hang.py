"""A worker that hangs for good in something that has no time limit: a local disk that does not answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.rig import Rig, noise

# The program itself, with a disk that keeps every read, and with less patience than is usual.
HANGING = """
import sys, threading
import syncd.daemon, syncd.household, syncd.watchman
from syncd.adapters.disk.local import LocalFile
from syncd.cli import main
syncd.household.WORKER_HANGS_S = 1.0
syncd.watchman.STATUS_S = 0.2
syncd.daemon.GRACE_S = 0.5
LocalFile.read_into = lambda *_: threading.Event().wait()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.torture
def test_when_all_work_hangs_the_process_ends_with_the_reason_and_goes_on_when_started_again(
    tmp_path: Path,
) -> None:
    with Rig(tmp_path) as rig:
        text = rig.config.read_text().replace("upload: {", "upload: {read_timeout: 1s, connect_timeout: 1s, ")
        rig.config.write_text(
            text.replace("api: {", "api: {timeout: 1s, ")
        )  # the patience is three times the longest
        rig.drop("film", noise(100))
        hanging = subprocess.run(
            [sys.executable, "-c", HANGING, "run", "-c", str(rig.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert hanging.returncode == 1
        assert "nothing has moved for" in hanging.stderr
        assert "file-" in hanging.stderr
        assert "Traceback" not in hanging.stderr
        rig.start()
        rig.wait(lambda: rig.arrived() == 1, what="the object")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
