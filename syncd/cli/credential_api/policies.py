"""`syncd credential-api policies`: what role and bucket need, as JSON for the tools of AWS."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from syncd.credential_api.policies import Policy, Setup

PARTS: Final = ("trust", "permission", "execution-trust", "execution", "bucket", "cors", "lifecycle")


class Matching(click.ParamType[str]):
    """A text of a certain form."""

    def __init__(self, name: str, pattern: str, wanted: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it as it is. Wrong usage where it has another form."""
        if not self._pattern.fullmatch(str(value)):
            self.fail(f"{value!r} is not {self._wanted}", param, ctx)
        return str(value)


ACCOUNT = Matching("account", r"\d{12}", "an account's 12 digits")
BUCKET = Matching("bucket", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name")
PREFIX = Matching("prefix", r"[^*?$]*", "a prefix: it must not contain *, ? or $")
ROLE = Matching("role", r"[\w+=,.@-]{1,64}", "a role's name")
TABLE = Matching("table", r"[\w.-]{3,255}", "a table's name")
LOG_GROUP = Matching("log group", r"[\w./#-]{1,512}", "a log group's name")
PARTITION = Matching("partition", r"aws(-[a-z]+)*", "a partition, like aws-cn")
REGION = Matching("region", r"[a-z0-9-]+", "a region's name")
ARN = Matching("arn", r"arn:[^\s*?$]+", "an ARN")
KMS_KEY = Matching(
    "key",
    r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+",
    "a key's ARN, like arn:aws:kms:REGION:ACCOUNT:key/ID. An alias will not do: in a policy's Resource its ARN means"
    " the alias, not its key",
)
ORIGIN = Matching("origin", r"\*|https?://[^\s/*]*\*?[^\s/*]+", "an origin, like https://app.example.com")


@click.command("policies")
@click.option("--account", type=ACCOUNT, required=True, help="The account's 12 digits.")
@click.option("--bucket", type=BUCKET, required=True, help="The bucket that devices upload to.")
@click.option("--prefix", type=PREFIX, default="", help="What the keys of all devices begin with.")
@click.option(
    "--region",
    type=REGION,
    default="us-east-1",
    envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
    show_default=True,
    show_envvar=True,
    help="Where function and table are.",
)
@click.option("--partition", type=PARTITION, help="aws, aws-cn ...  [default: the region's]")
@click.option("--execution-role", type=ROLE, default="syncd-api", show_default=True, help="The API's own.")
@click.option("--upload-role", type=ROLE, default="syncd-upload", show_default=True, help="The devices'.")
@click.option("--table", type=TABLE, default="syncd-devices", show_default=True, help="The devices' table.")
@click.option(
    "--log-group", type=LOG_GROUP, default="/aws/lambda/syncd-api", show_default=True, help="The API's log."
)
@click.option("--principal", "principal_arn", type=ARN, help="Who else may try the upload role from a shell.")
@click.option("--kms-key-arn", type=KMS_KEY, help="The key (no alias), where the bucket encrypts with yours.")
@click.option("--tagging", is_flag=True, help="Devices set tags on their objects.")
@click.option("--list-uploads", is_flag=True, help="Devices may list the bucket's open uploads: all of them.")
@click.option(
    "--origin", "origins", type=ORIGIN, multiple=True, help="A web page that may upload. Repeatable."
)
@click.option("--part", type=click.Choice(PARTS), help="One of them alone, on one line, as aws takes it.")
def command(part: str | None, origins: tuple[str, ...], partition: str | None, **names: Any) -> None:
    """Print the policies that role and bucket need.

    trust says who may take on the upload role; permission says what it may do: both have to be right. execution-trust
    and execution are the same for the role that the API itself runs under. bucket, cors (only with --origin) and
    lifecycle belong to the bucket. Nothing is changed anywhere.
    """
    from syncd.credential_api.issue import compact  # noqa: PLC0415 - not for --help
    from syncd.credential_api.policies import Setup, partition_of  # noqa: PLC0415

    if part == "cors" and not origins:
        raise click.UsageError("--part cors needs --origin: the daemon itself needs no CORS, web pages do")
    setup = Setup(partition=partition or partition_of(names["region"]), **names)
    parts = _parts(setup, origins)
    click.echo(json.dumps(parts, indent=2) if part is None else compact(parts[part]))


def _parts(setup: Setup, origins: tuple[str, ...]) -> dict[str, Policy]:
    from syncd.credential_api import policies  # noqa: PLC0415 - not for --help

    return {
        "trust": policies.trust_policy(setup),
        "permission": policies.permission_policy(setup),
        "execution-trust": policies.execution_trust_policy(),
        "execution": policies.execution_policy(setup),
        "bucket": policies.bucket_policy(setup),
        **({"cors": policies.cors(origins)} if origins else {}),
        "lifecycle": policies.lifecycle(setup),
    }
