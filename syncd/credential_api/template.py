"""All that has to exist in the account, as one CloudFormation template: function, roles, table, HTTP API, log.

Its policies are made by `policies`, with CloudFormation's names in the place of names. A stack called `syncd` gives
everything the names that `policies` has as defaults.

The function's role and the upload role name each other. No circle comes of it, for the right to take on the upload role
is a resource of its own: ExecutionRole -> UploadRole (trusts it) -> ExecutionPolicy (names both) -> Function.

A bucket that exists is never touched. Table and bucket stay when the stack goes: tokens are kept nowhere else, and
recordings are what all of this is for. The log goes with the stack.
"""

from __future__ import annotations

from typing import Any, Final

from syncd.credential_api import policies
from syncd.credential_api.issue import LONGEST_S, SHORTEST_S
from syncd.credential_api.policies import Setup

Resource = dict[str, Any]

PATH: Final = "/v1/credentials"
URL: Final = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}" + PATH
ROUTES: Final = {"Post": f"POST {PATH}", "Get": f"GET {PATH}", "Presign": f"POST {PATH}/presign"}
REQUESTS_PER_S, REQUESTS_AT_ONCE = 50, 100
"""A device asks about once an hour; after an outage of the network a fleet asks all at once, and again if told 429."""

SETUP: Final = Setup(
    account="${AWS::AccountId}",
    region="${AWS::Region}",
    partition="${AWS::Partition}",
    bucket="${BucketName}",
    prefix="${Prefix}",
    execution_role="${ExecutionRole}",
    upload_role="${UploadRole}",
    table="${Devices}",
    log_group="${Log}",
    principal_arn="${TrustedPrincipal}",
    kms_key_arn="${KmsKeyArn}",
    tagging=True,
    list_uploads=True,
)
ONLY_IF: Final = {"Tag": "Tags", "Encrypt": "HasKey", "ListUploads": "ListsUploads"}
"""The statements that stand under a condition, by their Sid."""

NOTHING: Final = {"Ref": "AWS::NoValue"}
KEPT: Final = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


def template() -> dict[str, Any]:
    """The template as a document, in CloudFormation's long forms, so that JSON can hold it."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "syncd: hands devices temporary credentials for uploads below their own prefix",
        "Parameters": PARAMETERS,
        "Conditions": {
            "CreatesBucket": _is("CreateBucket", "true"),
            "Tags": _is("Tagging", "true"),
            "ListsUploads": _is("ListUploads", "true"),
            "HasKey": {"Fn::Not": [_is("KmsKeyArn", "")]},
            "Trusts": {"Fn::Not": [_is("TrustedPrincipal", "")]},
        },
        "Resources": {**_roles(), **_function(), **_http_api(), **_bucket()},
        "Outputs": {
            "Url": _output("What goes into credentials.api.url of a device.", URL),
            "UploadRoleArn": _output("The role whose sessions the devices get.", "${UploadRole.Arn}"),
            "TableName": _output("For syncd credential-api add-device NAME --table.", "${Devices}"),
        },
    }


def _text(description: str, default: str | None = None, **more: Any) -> dict[str, Any]:
    given = {} if default is None else {"Default": default}
    return {"Type": "String", "Description": description, **given, **more}


def _switch(description: str) -> dict[str, Any]:
    return _text(description, "false", AllowedValues=["true", "false"])


PARAMETERS: Final = {
    "BucketName": _text("The bucket that devices upload to.", AllowedPattern="[a-z0-9][a-z0-9.-]+"),
    "CreateBucket": _switch("true: make the bucket, with TLS only and stale uploads aborted."),
    "Prefix": _text("What the keys of all devices begin with.", "", AllowedPattern="[^*?$]*"),
    "CodeBucket": _text("The bucket that holds the zip file of syncd credential-api package."),
    "CodeKey": _text("Its key there: a new key makes CloudFormation take the new code."),
    "SessionSeconds": {
        "Type": "Number",
        "Description": "How long credentials live. A role assumed by a role lives for an hour at most.",
        "Default": LONGEST_S,
        "MinValue": SHORTEST_S,
        "MaxValue": LONGEST_S,
    },
    "TrustedPrincipal": _text("ARN of a user or role that may try the upload role from a shell.", ""),
    "KmsKeyArn": _text("The key, where the bucket encrypts with one of yours.", ""),
    "Tagging": _switch("true: devices set tags on their objects."),
    "ListUploads": _switch("true: devices may list the open uploads of the whole bucket."),
    "LogRetentionDays": {
        "Type": "Number",
        "Description": "How long the log of who got what is kept.",
        "Default": 90,
        "AllowedValues": [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653],
    },
}


def _roles() -> dict[str, Resource]:
    return {
        "ExecutionRole": _resource(
            "AWS::IAM::Role",
            RoleName=_named("api"),
            Description="What the credential API of syncd runs under",
            AssumeRolePolicyDocument=policies.execution_trust_policy(),
        ),
        "UploadRole": _resource(
            "AWS::IAM::Role",
            RoleName=_named("upload"),
            Description="Its sessions are what the devices of syncd get",
            AssumeRolePolicyDocument=_document(policies.trust_policy(SETUP)),
            MaxSessionDuration=LONGEST_S,
            Policies=[
                {"PolicyName": "upload", "PolicyDocument": _document(policies.permission_policy(SETUP))}
            ],
        ),
        "ExecutionPolicy": _resource(
            "AWS::IAM::Policy",
            PolicyName="api",
            Roles=[{"Ref": "ExecutionRole"}],
            PolicyDocument=_document(policies.execution_policy(SETUP)),
        ),
    }


def _function() -> dict[str, Resource]:
    return {
        "Log": {
            **_resource(
                "AWS::Logs::LogGroup",
                LogGroupName={"Fn::Sub": "/aws/lambda/${AWS::StackName}-api"},
                RetentionInDays={"Ref": "LogRetentionDays"},
            ),
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
        },
        "Devices": {
            **_resource(
                "AWS::DynamoDB::Table",
                TableName=_named("devices"),
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "digest", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "digest", "KeyType": "HASH"}],
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            ),
            **KEPT,
        },
        "Function": _resource(
            "AWS::Lambda::Function",
            FunctionName=_named("api"),
            Runtime="python3.12",
            Architectures=["arm64"],
            Handler="syncd.credential_api.lambda_handler.handler",
            Code={"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
            Role={"Fn::GetAtt": ["ExecutionRole", "Arn"]},
            Timeout=10,
            MemorySize=256,
            LoggingConfig={"LogGroup": {"Ref": "Log"}},
            Environment={
                "Variables": {
                    "SYNCD_ROLE_ARN": {"Fn::GetAtt": ["UploadRole", "Arn"]},
                    "SYNCD_TABLE": {"Ref": "Devices"},
                    "SYNCD_SESSION_SECONDS": {"Ref": "SessionSeconds"},
                }
            },
        )
        | {"DependsOn": ["ExecutionPolicy"]},
    }


def _http_api() -> dict[str, Resource]:
    called_by = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/*" + PATH + "*"
    return {
        "Api": _resource("AWS::ApiGatewayV2::Api", Name=_named("api"), ProtocolType="HTTP"),
        "Integration": _resource(
            "AWS::ApiGatewayV2::Integration",
            ApiId={"Ref": "Api"},
            IntegrationType="AWS_PROXY",
            IntegrationUri={"Fn::GetAtt": ["Function", "Arn"]},
            PayloadFormatVersion="2.0",
        ),
        **{f"{name}Route": _route(key) for name, key in ROUTES.items()},
        "Stage": _resource(
            "AWS::ApiGatewayV2::Stage",
            ApiId={"Ref": "Api"},
            StageName="$default",
            AutoDeploy=True,
            DefaultRouteSettings={
                "ThrottlingRateLimit": REQUESTS_PER_S,
                "ThrottlingBurstLimit": REQUESTS_AT_ONCE,
            },
        ),
        "Invocation": _resource(
            "AWS::Lambda::Permission",
            FunctionName={"Ref": "Function"},
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn={"Fn::Sub": called_by},
        ),
    }


def _bucket() -> dict[str, Resource]:
    """Only where the template makes it: the policies of a bucket that exists are its owner's."""
    made = {"Condition": "CreatesBucket"}
    bucket = _resource(
        "AWS::S3::Bucket",
        BucketName={"Ref": "BucketName"},
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        LifecycleConfiguration=_document(_lifecycle()),
    )
    policy = _resource(
        "AWS::S3::BucketPolicy",
        Bucket={"Ref": "Bucket"},
        PolicyDocument=_document(policies.bucket_policy(SETUP)),
    )
    return {"Bucket": {**bucket, **made, **KEPT}, "BucketPolicy": {**policy, **made}}


