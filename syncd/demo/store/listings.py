"""Buckets and what is in them: CreateBucket, HeadBucket, ListObjectsV2, ListMultipartUploads, all in pages."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import quote

from syncd.demo.loopback import Answer
from syncd.demo.store.calls import Call
from syncd.demo.store.contents import SMALL
from syncd.demo.store.documents import Node, document, quoted, timestamp
from syncd.demo.store.intake import read_small
from syncd.demo.store.multipart import PAGE
from syncd.demo.store.objects import Upload
from syncd.demo.store.refusals import S3Error


def head_bucket(call: Call) -> Answer:
    """The bucket is there, or the call would not have come this far."""
    read_small(call.request, SMALL)
    return Answer()


def list_objects(call: Call) -> Answer:
    """A page of the bucket's objects, by key."""
    read_small(call.request, SMALL)
    if call.query["list-type"] != "2":
        raise S3Error("InvalidArgument", "list-type must be 2")
    prefix, page = call.query.get("prefix", ""), call.number("max-keys", PAGE, PAGE)
    token = call.query.get("continuation-token")
    after = call.query.get("start-after", "") if token is None else _read_token(token)
    with call.bucket.lock:
        keys = sorted(key for key in call.bucket.objects if key.startswith(prefix) and key > after)
        shown = [call.bucket.objects[key] for key in keys[:page]]
    truncated = len(keys) > len(shown)
    children: list[Node] = [
        ("Name", call.bucket.name),
        ("Prefix", _encode(call, prefix)),
        ("KeyCount", len(shown)),
        ("MaxKeys", page),
        ("IsTruncated", "true" if truncated else "false"),
        *_encoding(call),
    ]
    if truncated and shown:
        children.append(("NextContinuationToken", base64.urlsafe_b64encode(shown[-1].key.encode()).decode()))
    for record in shown:
        node: list[Node] = [
            ("Key", _encode(call, record.key)),
            ("LastModified", timestamp(record.modified)),
            ("ETag", quoted(record.etag)),
            ("Size", record.size),
            ("StorageClass", "STANDARD"),
        ]
        children.append(("Contents", node))
    return Answer(body=document("ListBucketResult", children))


def list_uploads(call: Call) -> Answer:
    """A page of the bucket's open uploads, by key and upload id."""
    read_small(call.request, SMALL)
    prefix, page = call.query.get("prefix", ""), call.number("max-uploads", PAGE, PAGE)
    marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
    with call.bucket.lock:
        found = [each for each in call.bucket.uploads.values() if each.key.startswith(prefix)]
    later = sorted((each for each in found if _is_after(each, marker)), key=_place)
    shown = later[:page]
    truncated = len(later) > len(shown)
    children: list[Node] = [
        ("Bucket", call.bucket.name),
        ("KeyMarker", _encode(call, marker[0])),
        ("UploadIdMarker", marker[1]),
        ("Prefix", _encode(call, prefix)),
        ("MaxUploads", page),
        ("IsTruncated", "true" if truncated else "false"),
        *_encoding(call),
    ]
    if truncated and shown:
        children.append(("NextKeyMarker", _encode(call, shown[-1].key)))
        children.append(("NextUploadIdMarker", shown[-1].upload_id))
    children += [("Upload", _upload_node(call, each)) for each in shown]
    return Answer(body=document("ListMultipartUploadsResult", children))


def _upload_node(call: Call, upload: Upload) -> list[Node]:
    node: list[Node] = [
        ("UploadId", upload.upload_id),
        ("Key", _encode(call, upload.key)),
        ("StorageClass", "STANDARD"),
        ("Initiated", timestamp(upload.initiated)),
    ]
    if upload.algorithm is not None and upload.checksum_type is not None:
        node += [("ChecksumAlgorithm", upload.algorithm.upper()), ("ChecksumType", upload.checksum_type)]
    return node


def _place(upload: Upload) -> tuple[str, str]:
    return upload.key, upload.upload_id


def _is_after(upload: Upload, marker: tuple[str, str]) -> bool:
    key, upload_id = marker
    return _place(upload) > marker if upload_id else upload.key > key


def _encode(call: Call, text: str) -> str:
    return quote(text, safe="/") if call.query.get("encoding-type") == "url" else text


def _encoding(call: Call) -> list[Node]:
    return [("EncodingType", "url")] if call.query.get("encoding-type") == "url" else []


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None
