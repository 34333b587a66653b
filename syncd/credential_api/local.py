"""The application put together for one machine, with this machine's clocks and keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from syncd.credential_api.application import PATH, Application
from syncd.credential_api.devices import Devices
from syncd.credential_api.dynamodb import Table, dynamodb_client
from syncd.credential_api.issue import Role
from syncd.credential_api.presign import S3Presigner
from syncd.credential_api.sts import AwsSts, sts_client
from syncd.credential_api.throttle import BURST, EVERY_S, Rate, Throttle

if TYPE_CHECKING:
    import boto3


class BadSurroundings(Exception):
    """boto3 cannot make its clients: no region, no such profile, an address that is none."""


def local_table(name: str, region: str | None) -> Table:
    """The DynamoDB table of this account. Raises BadSurroundings."""
    try:
        return Table(dynamodb_client(region), name)
    except (BotoCoreError, ValueError) as trouble:
        raise BadSurroundings(str(trouble)) from None


def local_application(
    *,
    devices: Devices,
    role: Role,
    path: str = PATH,
    sts_endpoint_url: str | None = None,
    s3_endpoint_url: str | None = None,
    session: boto3.session.Session | None = None,
    burst: int = BURST,
    every: float = EVERY_S,
    clock: Callable[[], float] = time.time,
) -> Application:
    """`session`: where the keys for STS come from; without one boto3's own chain. `every` in seconds. Raises BadSurroundings."""
    try:
        sts = AwsSts(sts_client(region=role.region, endpoint_url=sts_endpoint_url, session=session))
        presigner = S3Presigner(role.region, s3_endpoint_url or sts_endpoint_url)
    except (BotoCoreError, ValueError) as trouble:
        raise BadSurroundings(str(trouble)) from None
    return Application(
        devices=devices,
        sts=sts,
        presigner=presigner,
        role=role,
        throttle=Throttle(Rate(burst=burst, every=every)),
        clock=clock,
        path=path,
    )