def _lifecycle() -> dict[str, Any]:
    """As CloudFormation spells it: Id for ID, Prefix without a Filter around it."""
    rules = policies.lifecycle(SETUP)["Rules"]
    return {
        "Rules": [
            {
                "Id": rule["ID"],
                "Status": rule["Status"],
                "Prefix": rule["Filter"]["Prefix"],
                "AbortIncompleteMultipartUpload": rule["AbortIncompleteMultipartUpload"],
            }
            for rule in rules
        ]
    }


def _route(key: str) -> Resource:
    return _resource(
        "AWS::ApiGatewayV2::Route",
        ApiId={"Ref": "Api"},
        RouteKey=key,
        Target={"Fn::Sub": "integrations/${Integration}"},
    )


def _document(value: Any) -> Any:
    """A policy with CloudFormation's names filled in by it, and what is optional under its condition."""
    if isinstance(value, dict):
        filled = {key: _document(item) for key, item in value.items()}
        condition = ONLY_IF.get(str(value.get("Sid")))
        return filled if condition is None else _if(condition, filled)
    if isinstance(value, list):
        return [_document(item) for item in value]
    if value == SETUP.principal_arn:
        return _if("Trusts", {"Ref": "TrustedPrincipal"})
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def _if(condition: str, value: Any) -> dict[str, Any]:
    return {"Fn::If": [condition, value, NOTHING]}


def _is(parameter: str, value: str) -> dict[str, Any]:
    return {"Fn::Equals": [{"Ref": parameter}, value]}


def _named(what: str) -> dict[str, str]:
    return {"Fn::Sub": f"${{AWS::StackName}}-{what}"}


def _resource(kind: str, **properties: Any) -> Resource:
    return {"Type": kind, "Properties": properties}


def _output(description: str, value: str) -> dict[str, Any]:
    return {"Description": description, "Value": {"Fn::Sub": value}}


def as_yaml(document: dict[str, Any]) -> str:
    """The document as YAML: the same forms, in the same order, every value written out where it stands."""
    import yaml  # noqa: PLC0415 - only for those who print

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's signature
            return True

    return yaml.dump(document, Dumper=Plain, sort_keys=False, width=110)
