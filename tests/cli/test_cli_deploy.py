"""`syncd credential-api policies|template|package`, and that docs/deploy.md says only what they can do."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import botocore.session
import click
import pytest
import yaml
from botocore import xform_name

from syncd.cli import main
from syncd.cli.credential_api import VERBS
from syncd.cli.credential_api import command as group
from syncd.cli.credential_api.policies import PARTS
from syncd.credential_api import policies, template

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text("utf-8")
NEEDED = ("--account", "123456789012", "--bucket", "captures")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the verb printed: it went well, and stderr is empty."""
    code = main(["credential-api", *arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What it complained of: wrong usage, and nothing on stdout."""
    code = main(["credential-api", *arguments])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    return err


def test_the_document_has_every_part_and_each_part_is_the_documents(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = (*NEEDED, "--origin", "https://app.example.com")
    document = json.loads(said(capsys, "policies", *options))
    assert tuple(document) == PARTS
    for part in PARTS:
        printed = said(capsys, "policies", *options, "--part", part)
        assert json.loads(printed) == document[part]
        assert ": " not in printed  # stores that refuse a policy with spaces take it


def test_every_option_reaches_the_policies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    names: dict[str, Any] = {
        "account": "123456789012",
        "bucket": "captures",
        "prefix": "lab/",
        "region": "cn-north-1",
        "execution_role": "a",
        "upload_role": "b",
        "table": "ccc",
        "log_group": "/d",
        "principal_arn": "arn:aws-cn:iam::123456789012:user/me",
        "kms_key_arn": "arn:aws-cn:kms:cn-north-1:123456789012:key/k",
    }
    options = {"principal_arn": "principal"}
    given = [
        word
        for name, value in names.items()
        for word in (f"--{options.get(name, name.replace('_', '-'))}", value)
    ]
    setup = policies.Setup(partition="aws-cn", tagging=True, list_uploads=True, **names)
    document = json.loads(said(capsys, "policies", *given, "--tagging", "--list-uploads"))
    assert document == {
        "trust": policies.trust_policy(setup),
        "permission": policies.permission_policy(setup),
        "execution-trust": policies.execution_trust_policy(),
        "execution": policies.execution_policy(setup),
        "bucket": policies.bucket_policy(setup),
        "lifecycle": policies.lifecycle(setup),
    }
    here = said(capsys, "policies", *NEEDED, "--part", "execution")
    assert "arn:aws:dynamodb:eu-north-1:" in here


@pytest.mark.parametrize(
    ("wrong", "about"),
    [
        (("policies",), "--account"),
        (("policies", "--account", "123456789012"), "--bucket"),
        (("policies", "--account", "1234", "--bucket", "captures"), "12 digits"),
        (("policies", "--account", "123456789012", "--bucket", "Captures"), "a bucket's name"),
        (("policies", *NEEDED, "--prefix", "*/"), "must not contain"),
        (("policies", *NEEDED, "--prefix", "${aws:userid}/"), "must not contain"),
        (("policies", *NEEDED, "--principal", "me"), "an ARN"),
        (("policies", *NEEDED, "--principal", "arn:aws:iam::123456789012:user/*"), "an ARN"),
        (("policies", *NEEDED, "--upload-role", "a/b"), "a role's name"),
        (("policies", *NEEDED, "--origin", "app.example.com"), "an origin"),
        (("policies", *NEEDED, "--part", "cors"), "--origin"),
        (("policies", *NEEDED, "--part", "all"), "--part"),
        (("template", "--xml"), "--xml"),
        (("package", "--output", "/"), "is a directory"),
    ],
)
def test_wrong_usage_is_named(capsys: pytest.CaptureFixture[str], wrong: tuple[str, ...], about: str) -> None:
    assert about in refused(capsys, *wrong)


def test_the_template_is_printed_as_yaml_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = template.template()
    assert yaml.safe_load(said(capsys, "template")) == wanted
    assert json.loads(said(capsys, "template", "--json")) == wanted


def test_the_package_is_named_after_what_is_in_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = said(capsys, "package").strip()
    assert re.fullmatch(r"syncd-api-\d+\.\d+\.\d+-[0-9a-f]{12}\.zip", name)
    assert said(capsys, "package").strip() == name
    assert "syncd/credential_api/issue.py" in zipfile.ZipFile(tmp_path / name).namelist()
    monkeypatch.setattr("syncd.credential_api.package.sources", dict)
    assert said(capsys, "package").strip() != name


def test_a_package_that_cannot_be_written_is_told_with_a_hint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["credential-api", "package", "--output", str(tmp_path / "none" / "a.zip")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot be written: No such file or directory" in err
    assert "hint: " in err


BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
GIVEN = {
    "$ACCOUNT": "123456789012",
    "$BUCKET": "captures",
    "$AWS_REGION": "eu-central-1",
    "$ME": "arn:aws:iam::123456789012:user/me",
    "$1": "trust",
}


SCRIPT = "\n".join(BLOCKS).replace("\\\n", " ")


def commands() -> list[list[str]]:
    """Every `syncd credential-api ...` of the page's blocks, without what stands around it in its line."""
    return [shlex.split(words) for words in re.findall(r"syncd credential-api ([^\n)|>;]*)", SCRIPT)]


def mentioned() -> list[list[str]]:
    """Those in its sentences: they may leave out what they are not about."""
    return [words.split() for words in re.findall(r"`syncd credential-api ([a-z-]+[^`]*)`", PAGE)]


def verb_of(words: list[str]) -> click.Command:
    verb = group.get_command(click.Context(group), words[0])
    assert verb is not None, words
    return verb


def test_the_page_about_deploying_names_every_verb() -> None:
    assert {words[0] for words in (*commands(), *mentioned())} == set(VERBS)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_page_can_be_given(words: list[str]) -> None:
    verb_of(words).make_context(words[0], [GIVEN.get(word, word) for word in words[1:]])


@pytest.mark.parametrize("words", mentioned(), ids=" ".join)
def test_every_option_that_the_page_mentions_is_there(words: list[str]) -> None:
    verb = verb_of(words)
    verb.make_parser(click.Context(verb)).parse_args(words[1:])


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_the_page_is_a_script(block: str) -> None:
    told = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


OF_AWS_ITSELF = {("s3", "mb"), ("s3", "cp"), ("s3", "rb"), ("cloudformation", "deploy")}
EVERYWHERE = {"query", "output"}
SPELT = {"code": "zip-file"}  # the command line has its own word


def aws_calls() -> list[tuple[str, str, set[str]]]:
    """Service, operation and options of every `aws ...` of the page's blocks that stands for one call of an API."""
    flat = re.sub(r"\$\((?:syncd|policy) [^)]*\)", "", SCRIPT)  # what another command has for options
    found = re.findall(r"\baws ([a-z0-9]+) ([a-z0-9-]+)([^\n;]*)", flat)
    return [
        (service.replace("s3api", "s3"), operation, set(re.findall(r"(?<=\s)--([a-z-]+)", rest)))
        for service, operation, rest in found
        if (service, operation) not in OF_AWS_ITSELF and operation != "wait"
    ]


@pytest.mark.parametrize(("service", "operation", "options"), aws_calls())
def test_every_call_of_aws_on_the_page_is_one(service: str, operation: str, options: set[str]) -> None:
    """By botocore's own model of the API, which is what the command line of AWS is made from."""
    model = botocore.session.get_session().get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(names[operation]).input_shape
    assert shape is not None
    known = {xform_name(name, "-") for name in shape.members}
    required = {xform_name(name, "-") for name in shape.required_members}
    assert options - EVERYWHERE <= known | {SPELT[name] for name in known & set(SPELT)}
    assert {SPELT.get(name, name) for name in required} <= options


def test_the_configuration_on_the_page_is_a_good_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = re.search(r"<< 'END'\n(.*?)END\n", PAGE, re.DOTALL)
    assert found is not None
    token, folder = tmp_path / "token", tmp_path / "capture"
    token.write_text("a" * 43)
    token.chmod(0o600)
    folder.mkdir()
    text = found[1].replace("/etc/syncd/token", str(token)).replace("/srv/capture", str(folder))
    config = tmp_path / "config.yaml"
    config.write_text(text.replace("/var/lib/syncd", str(tmp_path)).replace("/run/syncd", str(tmp_path)))
    code = main(["check", "-c", str(config)])
    assert code == 0, capsys.readouterr()
