"""`syncd check`: a summary when all is well, every mistake at once when it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.mounts import mounted_as

from syncd.cli import main


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "inbox").mkdir()
    token = tmp_path / "token"
    token.write_text("secret-token")
    token.chmod(0o600)

    def config(extra: str = "", folder: str = f"{tmp_path}/inbox") -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(
            f"device: cam-07\n"
            f"credentials: {{api: {{url: 'https://api.example.com/v1/credentials', token_file: '{token}'}}}}\n"
            f"folders: [{{path: '{folder}'}}]\n"
            f"state: {tmp_path}/state/state.db\n{extra}"
        )
        return path

    return config


def test_a_sound_configuration_is_ok_and_summed_up(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("destination: {bucket: my-captures, region: eu-central-1}\n")
    assert main(["check", "-c", str(path)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines() == [
        f"{path}: ok",
        "  device       cam-07",
        f"  credentials  https://api.example.com/v1/credentials, token in {tmp_path}/token",
        "  destination  bucket my-captures at AWS, region eu-central-1",
        f"  folder       inbox: {tmp_path}/inbox, keys {{prefix}}{{folder}}/{{path}}",
        f"  ledger       {tmp_path}/state/state.db",
        f"  socket       {tmp_path}/state/control.sock",
    ]
    assert not (tmp_path / "state").exists(), "a check changes nothing"


def test_a_warning_is_told_and_the_configuration_is_ok_all_the_same(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(folder="/nonexistent/capture")
    assert main(["check", "-c", str(path)]) == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"{path}: warning: folders[0].path: /nonexistent/capture does not exist")
    assert told.out.startswith(f"{path}: ok\n")


@pytest.mark.parametrize(("kind", "warned"), [("nfs4", True), ("cifs", True), ("ext4", False)])
def test_a_ledger_on_a_network_file_system_is_warned_about(
    write: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    warned: bool,
) -> None:
    mounted_as(kind, tmp_path, monkeypatch)
    assert main(["check", "-c", str(write())]) == 0
    told = capsys.readouterr()
    text = f"state: {tmp_path}/state lies on a network file system, where a ledger can be damaged"
    assert (text in told.err) is warned
    assert ": ok\n" in told.out


def test_all_mistakes_come_at_once_with_their_places(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("bukcet: x\nupload: {files: many}\n")
    assert main(["check", "-c", str(path)]) == 78
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.partition(": ")[0] for line in told.err.splitlines()] == [f"{path}:5:1", f"{path}:6:10"]


def test_what_keeps_the_daemon_from_working_is_an_error_though_the_file_is_sound(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write()
    (tmp_path / "token").chmod(0o644)
    assert main(["check", "-c", str(path)]) == 78
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"{path}: credentials.api.token_file: {tmp_path}/token has mode 0644")
