"""The application put together for one machine, with this machine's clocks and keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from syncd.credential_api.application import PATH, Application
from syncd.credential_api.devices import Devices
from syncd.credential_api.issue import Role
from syncd.credential_api.presign import S3Presigner
from syncd.credential_api.sts import AwsSts, sts_client
from syncd.credential_api.throttle import BURST, EVERY_S, Rate, Throttle

if TYPE_CHECKING:
    import boto3


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
    """`session`: where the keys for STS come from; without one boto3's own chain. `every` in seconds."""
    client = sts_client(region=role.region, endpoint_url=sts_endpoint_url, session=session)
    return Application(
        devices=devices,
        sts=AwsSts(client),
        presigner=S3Presigner(role.region, s3_endpoint_url or sts_endpoint_url),
        role=role,
        throttle=Throttle(Rate(burst=burst, every=every)),
        clock=clock,
        path=path,
    )
