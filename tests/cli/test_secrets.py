"""Canaries: the secrets of a device in trouble, looked for behind every door that words leave by.

The token, each session's secret key and session token, and the proxy's password. The store repeats what it was sent in
its error documents, as S3 does; the credential API repeats the token in its complaint.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from support import proxy as proxies
from support.asking import Ask, asking
from support.proxy import Proxy
from support.rig import TOKEN, Rig, noise

from syncd.console.client import Client
from syncd.demo.store.faults import Fault, Record
from syncd.telemetry import logs

PASSWORD = "canary%2Fof-the-proxy"
ECHO = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>The provided token {token} of {secret} is malformed or otherwise invalid.</Message>
<Token-0>{token}</Token-0><AWSAccessKeyId>ASIA</AWSAccessKeyId><StringToSign>{token} {secret}</StringToSign></Error>"""
# What nobody foresaw, with secrets in its words and in the variables around it, in the middle of a visit.
PLANTED = """if True:
    import sys
    from syncd.adapters.s3.store import S3Store
    from syncd.cli import main

    put = S3Store.put

    def failing(self, target, body, condition):
        if not target.key.endswith("cursed"):
            return put(self, target, body, condition)
        held = self._clients._credentials.current()
        local = {"Authorization": held.session_token, "also": held.secret_key}
        raise RuntimeError(f"signed with {held.secret_key} and {local['Authorization']}")

    S3Store.put = failing
    sys.exit(main(sys.argv[4:]))
"""


class Echoing:
    """A store that repeats in its refusals what the requests were signed with."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def before(self, record: Record) -> Fault | None:
        code = {"denied": "InvalidToken", "refused": "InvalidArgument"}.get(record.key.rpartition("/")[2])
        if code is None or record.operation != "PutObject":
            return None
        held = [each.session for each in self._rig.store._keyring._principals.values() if each.session]
        body = ECHO.format(code=code, token=held[-1].token, secret=held[-1].secret_key)
        return Fault(status=400, body=body.encode(), headers={"Content-Type": "application/xml"})

    def after(self, _record: Record) -> Fault | None:
        return None


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxies.running() as made:
        yield made


@pytest.fixture
def rig(tmp_path: Path, proxy: Proxy) -> Iterator[Rig]:
    with Rig(tmp_path, rescan="1h") as rig:
        rig.store.faults = Echoing(rig)
        way = f', proxy: "http://cam:{PASSWORD}@127.0.0.1:{proxy.port}"}}'
        text = rig.config.read_text().replace("addressing_style: path}", "addressing_style: path" + way)
        rig.config.write_text(text.replace("level: info", "level: debug"))
        yield rig


@pytest.fixture
def ask(rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    return asking(rig.config, capfd)


def canaries(rig: Rig) -> list[str]:
    held = [each.session for each in rig.store._keyring._principals.values() if each.session]
    keys = [secret for session in held for secret in (session.secret_key, session.token)]
    return [TOKEN, PASSWORD, unquote(PASSWORD), *keys]


def behind_the_verbs(rig: Rig, ask: Ask) -> str:
    """All that the verbs print, of a daemon that runs or of none."""
    film, denied = str(rig.inbox / "film"), str(rig.inbox / "denied")
    questions = [
        *(("check",), ("status",), ("status", "--json"), ("plan",), ("plan", "--json")),
        *(("files",), ("files", "--json"), ("orphans",), ("orphans", "--json")),
        *(("verify",), ("verify", "--json"), ("retry", "--all"), ("rescan",), ("pause",), ("resume",)),
        *(("creds",), ("creds", "--format", "env"), ("creds", "--try")),
        *(("explain", film), ("explain", denied), ("explain", denied, "--json")),
    ]
    said = [ask(*question) for question in questions]
    assert sum(each.code == 0 for each in said) > 12
    return "".join(each.out + each.err for each in said)


def behind_the_socket(rig: Rig) -> str:
    client = Client(rig.place / "s" / "control.sock")
    name = str(rig.inbox / "denied").encode()
    answers = [client.status(), client.explain(name), client.files(None, 0), client.plan(None)]
    return json.dumps([*answers, client.uploads(), client.proven(None)])


def on_the_disk(rig: Rig) -> str:
    kept = [path for path in (rig.place / "state").rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in kept).decode("latin-1")


def around_the_process(rig: Rig) -> str:
    place = Path(f"/proc/{rig.pid()}")
    return (place / "cmdline").read_text() + (place / "environ").read_text(errors="replace")


def look_for_canaries(rig: Rig, doors: dict[str, str]) -> None:
    assert len(canaries(rig)) > 4
    for door, words in doors.items():
        assert len(words) > 100
        told = [secret for secret in canaries(rig) if secret in words]
        assert not told, f"{door} tells {told}"


class Repeating:
    """An API that repeats the token in its complaint."""

    def before(self, _record: Record) -> Fault | None:
        return Fault(status=403, code="forbidden", message=f"the token {TOKEN} is not known")

    def after(self, _record: Record) -> Fault | None:
        return None


REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


def test_no_secret_leaves_by_any_door(rig: Rig, ask: Ask, proxy: Proxy) -> None:
    rig.drop("film", noise(6_000_000))
    rig.drop("denied", b"no")
    rig.launch()
    rig.wait(lambda: "cam/inbox/film" in rig.store.objects(), what="the object")
    rig.wait(lambda: "InvalidToken" in "".join(rig.said), what="the refusal")
    doors = {"verbs": behind_the_verbs(rig, ask), "socket": behind_the_socket(rig)}
    doors["process"] = around_the_process(rig)
    proxy.refuse = REFUSAL
    doors["verbs behind a closed proxy"] = (
        ask("orphans").err + ask("status").out + ask("status", "--json").out
    )
    rig.endpoint.faults = Repeating()
    doors["verbs without credentials"] = ask("creds").err + ask("status", "--json").out
    assert rig.stop() == 0
    doors["log"] = "".join(rig.said)
    doors["verbs without a daemon"] = ask("status", "--json").out + ask("files").out
    doors["disk"] = on_the_disk(rig)
    look_for_canaries(rig, doors)


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_nobody_foresaw_is_told_without_the_secrets_in_its_words(rig: Rig, form: str) -> None:
    rig.config.write_text(rig.config.read_text().replace("format: json", f"format: {form}"))
    rig.around = [sys.executable, "-c", PLANTED]
    rig.drop("cursed", b"x")
    rig.launch()
    assert rig.ended() == 1
    doors = {"log": "".join(rig.said), "disk": on_the_disk(rig)}
    assert "RuntimeError" in doors["log"]
    look_for_canaries(rig, doors)
