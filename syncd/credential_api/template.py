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

from syncd.credential_api.issue import LONGEST_S, SHORTEST_S
from syncd.credential_api.resources import PATH, resources

URL: Final = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}" + PATH


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
        "Resources": resources(),
        "Outputs": {
            "Url": _output("What goes into credentials.api.url of a device.", URL),
            "UploadRoleArn": _output("The role whose sessions the devices get.", "${UploadRole.Arn}"),
            "TableName": _output("For syncd credential-api add-device NAME --table.", "${Devices}"),
        },
    }


def as_yaml(document: dict[str, Any]) -> str:
    """The document as YAML: the same forms, in the same order, every value written out where it stands."""
    import yaml  # noqa: PLC0415 - only for those who print

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's signature
            return True

    return yaml.dump(document, Dumper=Plain, sort_keys=False, width=110)


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
    "KmsKeyArn": _text(
        "The key, where the bucket encrypts with one of yours. No alias.",
        "",
        AllowedPattern="^(|arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+)$",
        ConstraintDescription="must be a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID. An alias will not do: in a"
        " policy's Resource its ARN means the alias, not its key.",
    ),
    "Tagging": _switch("true: devices set tags on their objects."),
    "ListUploads": _switch("true: devices may list the open uploads of the whole bucket."),
    "LogRetentionDays": {
        "Type": "Number",
        "Description": "How long the log of who got what is kept.",
        "Default": 90,
        "AllowedValues": [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653],
    },
}


def _is(parameter: str, value: str) -> dict[str, Any]:
    return {"Fn::Equals": [{"Ref": parameter}, value]}


def _output(description: str, value: str) -> dict[str, Any]:
    return {"Description": description, "Value": {"Fn::Sub": value}}
