"""What an object is to be like beside its bytes, as others than the strict store understand our requests."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from syncd.model import Algorithm, Condition, Target
from syncd.ports import ObjectStore

from .conftest import BytesBody, Destination

TAGS = {"project": "Reef: +1/2 = ok@home", "größe": "", "a b": "c d"}


def wished(destination: Destination) -> Target:
    return dataclasses.replace(
        destination.target(),
        metadata={"syncd-device": "cam-07", "lab": "7"},
        tags=TAGS,
        storage_class="STANDARD_IA",
        encryption="aws:kms",
        kms_key_id="alias/reef",
    )


def put(store: ObjectStore, target: Target) -> None:
    store.put(target, BytesBody(b"hello", Algorithm.MD5), Condition(if_none_match=True))


def in_parts(store: ObjectStore, target: Target) -> None:
    upload_id = store.create(target)
    part = store.upload_part(target, upload_id, 1, BytesBody(b"hello", Algorithm.MD5))
    store.complete(target, upload_id, [part], size=5, checksum="", condition=Condition(if_none_match=True))


@pytest.mark.parametrize("write", [put, in_parts])
def test_every_wish_is_understood(served: Destination, write: Any) -> None:
    target = wished(served)
    write(served.store, target)
    admin: Any = served.admin
    head = admin.head_object(Bucket=target.bucket, Key=target.key)
    assert head["StorageClass"] == "STANDARD_IA"
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/reef")
    assert head["ContentType"] == "video/mp4"
    assert head["Metadata"]["lab"] == "7"
    if served.name == "moto":  # the strict store has no such request
        told = admin.get_object_tagging(Bucket=target.bucket, Key=target.key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in told} == TAGS
