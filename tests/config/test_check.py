"""What `check` finds when it holds a sound configuration against a real file system."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.config import Config, Surroundings
from syncd.config.check import Finding, warnings

Written = Callable[[dict[str, str]], str]


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Keys of a machine on which all is well."""
    folder, token, state = tmp_path / "in", tmp_path / "token", tmp_path / "state" / "syncd.db"
    folder.mkdir()
    state.parent.mkdir()
    token.write_text("t")
    token.chmod(0o640)
    return {
        "device": "cam-07",
        "credentials.api.token_file": str(token),
        "folders[0].path": str(folder),
        "state": str(state),
        "console.socket": "/run/syncd.sock",
    }


@pytest.fixture
def find(
    read: Callable[..., Config], written: Written, surroundings: Surroundings, machine: dict[str, str]
) -> Callable[..., list[Finding]]:
    def _find(changes: dict[str, str] | None = None) -> list[Finding]:
        return warnings(read(written(machine | (changes or {}))), surroundings)

    return _find


Find = Callable[..., list[Finding]]


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_machine_on_which_all_is_well_has_no_findings(find: Find) -> None:
    assert find() == []


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o620, 0o602, 0o777])
def test_a_token_that_others_can_read_or_write_is_an_error(find: Find, tmp_path: Path, mode: int) -> None:
    (tmp_path / "token").chmod(mode)
    finding = only(find())
    assert (finding.severity, finding.where) == ("error", "credentials.api.token_file")
    assert f"has mode {mode:04o}" in finding.text
    assert finding.hint == f"chmod o=,g-w {tmp_path}/token"


def test_a_client_key_is_looked_at_as_the_token_is(find: Find, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    both = {f"credentials.api.client_{name}": str(pem) for name in ("cert", "key")}
    assert {finding.where for finding in find(both)} == set(both)
    pem.write_text("PEM")
    pem.chmod(0o644)
    finding = only(find(both))
    assert (finding.severity, finding.where) == ("error", "credentials.api.client_key")
    assert finding.hint == f"chmod o=,g-w {pem}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_token_for_its_owner_and_a_reading_group_is_fine(find: Find, tmp_path: Path, mode: int) -> None:
    (tmp_path / "token").chmod(mode)
    assert find() == []


def test_a_token_file_that_is_missing_or_no_file_is_an_error(find: Find, tmp_path: Path) -> None:
    assert "does not exist" in only(find({"credentials.api.token_file": f"{tmp_path}/none"})).text
    assert "is no regular file" in only(find({"credentials.api.token_file": str(tmp_path)})).text


@pytest.mark.parametrize("key", ["credentials.api.ca_file", "destination.ca_file"])
def test_a_ca_file_that_is_missing_or_no_file_is_an_error(find: Find, tmp_path: Path, key: str) -> None:
    for path, text in ((tmp_path / "none", "does not exist"), (tmp_path, "is no readable file")):
        finding = only(find({key: str(path)}))
        assert (finding.severity, finding.where) == ("error", key)
        assert text in finding.text
    assert find({key: f"{tmp_path}/token"}) == []


def test_http_to_another_machine_is_a_warning(find: Find) -> None:
    finding = only(find({"destination.endpoint_url": "http://10.0.0.1:9000"}))
    assert (finding.severity, finding.where) == ("warning", "destination.endpoint_url")
    assert find({"destination.endpoint_url": "http://127.0.0.1:9000"}) == []
    assert find({"destination.endpoint_url": "https://10.0.0.1"}) == []


def test_a_folder_that_is_missing_or_no_directory_waits_with_a_warning(find: Find, tmp_path: Path) -> None:
    finding = only(find({"folders[0].path": f"{tmp_path}/none"}))
    assert (finding.severity, finding.where) == ("warning", "folders[0].path")
    assert "does not exist: the folder waits" in finding.text
    (tmp_path / "file").touch()
    assert "is no directory" in only(find({"folders[0].path": f"{tmp_path}/file"})).text
    assert "cannot be looked at" in only(find({"folders[0].path": f"{tmp_path}/file/below"})).text


def test_what_this_user_may_not_read_or_write_is_found(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may do everything
    found = {finding.where: finding for finding in find()}
    assert found["credentials.api.token_file"].severity == "error"
    assert found["folders[0].path"].severity == "warning"
    assert found["state"].severity == "error"
    assert f"{tmp_path}/state is not writable" in found["state"].text


def test_a_state_directory_yet_to_be_made_is_judged_by_the_one_above(find: Find, tmp_path: Path) -> None:
    assert find({"state": f"{tmp_path}/state/a/b/c.db"}) == []
    (tmp_path / "file").touch()
    assert only(find({"state": f"{tmp_path}/file/c.db"})).severity == "error"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{prefix}/{path}", "parks every file while the prefix is 'cam-07/'"),
        ("{prefix}{mtime:%Y}", "has no {path}, {name} or {stem}"),
    ],
)
def test_a_template_that_parks_files_by_itself_is_a_warning(find: Find, template: str, told: str) -> None:
    finding = only(find({"folders[0].key": f'"{template}"'}))
    assert (finding.severity, finding.where) == ("warning", "folders[0].key")
    assert finding.text.startswith(told)


def test_two_folders_with_one_template_without_the_folder_is_a_warning(
    read: Callable[..., Config], surroundings: Surroundings, tmp_path: Path
) -> None:
    (tmp_path / "token").touch(mode=0o600)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()

    def found(first: str, second: str) -> list[Finding]:
        return warnings(
            read(f"""
credentials: {{api: {{url: https://example.com, token_file: {tmp_path}/token}}}}
folders: [{{path: {tmp_path}/a, key: "{first}"}}, {{path: {tmp_path}/b, key: "{second}"}}]
state: {tmp_path}/state.db
"""),
            surroundings,
        )

    with_folder, without = "{prefix}{folder}/{path}", "{prefix}{path}"
    finding = only(found(without, without))
    assert (finding.severity, finding.where) == ("warning", "folders[1].key")
    assert found(with_folder, with_folder) == []
    assert found(without, with_folder) == []


def test_our_own_files_inside_a_watched_folder_are_a_warning(find: Find, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("in")
    finding = only(find({"state": f"{tmp_path}/link/state.db"}))
    assert (finding.severity, finding.where) == ("warning", "state")
    assert "lies inside folders[0].path" in finding.text
    (tmp_path / "in" / "token").touch(mode=0o600)
    assert only(find({"credentials.api.token_file": f"{tmp_path}/in/token"})).severity == "warning"


def test_a_socket_path_beyond_what_the_system_takes_is_a_warning(find: Find) -> None:
    assert find({"console.socket": "/" + "s" * 106}) == []
    assert only(find({"console.socket": "/" + "s" * 107})).where == "console.socket"


def test_a_machine_called_localhost_is_a_warning(find: Find) -> None:
    assert only(find({"device": "localhost.localdomain"})).where == "device"
