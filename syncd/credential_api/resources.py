"""What the template makes: roles, function, table, log, HTTP API, and the bucket where there is none yet.

The policies are those of `policies`, with CloudFormation's names in the place of names.
"""

from __future__ import annotations

from typing import Any, Final

from syncd.credential_api import policies
from syncd.credential_api.issue import LONGEST_S
from syncd.credential_api.policies import Setup

Resource = dict[str, Any]

PATH: Final = "/v1/credentials"
ROUTES: Final = {"Post": f"POST {PATH}", "Get": f"GET {PATH}", "Presign": f"POST {PATH}/presign"}
REQUESTS_PER_S, REQUESTS_AT_ONCE = 50, 100
"""A device asks about once an hour; after an outage of the network a fleet asks all at once, and again if told 429."""

TIMEOUT_S: Final = 20
"""Longer than table and STS take to give up, one after the other: a device is told so instead of a bare 500 or 503."""

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


def resources() -> dict[str, Resource]:
    """All of them, by their logical names."""
    return {**_roles(), **_function(), **_http_api(), **_bucket()}


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
            Timeout=TIMEOUT_S,
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


def _named(what: str) -> dict[str, str]:
    return {"Fn::Sub": f"${{AWS::StackName}}-{what}"}


def _resource(kind: str, **properties: Any) -> Resource:
    return {"Type": kind, "Properties": properties}
