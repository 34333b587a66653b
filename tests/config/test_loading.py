from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pydantic
import pytest

import syncd.config
from syncd.config import Config, Surroundings, default_path, load
from syncd.errors import ConfigError

Read = Callable[..., Config]
Written = Callable[[dict[str, str]], str]


def test_a_minimal_file_gets_every_default(read: Read, written: Written) -> None:
    config = read(written({}))

    assert config.device == "cam-07"
    assert config.credentials.api.timeout == timedelta(seconds=30)
    assert config.credentials.api.renew_before == timedelta(minutes=10)
    assert config.destination.model_dump() == {
        "bucket": None,
        "prefix": None,
        "region": None,
        "endpoint_url": None,
        "addressing_style": "auto",
        "ca_file": None,
        "proxy": None,
        "expected_bucket_owner": None,
        "storage_class": None,
        "server_side_encryption": None,
        "kms_key_id": None,
        "content_type": "auto",
        "metadata": {},
        "tags": {},
        "checksum": "auto",
        "if_exists": "refuse",
    }
    (folder,) = config.folders
    assert (folder.path, folder.name, folder.recursive) == (Path("/srv/capture"), "capture", True)
    assert folder.include == ("**",)
    assert folder.exclude == (".*", "*.tmp", "*.part", "*.partial", "*~")
    assert folder.key == "{prefix}{folder}/{path}"
    assert folder.complete_when.model_dump() == {
        "quiet": timedelta(seconds=10),
        "not_open": "auto",
        "marker": None,
    }
    assert (folder.watch, folder.rescan) == ("auto", timedelta(minutes=5))
    assert config.upload.model_dump() == {
        "part_size": 16 * 2**20,
        "multipart_threshold": 16 * 2**20,
        "files": 4,
        "parts": 4,
        "memory": 128 * 2**20,
        "max_rate": None,
        "connect_timeout": timedelta(seconds=30),
        "read_timeout": timedelta(seconds=120),
    }
    assert config.state == Path("/var/lib/syncd/state.db")
    assert config.socket == config.console.socket == Path("/run/syncd/control.sock")
    assert config.log.model_dump() == {"level": "info", "format": "auto"}


def test_every_key_can_be_given(read: Read) -> None:
    config = read("""
device: "007"
credentials: {api: {url: "http://[::1]:8080/c", token_file: /t, ca_file: /ca.pem, timeout: 500ms, renew_before: 1h30m}}
destination:
  {bucket: b.b, prefix: "a/b-", region: eu-central-1, endpoint_url: "http://10.0.0.1:9000", addressing_style: path,
   ca_file: /s3.pem, checksum: none}
folders:
  - {path: /srv//a/./x/, name: Ä b, recursive: false, include: ["*.mp4", "run-*/**/[a-z]?"], exclude: [],
     key: "{device}/{mtime:%Y}/{path}", complete_when: {quiet: 0s, not_open: off, marker: "{stem}.done"},
     watch: poll, rescan: 1s}
  - path: "/srv/b"
upload:
  {part_size: 5MiB, multipart_threshold: 1B, files: 64, parts: 64, memory: 64MiB, connect_timeout: 1s, read_timeout: 1ms}
state: /s/l.db
console: {socket: /s/c}
log: {level: debug, format: console}
""")
    assert config.device == "007"
    assert config.credentials.api.url == "http://[::1]:8080/c"
    assert config.credentials.api.renew_before == timedelta(minutes=90)
    assert config.destination.prefix == "a/b-"
    assert config.destination.endpoint_url == "http://10.0.0.1:9000"
    first, second = config.folders
    assert (first.path, first.name, first.recursive, first.exclude) == (Path("/srv/a/x"), "Ä b", False, ())
    assert first.complete_when.not_open == "off"
    assert first.complete_when.marker == "{stem}.done"
    assert second.name == "b"
    assert (config.upload.memory, config.upload.multipart_threshold) == (64 * 2**20, 1)
    assert config.upload.read_timeout == timedelta(milliseconds=1)
    assert (config.state, config.socket) == (Path("/s/l.db"), Path("/s/c"))
    assert config.log.format == "console"


def test_null_is_the_default_where_there_is_one_to_fill_in(read: Read, written: Written) -> None:
    nulls = {
        "device": "null",
        "state": "~",
        "console.socket": "",
        "folders[0].name": "null",
        "destination.prefix": "null",
        "folders[0].complete_when.marker": "null",
    }
    assert read(written(nulls)) == read(written({}))


def test_the_tree_is_frozen(read: Read, written: Written) -> None:
    config = read(written({}))
    with pytest.raises(pydantic.ValidationError):
        config.device = "other"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("host_name", "device"),
    [
        ("cam-07.example.com", "cam-07.example.com"),
        ("_über cam", "ber-cam"),
        ("x" * 64, "x" * 58),
    ],
)
def test_the_host_name_is_made_fit_for_a_device(
    read: Read, written: Written, surroundings: Surroundings, host_name: str, device: str
) -> None:
    around = dataclasses.replace(surroundings, host_name=host_name)
    assert read(written({}), around).device == device


