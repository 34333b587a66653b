"""The call that everything here is about: AssumeRole at STS, or at a store that speaks it. Its errors become three of ours.

The keys that it is signed with come from boto3's own chain. Refuses to pass on what STS says in its own words: they name
roles and accounts. They go into the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from syncd.credential_api.issue import LONGEST_S, SHORTEST_S, Role

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

log = structlog.get_logger()

_ROLE = re.compile(r"arn:[a-z0-9-]+:iam::[^:]*:role/[!-~]+")
_FORBIDDEN, _TOO_MANY, _BROKEN = 403, 429, 500
_THROTTLED = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"}
_NEEDED = {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
_OF_THE_POLICY = {"MalformedPolicyDocument", "PackedPolicyTooLarge"}


class SessionUnavailable(Exception):
    """STS cannot be reached or is busy: again in a moment."""


class RoleRefused(Exception):
    """STS does not let us assume the role."""


class SessionImpossible(Exception):
    """STS does not make such a session: `code` is its word for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    @property
    def of_the_device(self) -> bool:
        """Whether it is about the policy that the device's registration gave."""
        return self.code in _OF_THE_POLICY


class Sts(Protocol):
    """Where sessions come from."""

    def assume_role(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of AssumeRole. Raises SessionUnavailable, RoleRefused, SessionImpossible."""
        ...


class AwsSts:
    """AssumeRole by boto3's client."""

    def __init__(self, client: STSClient) -> None:
        self._client = client

    def assume_role(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """One call, with one more try of botocore's own."""
        session = arguments["RoleSessionName"]
        try:
            assumed: dict[str, Any] = dict(self._client.assume_role(**arguments))
        except ClientError as error:
            log.warning("assume_role_failed", session=session, error=str(error))
            raise _meaning(error) from None
        except BotoCoreError as error:
            log.warning("assume_role_failed", session=session, error=str(error))
            raise SessionUnavailable from None
        except (ResponseParserError, KeyError, ValueError):
            # The parser met something else than an answer of STS; its words hold all of that, perhaps a secret.
            assumed = {}
        if not assumed.get("Credentials", {}).keys() >= _NEEDED:
            log.warning("assume_role_failed", session=session, error="the answer is not that of AssumeRole")
            raise SessionUnavailable
        return assumed


def _meaning(error: ClientError) -> Exception:
    """Ceph's gateway answers a bare <Error>, of which botocore keeps the HTTP status only."""
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _BROKEN)
    if code in _THROTTLED or status == _TOO_MANY or status >= _BROKEN:
        return SessionUnavailable()
    if code == "AccessDenied" or (not code and status == _FORBIDDEN):
        return RoleRefused()
    return SessionImpossible(code or f"HTTP {status}")


def sts_client(
    *, region: str, endpoint_url: str | None = None, session: boto3.session.Session | None = None
) -> STSClient:
    """A client that gives up after a few seconds: a device that waits asks again by itself.

    A store of one's own may allow sessions shorter than 900 s, which botocore would not even send.
    """
    config = Config(
        parameter_validation=endpoint_url is None,
        retries={"total_max_attempts": 2, "mode": "standard"},
        connect_timeout=2,
        read_timeout=4,
        max_pool_connections=32,
        # A proxy of the environment does not lead to this machine itself.
        proxies={} if _on_loopback(endpoint_url) else None,
    )
    return (session or boto3.session.Session()).client(
        "sts", region_name=region, endpoint_url=endpoint_url, config=config
    )


def _on_loopback(url: str | None) -> bool:
    return url is not None and urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}


def role_problems(role: Role, *, own_endpoint: bool) -> list[str]:
    """What is wrong with the role as it was configured, one sentence each."""
    problems = []
    if not _ROLE.fullmatch(role.arn):
        problems.append(
            "the role is none, expected an ARN such as arn:aws:iam::123456789012:role/syncd-upload"
        )
    shortest = 1 if own_endpoint else SHORTEST_S
    if not shortest <= role.session_seconds <= LONGEST_S:
        problems.append(
            f"a session of {role.session_seconds} s is none, expected {shortest} to {LONGEST_S} s"
        )
    return problems
