"""While the ledger cannot be opened the page says so, as the socket does; and it makes room for the daemon's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.visitor import Said, Visitor, free_port

from syncd import waiting
from syncd.config import Surroundings, load
from syncd.console.client import Client
from syncd.errors import LedgerAway


def test_the_page_tells_what_the_socket_tells_until_the_ledger_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "config.yaml").write_text(f"""
credentials: {{api: {{url: "http://127.0.0.1:1/", token_file: {tmp_path}/token}}}}
folders: [{{path: {tmp_path}/inbox}}]
state: {tmp_path}/state.db
console: {{socket: {tmp_path}/s, listen: "127.0.0.1:{port}"}}
""")
    config = load(tmp_path / "config.yaml", Surroundings.from_system())
    visitor, pages = Visitor(port), list[Said]()
    tries = 0

    def build() -> str:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise LedgerAway(f"the disk is gone ({tries})", hint="plug it in")
        return "built"

    def look(_seconds: float) -> bool:
        pages.append(visitor.get())
        assert visitor.get("/status.json").document["reasons"] == Client(config.socket).status()["reasons"]
        assert 'syncd_state{state="blocked"} 1.0' in visitor.get("/metrics").text
        assert visitor.get("/healthz").status == 200, "it has not lasted long"
        return False

    monkeypatch.setattr(waiting, "_told_to_end", look)
    for name in ("FRESH_S", "DEAREST"):
        monkeypatch.setattr(f"syncd.console.page.snapshot.{name}", 0)
    assert waiting.until_open(config, build) == "built"
    with pytest.raises(OSError, match="refused"):
        visitor.get()
    assert [f"the disk is gone ({number})" in page.text for number, page in enumerate(pages, 1)] == [True] * 3
    assert "plug it in" in pages[0].text