def test_a_host_name_without_a_usable_letter_asks_for_a_device(
    problems: Callable[..., list[str]], written: Written, surroundings: Surroundings
) -> None:
    around = dataclasses.replace(surroundings, host_name="---")
    assert problems(written({}), around=around) == [
        "config.yaml:1:1: device: is missing, and the host name cannot stand for it: give the device a name"
    ]


@pytest.mark.parametrize(
    ("environ", "home", "state", "control"),
    [
        ({"STATE_DIRECTORY": "/a:/b"}, "/h", "/a/state.db", "/a/control.sock"),
        ({"RUNTIME_DIRECTORY": "/r:/q"}, "/h", "/h/.local/state/syncd/state.db", "/r/control.sock"),
        ({"XDG_STATE_HOME": "/x"}, None, "/x/syncd/state.db", "/x/syncd/control.sock"),
        (
            {"XDG_STATE_HOME": "relative", "STATE_DIRECTORY": ""},
            "/h",
            "/h/.local/state/syncd/state.db",
            "/h/.local/state/syncd/control.sock",
        ),
    ],
)
def test_ledger_and_socket_lie_where_the_system_says(
    read: Read, written: Written, environ: dict[str, str], home: str | None, state: str, control: str
) -> None:
    around = Surroundings(environ=environ, host_name="h", home=Path(home) if home else None)
    config = read(written({}), around)
    assert (str(config.state), str(config.socket)) == (state, control)


def test_the_socket_lies_beside_a_ledger_that_is_given(read: Read, written: Written) -> None:
    around = Surroundings(environ={}, host_name="h", home=None)
    assert read(written({"state": "/a/b.db"}), around).socket == Path("/a/control.sock")


def test_without_any_home_the_state_must_be_given(
    problems: Callable[..., list[str]], written: Written
) -> None:
    around = Surroundings(environ={}, host_name="h", home=None)
    (problem,) = problems(written({}), around=around)
    assert problem.startswith("config.yaml:1:1: state: is missing, and there is no home directory")


def test_the_token_comes_from_the_credentials_directory(
    read: Read, written: Written, surroundings: Surroundings
) -> None:
    around = dataclasses.replace(
        surroundings, environ={**surroundings.environ, "CREDENTIALS_DIRECTORY": "/run/c:/d"}
    )
    config = read(written({"credentials.api.token_file": "null"}), around)
    assert config.credentials.api.token_file == Path("/run/c/token")


def test_without_a_credentials_directory_the_token_file_must_be_given(
    problems: Callable[..., list[str]], written: Written
) -> None:
    (problem,) = problems(written({"credentials.api.token_file": "null"}))
    assert problem.startswith(
        "config.yaml:4:5: credentials.api.token_file: is missing, expected the absolute path"
    )
    assert "LoadCredential" in problem


def test_the_surroundings_of_this_process_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    found = Surroundings.from_system()
    assert (found.home, found.host_name) == (Path("/somewhere"), socket.gethostname())
    monkeypatch.setenv("HOME", "relative")
    assert Surroundings.from_system().home is None


def test_the_file_is_named_by_the_environment_or_lies_in_etc() -> None:
    assert default_path({}) == default_path({"SYNCD_CONFIG": ""}) == Path("/etc/syncd/config.yaml")
    assert default_path({"SYNCD_CONFIG": "/x.yaml"}) == Path("/x.yaml")


def test_load_takes_the_systems_surroundings_by_default(tmp_path: Path, written: Written) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(written({"device": "given", "state": "/s/l.db"}))
    assert load(path).device == "given"


def test_a_missing_file_is_one_problem_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.problems == [
        f"{tmp_path}/none.yaml: cannot be read: No such file or directory; name the file with -c FILE or $SYNCD_CONFIG"
    ]
    assert caught.value.exit_code == 78


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(tmp_path / "c.yaml")


def test_units_and_paths_are_to_be_had_without_waiting_for_the_yaml_reader() -> None:
    code = (
        "import sys, syncd.config.units; from syncd.config import default_path;"
        " assert not {'yaml', 'pydantic'} & sys.modules.keys();"
        " from syncd.config import Config, load; assert {'yaml', 'pydantic'} <= sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError):
        syncd.config.nothing  # noqa: B018 - looking is the point


def test_a_path_that_nobody_answers_for_is_waited_for_once_and_stays_as_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, asked = threading.Event(), list[str]()
    monkeypatch.setattr("syncd.config.surroundings._RealPath.PATIENCE_S", 0.02)
    monkeypatch.setattr("os.path.realpath", lambda path: asked.append(path) or (go.wait(60) and path))
    found = Surroundings.from_system()
    assert [found.real_path(path) for path in ("/share", "/other")] == ["/share", "/other"]
    assert asked == ["/share"]
    go.set()
