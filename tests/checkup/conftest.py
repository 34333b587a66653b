"""A device with one thing wrong, the doctor's report about it, and what a test asks of that."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from support.asking import asking
from support.proxy import Proxy, running
from support.rig import Rig

from syncd.telemetry import logs

KEY = "cam/.syncd/doctor"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as rig:
        rig.store.habits.sweeps_after_days = 30
        yield rig


def amend(rig: Rig, **sections: Any) -> None:
    """Sections of the configuration are completed by what is given; `folder` is the one that it has."""
    document = yaml.safe_load(rig.config.read_text())
    document["folders"][0] |= sections.pop("folder", {})
    for name, section in sections.items():
        document[name] = document.get(name, {}) | section if isinstance(section, dict) else section
    rig.config.write_text(json.dumps(document))


@dataclass
class Report:
    code: int
    checks: list[dict[str, str]]

    def of(self, check: str) -> dict[str, str]:
        [found] = [each for each in self.checks if each["check"] == check]
        return found

    def found(self, check: str, verdict: str, text: str, *remedy: str) -> None:
        """This check has that verdict, these words, and a hint that names the remedy."""
        seen = self.of(check)
        assert seen["verdict"] == verdict, self.checks
        assert text in seen["text"]
        assert "Traceback" not in seen["text"]
        for words in remedy:
            assert words in (seen["hint"] or ""), seen
        assert self.code == (1 if self.failed() else 0)

    def failed(self) -> list[str]:
        return [each["check"] for each in self.checks if each["verdict"] == "fail"]

    def skipped(self, check: str, needed: str) -> None:
        assert self.of(check) == {
            "check": check,
            "verdict": "skipped",
            "text": f"needs {needed}",
            "hint": None,
        }


Examine = Callable[[], Report]


def read(code: int, out: str) -> Report:
    document = json.loads(out)
    assert document["ok"] is (code == 0)
    return Report(code, document["checks"])


def in_front_of(pem: Path, port: int) -> AbstractContextManager[Proxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return running(context, leads_to=port)


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/", maxsplit=1)[0])


@pytest.fixture
def examine(rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Examine:
    """The verb in this process; no secret in anything that it says."""
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)

    def call() -> Report:
        with capture_logs() as logged:
            said = asking(rig.config, capfd)("doctor", "--json")
        rig.said += [said.out, said.err, str(logged)]
        rig.assert_no_secret_was_told()
        assert rig.store.uploads() == [] or "AbortMultipartUpload" in said.out
        assert set(rig.store.objects()) <= {KEY, "other/.syncd/doctor"}
        return read(said.code, said.out)

    return call
