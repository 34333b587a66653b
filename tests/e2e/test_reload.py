"""SIGHUP: another configuration takes over while uploads go on; a broken one is told and changes nothing."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rig import Rig, noise

MIB = 1 << 20


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path, quiet="0s") as made:
        yield made


def status(rig: Rig) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(rig.run("status", "--json").stdout)
    return answer


def reload(rig: Rig, event: str = "reloaded") -> None:
    known = sum(each.get("event") == event for each in rig.events)
    assert rig.child is not None
    rig.child.send_signal(signal.SIGHUP)
    rig.wait(lambda: sum(each.get("event") == event for each in rig.events) > known, what=event)


def change(rig: Rig, old: str, new: str) -> None:
    text = rig.config.read_text()
    assert old in text
    rig.config.write_text(text.replace(old, new))


def with_folders(rig: Rig, *paths: Path) -> None:
    """The configuration with these folders, each as the rig's own one."""
    text = rig.config.read_text()
    begin = text.index("folders:")
    end = text.index("upload:")
    entry = text[begin:end].split("  - ", 1)[1].split("\n  - ")[0]
    entries = "".join("  - " + entry.replace(str(rig.inbox), str(path)).rstrip() + "\n" for path in paths)
    rig.config.write_text(text[:begin] + "folders:\n" + entries + text[end:])


def test_folders_rate_and_level_change_while_a_large_upload_goes_on(rig: Rig) -> None:
    more = rig.place / "more"
    more.mkdir()
    rig.pace.seconds = 0.3
    rig.start()
    rig.drop("film", noise(40 * MIB))
    rig.wait(lambda: len(rig.successes("UploadPart")) >= 2, what="the first parts")

    (rig.place / "config.good").write_text(rig.config.read_text())
    rig.config.write_text("folders: [oops\n")
    reload(rig, "reload_refused")
    assert rig.child is not None
    assert rig.child.poll() is None
    rig.config.write_text((rig.place / "config.good").read_text())

    with_folders(rig, rig.inbox, more)
    change(rig, "upload: {", "upload: {max_rate: 500MB/s, ")
    reload(rig)
    (more / "note").write_bytes(b"from the new folder")
    rig.wait(lambda: "cam/more/note" in rig.store.objects(), what="the file of the new folder")

    with_folders(rig, more)
    reload(rig)
    rig.drop("too late", b"its folder is taken out")
    rig.pace.seconds = 0.0
    rig.wait(lambda: "cam/inbox/film" in rig.store.objects(), what="the upload that was open")
    (more / "last").write_bytes(b"x")
    rig.wait(lambda: "cam/more/last" in rig.store.objects(), what="the last file")
    assert set(rig.store.objects()) == {"cam/inbox/film", "cam/more/note", "cam/more/last"}
    parts = Counter(record.part_number for record in rig.store.log if record.operation == "UploadPart")
    assert set(parts.values()) == {1}, "a part in flight was dropped by a reload"
    assert [folder["name"] for folder in status(rig)["folders"]] == ["more"]
    assert rig.stop() == 0


def test_a_new_token_and_a_new_destination_are_taken_up(rig: Rig) -> None:
    rig.start()
    rig.drop("first", b"12345")
    rig.wait(lambda: rig.arrived() == 1, what="the first file")
    token = rig.place / "token-2"
    token.write_text((rig.place / "token").read_text())
    token.chmod(0o600)
    change(rig, str(rig.place / "token"), str(token))
    calls = rig.endpoint.calls
    reload(rig)
    rig.wait(lambda: rig.endpoint.calls > calls, what="a call with the new token file")
    rig.drop("second", b"54321")
    rig.wait(lambda: rig.arrived() == 2, what="the second file")
    assert rig.stop() == 0
    rig.assert_everything_arrived_once()


def test_the_ledger_stays_where_it_is_until_a_restart(rig: Rig) -> None:
    rig.start()
    change(rig, "state/state.db", "elsewhere/state.db")
    reload(rig)
    assert rig.has_told("reload_keeps_state")
    rig.drop("film", b"12345")
    rig.wait(lambda: rig.arrived() == 1, what="the file")
    assert not (rig.place / "elsewhere").exists()
    assert rig.stop() == 0
