"""The demo's credential API: the one that `syncd credential-api serve` runs, in a thread, in front of the demo's store.

Its registry is written anew at each start, with the demo's device and a fresh token in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from syncd.credential_api.application import PATH
from syncd.credential_api.devices import Device, digest_of, new_token
from syncd.credential_api.enrol import add_device
from syncd.credential_api.issue import Role
from syncd.credential_api.local import local_application
from syncd.credential_api.registry import Registry
from syncd.credential_api.server import Address, Server
from syncd.demo.place import DEVICE, Place
from syncd.demo.store import Store


@contextmanager
def credential_api(place: Place, store: Store, session_seconds: int) -> Iterator[str]:
    """Running, at the address that it gives. Raises OSError."""
    token = new_token()
    place.registry.unlink(missing_ok=True)
    device = Device(name=DEVICE, bucket=store.bucket, prefix=f"{DEVICE}/")
    add_device(place.registry, device, digest_of(token))
    place.write_token(token)
    application = local_application(
        devices=Registry(place.registry),
        role=Role(arn=store.role_arn, region=store.region, session_seconds=session_seconds),
        sts_endpoint_url=store.url,
        session=boto3.session.Session(store.access_key, store.secret_key, region_name=store.region),
    )
    with Server(application, Address("127.0.0.1", 0)) as server:
        yield server.url + PATH
