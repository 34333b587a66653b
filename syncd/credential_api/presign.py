"""A URL for one PUT of one object below a device's prefix: for programs that cannot sign anything themselves.

The size is part of the signature, and so is the content type: what is put must have both. S3 takes 5 GiB in one piece.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/PresignedUrlUploadObject.html
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config

from syncd.credential_api.devices import Device

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGEST = 5 << 30
_LONGEST_KEY = 1024
_CONTENT_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}(?:; ?[A-Za-z0-9-]+=[A-Za-z0-9._-]+)*"
)


class BadUpload(Exception):
    """No such object can be put: the message says why; `code` in one word."""

    def __init__(self, message: str, code: str = "bad_request") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What somebody wants to put: key and size in bytes."""

    key: str
    size: int
    content_type: str | None = None


def read_upload(document: Mapping[str, Any], device: Device) -> Upload:
    """From `{"path", "size", "content_type"?}`. Raises BadUpload."""
    size, content_type = document.get("size"), document.get("content_type")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadUpload("size must be a number of bytes")
    if size > LARGEST:
        text = "one PUT takes 5 GiB at most: ask for credentials instead and upload in parts (multipart)"
        raise BadUpload(text, "too_large")
    if content_type is not None and not (
        isinstance(content_type, str) and _CONTENT_TYPE.fullmatch(content_type)
    ):
        raise BadUpload("content_type must be one, such as video/mp4")
    return Upload(key=_key(device.prefix, document.get("path")), size=size, content_type=content_type)


def _key(prefix: str, path: Any) -> str:
    if not isinstance(path, str) or any(segment in {"", ".", ".."} for segment in path.split("/")):
        raise BadUpload("path must be one below the prefix, without empty segments, . or ..")
    if not path.isprintable():
        raise BadUpload("path must be printable")
    if len((prefix + path).encode()) > _LONGEST_KEY:
        raise BadUpload(f"prefix and path together must not be longer than {_LONGEST_KEY} bytes")
    return prefix + path


class Presigner(Protocol):
    """Who signs URLs."""

    def put(self, upload: Upload, device: Device, assumed: Mapping[str, Any], now: float) -> dict[str, Any]:
        """The answer for one upload; its URL ends with the session that `assumed` gave."""
        ...


class S3Presigner:
    """Signs by botocore's own rules for the region, or for a store of one's own (`endpoint_url`, path style)."""

    def __init__(self, region: str, endpoint_url: str | None = None) -> None:
        self._session = boto3.session.Session(region_name=region)
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()  # a session makes one client at a time

    def put(self, upload: Upload, device: Device, assumed: Mapping[str, Any], now: float) -> dict[str, Any]:
        """No call goes out."""
        given = assumed["Credentials"]
        ends_at = int(given["Expiration"].timestamp())
        parameters: dict[str, Any] = {
            "Bucket": device.bucket,
            "Key": upload.key,
            "ContentLength": upload.size,
        }
        headers = {"Content-Length": str(upload.size)}
        if upload.content_type is not None:
            parameters["ContentType"] = headers["Content-Type"] = upload.content_type
        seconds = max(int(ends_at - now), 1)
        url = self._client(given).generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds)
        return {
            "Url": url,
            "Method": "PUT",
            "Headers": headers,
            "Key": upload.key,
            "Expires": datetime.fromtimestamp(min(int(now) + seconds, ends_at), UTC).isoformat(),
        }

    def _client(self, given: Mapping[str, Any]) -> S3Client:
        # With "auto" the host would have no region, and a young bucket would answer by a redirect.
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "virtual"}
            if self._endpoint_url is None
            else {"addressing_style": "path"},
            request_checksum_calculation="when_required",  # else the sum of an empty body gets into the URL
        )
        with self._lock:
            return self._session.client(
                "s3",
                endpoint_url=self._endpoint_url,
                aws_access_key_id=given["AccessKeyId"],
                aws_secret_access_key=given["SecretAccessKey"],
                aws_session_token=given["SessionToken"],
                config=config,
            )
