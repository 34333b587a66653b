"""Letting a device in: what is written, what is left as it was, and what is refused."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from syncd.adapters.credentials.bearer import TokenFile
from syncd.cli import main
from syncd.credential_api.devices import BadRegistration, Device, digest_of
from syncd.credential_api.dynamodb import Table, dynamodb_client
from syncd.credential_api.enrol import NotEditable, add_device, add_token
from syncd.credential_api.registry import Registry, read_registry


def device(name: str, **changes: Any) -> Device:
    return Device(**{"name": name, "bucket": "captures", "prefix": f"{name}/", **changes})


def names(path: Path) -> list[str]:
    return [each.name for _, each in read_registry(path)]


HAND_WRITTEN = """\
# ours
defaults: {bucket: captures}

devices:
    # the first
    cam-01:   # north
        token_sha256: "%s"
        # trailing

# the end
"""


def test_the_first_device_makes_the_file(tmp_path: Path) -> None:
    add_device(tmp_path / "devices.yaml", device("cam-07"), digest_of("t"))
    assert Registry(tmp_path / "devices.yaml").by_digest(digest_of("t")) == device("cam-07")
    assert (tmp_path / "devices.yaml").stat().st_mode & 0o777 == 0o640


def test_all_that_was_written_by_hand_stays(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    before = HAND_WRITTEN % digest_of("1")
    path.write_text(before)
    path.chmod(0o644)
    add_device(path, device("no", tagging=True), digest_of("2"), spell_bucket=False)
    after = path.read_text().splitlines()
    assert [line for line in after if line in before.splitlines()] == before.splitlines()
    assert names(path) == ["cam-01", "no"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "before",
    [
        *("devices:", "devices:\n", "devices:\ndefaults: {bucket: b-1}\n", "---\ndevices:\n...\n"),
        'devices:\n  a: {token_sha256: "%s", bucket: b-1}',
        'devices:\n  a:\n    bucket: b-1\n    token_sha256:\n      - "%s"\ndefaults:\n  bucket: b-1\n',
        'devices:\r\n  a:\r\n    bucket: b-1\r\n    token_sha256: "%s"\r\n',
    ],
)
def test_a_device_can_be_put_behind_any_usual_layout(tmp_path: Path, before: str) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(before.replace("%s", digest_of("1")), newline="")
    add_device(path, device("cam-07"), digest_of("2"))
    add_device(path, device("cam-08"), digest_of("3"))
    assert names(path)[-2:] == ["cam-07", "cam-08"]


@pytest.mark.parametrize(
    "before", ["{devices: {}}", "{devices: {}, defaults: {bucket: b-1}}\n", "devices: {}\n", "devices: ~\n"]
)
def test_what_cannot_be_done_by_adding_lines_is_not_done(tmp_path: Path, before: str) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(before)
    with pytest.raises(NotEditable):
        add_device(path, device("cam-07"), digest_of("2"))
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("other", [device("cam-01", prefix="x/"), device("cam-02", prefix="cam-01/x/")])
def test_a_device_that_would_be_in_the_way_of_another_is_refused(tmp_path: Path, other: Device) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(HAND_WRITTEN % digest_of("1"))
    with pytest.raises(BadRegistration):
        add_device(path, other, digest_of("2"))
    assert path.read_text() == HAND_WRITTEN % digest_of("1")


class Operator:
    """No root: may give a file to his own groups, and to nobody. What he makes has his first group."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, old: os.stat_result, *groups: int) -> None:
        self._uid, self._gid, self._groups = old.st_uid + 1, groups[0], groups
        self.gave: list[int] = []
        self._fstat = os.fstat
        monkeypatch.setattr(os, "fchown", self._fchown)
        monkeypatch.setattr(os, "fstat", self._found)

    def _fchown(self, _: int, uid: int, gid: int) -> None:
        if uid not in {-1, self._uid} or gid not in self._groups:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        self._gid = gid
        self.gave.append(gid)

    def _found(self, descriptor: int) -> os.stat_result:
        real = self._fstat(descriptor)
        return os.stat_result((*real[:4], self._uid, self._gid, *real[6:]))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "devices.yaml"
    path.write_text(HAND_WRITTEN % digest_of("1"))
    path.chmod(0o640)
    return path


def test_who_may_not_give_the_file_away_still_gives_it_to_its_group(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = kept.stat()
    operator = Operator(monkeypatch, old, old.st_gid + 7, old.st_gid)
    add_device(kept, device("cam-02"), digest_of("2"))
    assert operator.gave == [old.st_gid]
    assert names(kept) == ["cam-01", "cam-02"]


@pytest.mark.parametrize(("mode", "code"), [(0o640, 1), (0o600, 0)])
def test_a_file_that_its_group_would_lose_is_left_alone(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: int, code: int
) -> None:
    kept.chmod(mode)
    old = kept.stat()
    Operator(monkeypatch, old, old.st_gid + 7)
    assert main(["credential-api", "add-device", "cam-02", "--registry", str(kept)]) == code
    told = capsys.readouterr()
    assert ("as root or as a member of that group" in told.err) == bool(code)
    assert (told.out == "") == bool(code)
    assert names(kept) == (["cam-01"] if code else ["cam-01", "cam-02"])
    assert (kept.stat().st_ino == old.st_ino) == bool(code)
    assert list(kept.parent.iterdir()) == [kept]


def test_a_server_need_not_let_an_added_device_rest(kept: Path) -> None:
    registry = Registry(kept)
    add_device(kept, device("cam-02"), digest_of("2"))
    assert registry.by_digest(digest_of("2")) == device("cam-02")


def test_of_many_that_add_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add_device(path, device(f"cam-{n}"), digest_of(str(n))), range(40)))
    assert sorted(names(path)) == sorted(f"cam-{n}" for n in range(40))


