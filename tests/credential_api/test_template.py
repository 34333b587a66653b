"""The template as a stack in moto: what it makes is there, and its policies are the printed ones.

moto 5.2 makes no resource of five of the template's types (NOT_IN_MOTO), and of the others it passes over lifecycle and
public access of a bucket, a table's point-in-time recovery, a function's architecture, and DeletionPolicy. Those are
held to CloudFormation's own schemas by cfn-lint, and to their words by this file. Where AWS::NoValue stands in a list
moto keeps a null; CloudFormation leaves the item out.
"""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from syncd.credential_api import policies
from syncd.credential_api.dynamodb import dynamodb_client
from syncd.credential_api.policies import Setup
from syncd.credential_api.resources import SETUP
from syncd.credential_api.sts import sts_client
from syncd.credential_api.template import as_yaml, template

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")  # NOT_IN_MOTO

REGION, ACCOUNT = "eu-central-1", "123456789012"
NOT_IN_MOTO = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::S3::BucketPolicy",
}
PLAIN = {"BucketName": "captures", "CodeBucket": "code", "CodeKey": "api.zip"}
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/abc"
ME = f"arn:aws:iam::{ACCOUNT}:user/me"
FULL = PLAIN | {
    "CreateBucket": "true",
    "Prefix": "lab/",
    "SessionSeconds": "900",
    "TrustedPrincipal": ME,
    "KmsKeyArn": KEY,
    "Tagging": "true",
    "ListUploads": "true",
    "LogRetentionDays": "30",
}
NAMES = {"account": ACCOUNT, "region": REGION, "bucket": "captures"}
CASES: list[tuple[dict[str, str], Setup]] = [
    (PLAIN, Setup(**NAMES)),
    (
        FULL,
        Setup(**NAMES, prefix="lab/", principal_arn=ME, kms_key_arn=KEY, tagging=True, list_uploads=True),
    ),
]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account that holds the code's zip file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="code", Key="api.zip", Body=_zip())
        yield


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.py", "")
    return packed.getvalue()


def created(parameters: dict[str, str]) -> dict[str, Any]:
    """The stack `syncd`, made of the YAML that is printed."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="syncd",
        TemplateBody=as_yaml(template()),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    stack: dict[str, Any] = cloudformation.describe_stacks(StackName="syncd")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return stack


def read(document: Any) -> Any:
    """A policy as moto kept it: a role's inline one as Python writes it."""
    return without_null(ast.literal_eval(document) if isinstance(document, str) else document)


def without_null(document: Any) -> Any:
    """As CloudFormation has it: an item that is AWS::NoValue is none."""
    if isinstance(document, dict):
        return {key: without_null(value) for key, value in document.items()}
    if isinstance(document, list):
        return [without_null(item) for item in document if item is not None]
    return document


