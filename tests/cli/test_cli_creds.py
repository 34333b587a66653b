"""`syncd creds`: the API's answer in three forms, secrets only where they are asked for."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from support.asking import Ask, asking
from support.rig import Rig
from support.script import Rule, Script

from syncd.attempt import ALL
from syncd.demo.store.faults import Fault
from syncd.telemetry import logs

WRITES = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("creds"), session_seconds=900) as rig:
        yield rig


def test_json_is_what_assume_role_answers_with_the_secrets_hidden(rig: Rig) -> None:
    told = rig.run("creds")
    assert (told.returncode, told.stderr) == (0, "")
    document = json.loads(told.stdout)
    assert document["Destination"] == {"Bucket": "captures", "Prefix": "cam/", "Region": "us-east-1"}
    assert document["AssumedRoleUser"]["Arn"].startswith("arn:aws:sts::")
    keys = document["Credentials"]
    assert keys["AccessKeyId"].startswith("ASIA")
    assert (keys["SecretAccessKey"], keys["SessionToken"]) == ("[hidden]", "[hidden]")
    assert datetime.fromisoformat(keys["Expiration"]).tzinfo is not None


def test_json_shows_the_secrets_to_those_who_ask(rig: Rig) -> None:
    keys = json.loads(rig.run("creds", "--show-secrets").stdout)["Credentials"]
    assert "[hidden]" not in keys.values()
    assert len(keys["SecretAccessKey"]) > 20


def test_process_is_the_form_of_credential_process_with_everything(rig: Rig) -> None:
    told = rig.run("creds", "--format", "process")
    keys = json.loads(told.stdout)
    assert list(keys) == ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"]
    assert keys["Version"] == 1
    assert "[hidden]" not in keys.values()


def test_process_refuses_a_terminal_and_does_not_even_ask(rig: Rig) -> None:
    calls = rig.endpoint.calls
    master, slave = os.openpty()
    try:
        told = subprocess.run(
            rig.command("creds", "--format", "process"),
            stdout=slave,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert told.returncode == 1
    assert "not for a terminal" in told.stderr
    assert rig.endpoint.calls == calls


def test_env_hides_secrets_as_comments(rig: Rig) -> None:
    lines = rig.run("creds", "--format", "env").stdout.splitlines()
    assert lines[0].startswith("export AWS_ACCESS_KEY_ID=ASIA")
    assert lines[1:3] == [
        "# export AWS_SECRET_ACCESS_KEY=[hidden]",
        "# export AWS_SESSION_TOKEN=[hidden]",
    ]


def test_env_with_secrets_is_what_a_shell_takes(rig: Rig) -> None:
    told = rig.run("creds", "--format", "env", "--show-secrets")
    script = 'eval "$1"; printf "%s\\n" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_SESSION_TOKEN"'
    shell = subprocess.run(
        ["sh", "-c", script, "sh", told.stdout], capture_output=True, text=True, check=True
    )
    key, secret, token = shell.stdout.splitlines()
    assert key.startswith("ASIA")
    assert secret in told.stdout
    assert len(token) > 20


def test_an_api_that_refuses_ends_with_1_and_a_hint(rig: Rig) -> None:
    token = rig.place / "token"
    right = token.read_text()
    token.write_text("wrong")
    try:
        told = rig.run("creds")
    finally:
        token.write_text(right)
    assert told.returncode == 1
    assert told.stdout == ""
    first, second = told.stderr.splitlines()
    assert first.startswith("syncd: 127.0.0.1")
    assert "401" in first
    assert second.startswith("hint: ")


def test_an_api_that_is_not_there_ends_with_1(rig: Rig, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        rig.config.read_text().replace(f":{rig.endpoint.url.split(':')[2].split('/')[0]}/v1", ":1/v1")
    )
    told = subprocess.run(
        [*rig.command("creds")[:3], "creds", "-c", str(config)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert told.stderr.startswith("syncd: cannot reach 127.0.0.1")
    assert "Traceback" not in told.stderr


# -- creds --try

KEY = "cam/.syncd/doctor"


@pytest.fixture
def ask(rig: Rig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(logs, "configure", lambda *_args, **_options: None)
    return asking(rig.config, capfd)


def left_behind(rig: Rig) -> tuple[list[str], int]:
    return list(rig.store.objects()), len(rig.store.uploads())


def done(rig: Rig) -> list[str]:
    return [record.operation for record in rig.store.log if record.key == KEY and record.status < 300]


def test_a_try_tells_each_step_and_leaves_one_object(rig: Rig) -> None:
    told = rig.run("creds", "--try")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["Credentials"]["SecretAccessKey"] == "[hidden]"
    lines = told.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines[:-2]] == ["ok"] * 12
    assert [line[6:20].strip() for line in lines[:-1]] == list(ALL)
    assert lines[3].endswith(f"72 bytes to s3://captures/{KEY}")
    assert lines[6].endswith("what is stored is what was sent, by checksum")
    assert lines[-2].startswith("warn  stale uploads")
    assert "AbortIncompleteMultipartUpload" in lines[-1]
    assert left_behind(rig) == ([KEY], 0)
    assert {record.key for record in rig.store.log if record.operation in WRITES} == {KEY}
    assert done(rig) == [
        *("PutObject", "HeadObject", "CreateMultipartUpload", "UploadPart", "ListParts"),
        *("CompleteMultipartUpload", "HeadObject", "CreateMultipartUpload", "AbortMultipartUpload"),
    ]
    assert rig.run("creds", "--try", "--format", "env").returncode == 0  # again, over what is there


@pytest.mark.parametrize(
    "operation",
    [
        "PutObject",
        "HeadObject",
        "CreateMultipartUpload",
        "UploadPart",
        "ListParts",
        "CompleteMultipartUpload",
    ],
)
def test_a_right_that_is_missing_is_told_with_the_remedy_and_leaves_nothing_open(
    ask: Ask, rig: Rig, operation: str
) -> None:
    rig.store.faults = Script([Rule(fault=Fault(status=403, code="AccessDenied"), operation=operation)])
    try:
        told = ask("creds", "--try")
    finally:
        rig.store.faults = rig.pace
    assert told.code == 1
    failed = [line for line in told.err.splitlines() if line.startswith("fail")]
    assert len(failed) == 1
    assert "hint: " in told.err
    assert "Traceback" not in told.err
    assert rig.store.uploads() == []
    assert set(rig.store.objects()) <= {KEY}


def test_an_abort_that_is_not_allowed_is_told_with_the_upload_that_may_be_left(ask: Ask, rig: Rig) -> None:
    rig.store.faults = Script(
        [Rule(fault=Fault(status=403, code="AccessDenied"), operation="AbortMultipartUpload")]
    )
    try:
        told = ask("creds", "--try")
    finally:
        rig.store.faults = rig.pace
    assert told.code == 1
    [upload] = rig.store.uploads()
    assert f"the upload {upload.upload_id} of {KEY} may be left open" in told.err
    rig.store.abort(upload.upload_id)


def test_a_store_that_ignores_checksums_is_tried_with_md5(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.store.habits = replace(rig.store.habits, ignores_checksums=True)
        told = rig.run("creds", "--try")
        assert told.returncode == 0, told.stderr
        assert "MD5 proves what is stored instead" in told.stderr
        assert left_behind(rig) == ([KEY], 0)
