"""S3, as the ports `ObjectStore` and `Sums` want it: with the credentials, the only place that knows botocore and awscrt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from syncd.errors import SyncdError
from syncd.ports import Clock, Credentials, Pace, ServerTime

if TYPE_CHECKING:
    from syncd.adapters.s3.retrying import RetryingStore
    from syncd.adapters.s3.sums import AwsSums


def open_store(
    *,
    credentials: Credentials,
    clock: Clock,
    stop: threading.Event,
    server_time: ServerTime | None = None,
    pace: Pace | None = None,
    tried_again: Callable[[SyncdError], None] = lambda _: None,
    region: str | None = None,
    endpoint_url: str | None = None,
    addressing_style: str = "auto",
    ca_file: str | None = None,
    proxy: str | None = None,
    expected_bucket_owner: str | None = None,
    connect_timeout: float = 30.0,
    read_timeout: float = 120.0,
    connections: int = 10,
) -> tuple[RetryingStore, AwsSums]:
    """The destination, with retries, and the sums for it; no network before the first call. The caller closes the store.

    `stop` ends every wait between attempts; `connections` is how many requests may be under way at once. `server_time`
    learns from the answers and dates the signatures; None: the local clock does. `pace` holds bodies back.
    `tried_again` is told of every failure after which a request is made once more.
    """
    # botocore costs 0.4 s and 55 MiB: only for a verb that really opens the destination.
    from syncd.adapters.s3.client import Clients, Settings  # noqa: PLC0415 - see above
    from syncd.adapters.s3.retrying import RetryingStore  # noqa: PLC0415
    from syncd.adapters.s3.store import S3Store  # noqa: PLC0415
    from syncd.adapters.s3.sums import AwsSums  # noqa: PLC0415
    from syncd.adapters.s3.timing import Timing  # noqa: PLC0415

    settings = Settings(
        region=region,
        endpoint_url=endpoint_url,
        addressing_style=addressing_style,
        ca_file=ca_file,
        proxy=proxy,
        expected_bucket_owner=expected_bucket_owner,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        connections=connections,
    )
    timing = None if server_time is None else Timing(clock=clock, server_time=server_time)
    store = S3Store(Clients(settings, credentials, timing), pace=pace)
    retrying = RetryingStore(store, credentials=credentials, clock=clock, stop=stop, tried_again=tried_again)
    return retrying, AwsSums()
