"""The demo's witness: reads an object back with a plain S3 client and the store's own key, and takes its SHA-256.

Shares nothing with the daemon: not its credentials, not its checksums, not what it believes to have sent.
"""

from __future__ import annotations

import hashlib

from syncd.demo.store import Store

_BLOCK = 1 << 20


def sha256_of(store: Store, key: str) -> tuple[int, str]:
    """Size and SHA-256 in hex of an object of the store's bucket."""
    import boto3  # noqa: PLC0415 - heavy, and only needed here
    from botocore.config import Config  # noqa: PLC0415

    session = boto3.session.Session(
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name=store.region,
    )
    client = session.client(
        "s3", endpoint_url=store.url, config=Config(s3={"addressing_style": "path"}, proxies={})
    )
    size, total = 0, hashlib.sha256()
    body = client.get_object(Bucket=store.bucket, Key=key)["Body"]
    with body:
        while block := body.read(_BLOCK):
            size += len(block)
            total.update(block)
    client.close()
    return size, total.hexdigest()