# -- the verb


ADD = [sys.executable, "-m", "syncd", "credential-api", "add-device"]


def add(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ADD, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_token_is_shown_once_alone_on_stdout_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    done = add("cam-07", "--registry", str(path), "--bucket", "captures", "--expires", "2027-01-15T08:00:00Z")
    token = done.stdout
    assert done.returncode == 0
    assert token.split() == [token]  # in a file it has no line's end: botocore refuses one
    assert Registry(path).by_digest(digest_of(token)) == device("cam-07", expires_at=1_800_000_000.0)
    assert token not in path.read_text() + done.stderr
    assert digest_of(token) not in done.stderr


def test_on_a_terminal_the_token_has_a_line_of_its_own(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    options = ["cam-07", "--registry", str(tmp_path / "devices.yaml"), "--bucket", "captures"]
    done = subprocess.run([*ADD, *options], stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 1000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.endswith("\n")
    assert Registry(tmp_path / "devices.yaml").by_digest(digest_of(shown.strip())) == device("cam-07")


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_daemon_takes_a_token_file_with_and_without_a_lines_end(tmp_path: Path, end: str) -> None:
    token = add("cam-07", "--registry", str(tmp_path / "devices.yaml"), "--bucket", "captures").stdout
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(token + end)
    assert TokenFile(file).read() == token


def test_the_bucket_of_the_file_and_the_environment_count(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(HAND_WRITTEN % digest_of("1"))
    done = add("cam-02", SYNCD_API_REGISTRY=str(path))
    assert done.returncode == 0
    assert path.read_text().count("bucket") == 1
    assert Registry(path).by_digest(digest_of(done.stdout.strip())) == device("cam-02")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cam-07"], 2),
        (["cam-07", "--registry", "R", "--table", "t", "--bucket", "captures"], 2),
        (["cam-07", "--registry", "R"], 2),
        (["a b", "--registry", "R", "--bucket", "captures"], 2),
        (["cam-07", "--registry", "R", "--bucket", "captures", "--prefix", "*/"], 2),
        (["cam-07", "--registry", "R", "--bucket", "captures", "--expires", "2027-01-01"], 2),
        (["cam-07", "--registry", "R/none/there", "--bucket", "captures"], 1),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    given = [
        each.replace("R", str(tmp_path / "devices.yaml"), 1) if each[0] == "R" else each for each in arguments
    ]
    assert main(["credential-api", "add-device", *given]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err
    assert "should not have happened" not in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_registry_is_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "devices.yaml"
    for broken in ("devices: 7", "", "defaults: {bucket: 123}\ndevices: {}", "devices: {a: {{ x }}}"):
        path.write_text(broken)
        words = ["credential-api", "add-device", "a", "--registry", str(path), "--bucket", "captures"]
        assert main(words) == 78
        assert str(path) in capsys.readouterr().err


@mock_aws
def test_a_device_can_be_let_into_a_table_and_given_another_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("dynamodb", region_name="eu-central-1").create_table(
        TableName="devices",
        KeySchema=[{"AttributeName": "digest", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "digest", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    arguments = ["credential-api", "add-device", "--table", "devices"]
    for name in ("SYNCD_API_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")  # boto3 itself does not look at this one
    tokens = []
    for more in (["--bucket", "captures"], ["--another-token"]):
        assert main([*arguments, "cam-07", *more]) == 0
        tokens.append(capsys.readouterr().out.strip())
    table = Table(dynamodb_client("eu-central-1"), "devices")
    assert [table.by_digest(digest_of(token)) for token in tokens] == [device("cam-07")] * 2
    assert main([*arguments, "cam-07", "--bucket", "others"]) == 78
    assert main([*arguments, "x", "--bucket", "captures", "--prefix", "cam-07/x/"]) == 78
    assert main([*arguments, "y", "--another-token"]) == 78
    assert (
        main(
            [
                "credential-api",
                "add-device",
                "a",
                "--table",
                "none",
                "--region",
                "eu-west-1",
                "--bucket",
                "b-1",
            ]
        )
        == 1
    )
    assert "should not" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "tokens",
    [
        *('"%s"   # one', "%s", '["%s"]', "[ '%s' ]  # one"),
        '\n      - "%s"   # one\n      # the end',
        '\n    - "%s"',
    ],
)
def test_a_device_can_be_given_another_token_beside_the_first(tmp_path: Path, tokens: str) -> None:
    path = tmp_path / "devices.yaml"
    before = f"devices:\n  cam-07:\n    token_sha256: {tokens % digest_of('1')}\n    bucket: captures\n"
    path.write_text(before)
    add_token(path, "cam-07", digest_of("2"))
    add_token(path, "cam-07", digest_of("3"))
    registry = Registry(path)
    assert [registry.by_digest(digest_of(each)) for each in "123"] == [device("cam-07")] * 3
    assert ("# one" in path.read_text()) == ("# one" in tokens)


def test_another_token_is_shown_too_and_only_for_a_device_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "devices.yaml"
    add_device(path, device("cam-07"), digest_of("1"))
    arguments = ["credential-api", "add-device", "--registry", str(path), "--another-token"]
    assert main([*arguments, "cam-07"]) == 0
    assert Registry(path).by_digest(digest_of(capsys.readouterr().out.strip())) == device("cam-07")
    assert main([*arguments, "cam-07", "--tagging"]) == 2, "it would be passed over"
    assert main([*arguments, "cam-08"]) == 78