@pytest.mark.parametrize(("parameters", "setup"), CASES, ids=["plain", "full"])
@pytest.mark.usefixtures("account")
def test_the_roles_of_the_stack_have_the_printed_policies(parameters: dict[str, str], setup: Setup) -> None:
    created(parameters)
    iam = boto3.client("iam")
    upload, execution = (iam.get_role(RoleName=f"syncd-{name}")["Role"] for name in ("upload", "api"))
    assert without_null(upload["AssumeRolePolicyDocument"]) == policies.trust_policy(setup)
    assert execution["AssumeRolePolicyDocument"] == policies.execution_trust_policy()
    assert upload["MaxSessionDuration"] == 3600
    of_their_own = {
        (role, name): read(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for role in ("syncd-upload", "syncd-api")
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    assert of_their_own == {
        ("syncd-upload", "upload"): policies.permission_policy(setup),
        ("syncd-api", "api"): policies.execution_policy(setup),
    }
    for role in ("syncd-upload", "syncd-api"):
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []


@pytest.mark.usefixtures("account")
def test_the_table_of_the_stack_is_there_and_finds_devices_by_digest() -> None:
    outputs = {item["OutputKey"]: item["OutputValue"] for item in created(PLAIN)["Outputs"]}
    table = boto3.client("dynamodb").describe_table(TableName=outputs["TableName"])["Table"]
    assert table["TableArn"] == Setup(**NAMES).regional_arn("dynamodb", "table/syncd-devices")
    assert table["KeySchema"] == [{"AttributeName": "digest", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "digest", "AttributeType": "S"}]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert outputs["UploadRoleArn"] == Setup(**NAMES).upload_role_arn
    assert outputs["Url"].startswith("https://")
    assert outputs["Url"].endswith(f".execute-api.{REGION}.amazonaws.com/v1/credentials")


@pytest.mark.parametrize(("parameters", "seconds", "days"), [(PLAIN, "3600", 90), (FULL, "900", 30)])
@pytest.mark.usefixtures("account")
def test_the_function_of_the_stack_knows_role_and_table_and_only_the_http_api_calls_it(
    parameters: dict[str, str], seconds: str, days: int
) -> None:
    created(parameters)
    function = boto3.client("lambda").get_function(FunctionName="syncd-api")["Configuration"]
    told = {name: str(value) for name, value in function["Environment"]["Variables"].items()}
    assert told == {
        "SYNCD_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/syncd-upload",
        "SYNCD_TABLE": "syncd-devices",
        "SYNCD_SESSION_SECONDS": seconds,
    }
    assert function["Role"] == f"arn:aws:iam::{ACCOUNT}:role/syncd-api"
    assert function["Handler"] == "syncd.credential_api.lambda_handler.handler"
    assert (function["Runtime"], function["Timeout"], function["MemorySize"]) == ("python3.12", 20, 256)
    (group,) = boto3.client("logs").describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/lambda/syncd-api", days)
    (allowed,) = json.loads(boto3.client("lambda").get_policy(FunctionName="syncd-api")["Policy"])[
        "Statement"
    ]
    assert allowed["Principal"] == {"Service": "apigateway.amazonaws.com"}
    assert allowed["Action"] == "lambda:InvokeFunction"
    (source,) = allowed["Condition"]["ArnLike"].values()
    assert source.endswith("/*/*/v1/credentials*")


@pytest.mark.usefixtures("account")
def test_a_bucket_is_made_only_where_it_is_asked_for() -> None:
    created(PLAIN)
    assert [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]] == ["code"]


@pytest.mark.usefixtures("account")
def test_everything_that_moto_can_make_was_made() -> None:
    created(FULL)
    listed = boto3.client("cloudformation").describe_stack_resources(StackName="syncd")["StackResources"]
    made = {resource["LogicalResourceId"] for resource in listed if "LogicalResourceId" in resource}
    wanted = {name for name, each in template()["Resources"].items() if each["Type"] not in NOT_IN_MOTO}
    assert wanted <= made


def filled(document: Any, names: dict[str, str]) -> Any:
    """The document with every Fn::Sub done."""
    if isinstance(document, list):
        return [filled(item, names) for item in document]
    if not isinstance(document, dict):
        return document
    if set(document) != {"Fn::Sub"}:
        return {key: filled(value, names) for key, value in document.items()}
    text = document["Fn::Sub"]
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def test_the_bucket_policy_is_the_printed_one() -> None:
    written = template()["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
    names = {"AWS::Partition": "aws", "BucketName": "captures"}
    assert filled(written, names) == policies.bucket_policy(Setup(**NAMES))


def test_a_bucket_that_is_made_is_closed_to_the_public_and_has_the_printed_lifecycle() -> None:
    written = template()["Resources"]["Bucket"]["Properties"]
    assert list(written["PublicAccessBlockConfiguration"].values()) == [True] * 4
    (rule,) = filled(written["LifecycleConfiguration"], {"Prefix": "lab/"})["Rules"]
    (wanted,) = policies.lifecycle(CASES[1][1])["Rules"]
    # CloudFormation has its own words for two of them.
    assert rule == {
        "Id": wanted["ID"],
        "Prefix": wanted["Filter"]["Prefix"],
        "Status": wanted["Status"],
        "AbortIncompleteMultipartUpload": wanted["AbortIncompleteMultipartUpload"],
    }


def test_the_http_api_has_the_three_routes_and_a_limit() -> None:
    resources = template()["Resources"]
    routes = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::ApiGatewayV2::Route"]
    assert {route["RouteKey"] for route in routes} == {
        "POST /v1/credentials",
        "GET /v1/credentials",
        "POST /v1/credentials/presign",
    }
    assert resources["Integration"]["Properties"]["PayloadFormatVersion"] == "2.0"
    limits = resources["Stage"]["Properties"]["DefaultRouteSettings"]
    assert 0 < limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"]


def test_devices_and_recordings_outlive_the_stack_and_a_table_can_be_turned_back() -> None:
    resources = template()["Resources"]
    for name in ("Devices", "Bucket"):
        assert resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resources[name]["UpdateReplacePolicy"] == "Retain"
    recovery = resources["Devices"]["Properties"]["PointInTimeRecoverySpecification"]
    assert recovery == {"PointInTimeRecoveryEnabled": True}


def test_no_resource_waits_for_itself_around_a_corner() -> None:
    resources = template()["Resources"]
    waits = {name: references(each) & set(resources) - {name} for name, each in resources.items()}
    assert {"ExecutionRole"} <= waits["UploadRole"]
    assert {"ExecutionRole", "UploadRole"} <= waits["ExecutionPolicy"]
    assert {"ExecutionPolicy", "UploadRole", "Devices"} <= waits["Function"]
    made: set[str] = set()
    while ready := {name for name, others in waits.items() if others <= made} - made:
        made |= ready
    assert made == set(resources)


def references(document: Any) -> set[str]:
    """What it names by Ref, Fn::GetAtt, Fn::Sub or DependsOn."""
    if isinstance(document, list):
        return set().union(*map(references, document))
    if not isinstance(document, dict):
        return set()
    found = set().union(*map(references, document.values()))
    found |= {document["Ref"]} if "Ref" in document else set()
    found |= {document["Fn::GetAtt"][0]} if "Fn::GetAtt" in document else set()
    found |= set(document.get("DependsOn", []))
    for piece in str(document.get("Fn::Sub", "")).split("${")[1:]:
        found.add(piece.partition("}")[0].partition(".")[0])
    return found


def test_every_optional_statement_stands_under_its_condition() -> None:
    """What a setup with everything has more than one with nothing: no statement slips in unasked."""
    bare = policies.permission_policy(Setup(**NAMES))["Statement"]
    everything = policies.permission_policy(SETUP)["Statement"]
    optional = {each["Sid"] for each in everything} - {each["Sid"] for each in bare}
    written = template()["Resources"]["UploadRole"]["Properties"]["Policies"][0]["PolicyDocument"][
        "Statement"
    ]
    conditional = {each["Fn::If"][1]["Sid"] for each in written if "Fn::If" in each}
    assert conditional == optional == {"Tag", "Encrypt", "ListUploads"}


@pytest.mark.parametrize("form", ["yaml", pytest.param("json", marks=pytest.mark.torture)])
def test_cfn_lint_has_nothing_to_say(tmp_path: Path, form: str) -> None:
    page = tmp_path / f"template.{form}"
    page.write_text(as_yaml(template()) if form == "yaml" else json.dumps(template()))
    assert lint(page) == (0, "")
    broken = template()
    broken["Resources"]["Function"]["Properties"]["Timeout"] = "soon"
    page.write_text(json.dumps(broken))
    assert lint(page)[0] != 0


def lint(page: Path) -> tuple[int, str]:
    """cfn-lint with its informational rules too."""
    told = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--include-checks", "I", "--template", page],
        capture_output=True,
        text=True,
        check=False,
    )
    return told.returncode, told.stdout + told.stderr


@pytest.mark.parametrize(
    ("arn", "taken"),
    [
        ("", True),
        (KEY, True),
        (KEY.replace(":key/", ":key/mrk-").replace("arn:aws:", "arn:aws-cn:"), True),
        (KEY.replace(":key/", ":alias/"), False),
        (f"x{KEY}", False),
        ("abc", False),
    ],
)
def test_the_key_is_a_keys_arn_or_none_and_no_alias(arn: str, *, taken: bool) -> None:
    parameter = template()["Parameters"]["KmsKeyArn"]
    assert (re.search(parameter["AllowedPattern"], arn) is not None) == taken
    assert "means the alias, not its key" in parameter["ConstraintDescription"]


def test_the_function_outlives_the_patience_of_its_clients() -> None:
    pause_s = 1  # botocore's standard mode waits up to a second before the second attempt
    longest = 0.0
    for client in (dynamodb_client(REGION), sts_client(region=REGION)):
        config = client.meta.config
        attempts = config.retries["total_max_attempts"]
        longest += attempts * (config.connect_timeout + config.read_timeout) + (attempts - 1) * pause_s
        client.close()
    assert longest <= template()["Resources"]["Function"]["Properties"]["Timeout"]
