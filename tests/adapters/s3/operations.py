"""Every operation of the store as one call, and answers as S3 words them."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.adapters.s3.store import S3Store
from syncd.errors import SyncdError
from syncd.model import Condition, Part, Stored

from .conftest import BytesBody, Reply, target

PLAIN = Condition()
FIRST = Condition(if_none_match=True)
HTML = b"<html><head><title>Welcome</title></head><body>Please accept our terms</body></html>"
PORTAL = Reply(200, HTML, {"Content-Type": "text/html"})
EMPTY = Reply(200)
TARGET = target()
BODY = BytesBody(b"hello")
SUM = BODY.checksum
PARTS = [Part(number=1, size=5, etag='"e1"', checksum=SUM)]


def xml(body: str, **headers: str) -> Reply:
    return Reply(
        200, b'<?xml version="1.0"?>' + body.encode(), {n.replace("_", "-"): v for n, v in headers.items()}
    )


CREATED = (
    "<InitiateMultipartUploadResult><Bucket>captures</Bucket><Key>cam/a.bin</Key><UploadId>U1</UploadId>"
    "</InitiateMultipartUploadResult>"
)
COMPLETED = (
    "<CompleteMultipartUploadResult><Bucket>captures</Bucket><Key>cam/a.bin</Key><ETag>{etag}</ETag>"
    "</CompleteMultipartUploadResult>"
)
OK_PUT = Reply(200, headers={"ETag": '"e"', "x-amz-checksum-crc32": SUM})


def complete(store: S3Store, condition: Condition = PLAIN) -> Stored:
    return store.complete(TARGET, "U1", PARTS, size=5, checksum=SUM, condition=condition)


def call(store: S3Store, operation: str, condition: Condition, body: BytesBody) -> object:
    return {
        "put": lambda: store.put(TARGET, body, condition),
        "create": lambda: store.create(TARGET),
        "upload_part": lambda: store.upload_part(TARGET, "U1", 1, body),
        "list_parts": lambda: list(store.list_parts(TARGET, "U1")),
        "complete": lambda: complete(store, condition),
        "abort": lambda: store.abort("captures", "cam/a.bin", "U1"),
        "head": lambda: store.head("captures", "cam/a.bin"),
        "list_uploads": lambda: store.list_uploads("captures", "cam/a.bin"),
    }[operation]()


ALL = ["put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"]
UNVALIDATED = [operation for operation in ALL if operation != "abort"]  # a 2xx is all that abort promises


def raised(store: S3Store, operation: str, condition: Condition = PLAIN, body: BytesBody = BODY) -> Any:
    with pytest.raises(SyncdError) as caught:
        call(store, operation, condition, body)
    return caught.value
