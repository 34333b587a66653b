"""The destination: S3 by the port `ObjectStore`, one request each, every answer validated, every failure one of our kinds.

Sums are ready-made headers over the very bytes that are sent; botocore computes none. Nothing is retried here (see
`retrying`). A Put or Complete whose answer was lost is Doubtful unless it is certain that nothing was stored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from botocore.exceptions import BotoCoreError, ClientError

from syncd.adapters.s3 import answers
from syncd.adapters.s3.body import BodyReader
from syncd.adapters.s3.client import Clients
from syncd.adapters.s3.faults import Asked, NotShown, Unsupported, read_answer, translate
from syncd.adapters.s3.outages import LostAnswer, cause_in
from syncd.errors import (
    ChecksumIgnored,
    Doubtful,
    EncryptionIgnored,
    LockedOut,
    ObjectExists,
    SyncdError,
    UploadGone,
)
from syncd.model import Algorithm, Begun, Condition, OpenUpload, Part, RemoteObject, Stored, Target
from syncd.ports import Body, Pace


class S3Store:
    """One S3 or S3-compatible destination. Safe to use from many threads. `page`: entries per listing, S3 gives 1,000."""

    def __init__(self, clients: Clients, *, page: int = 1_000, pace: Pace | None = None) -> None:
        self._clients = clients
        self._pace = pace
        self._page = page

    def close(self) -> None:
        """Let go of every connection."""
        self._clients.close()

    def address(self, bucket: str, key: str) -> str:
        """The URL that requests about this object go to; nothing is sent."""
        try:
            return self._clients.address(bucket, key)
        except BotoCoreError as error:
            asked = Asked(operation="head", bucket=bucket, key=key)
            raise translate(error, asked, secrets=self._clients.secrets()) from error

    def put(self, target: Target, body: Body, condition: Condition) -> Stored:
        """PutObject. Again: refused by the condition, or replaces the object by itself."""
        try:
            return self._put(target, body, condition)
        except ObjectExists:
            if condition.if_match is None:
                raise
            # Ceph, and what is built on it, compares the bare ETag with what we send, quotes and all. Whoever compares
            # as HTTP says refuses once more.
            return self._put(target, body, Condition(if_match=condition.if_match.strip('"')))

    def _put(self, target: Target, body: Body, condition: Condition) -> Stored:
        asked = _about("put", target)
        reader = self._reader(body)
        given = {
            **_object(target),
            **_sum(target.algorithm, body.checksum),
            **_condition(condition),
            "Body": reader,
        }
        with _doubt(reader), _checksums_may_be_unknown(target):
            with _counted(body, reader):
                answer = self._call(asked, "put_object", given)
            stored = answers.stored(answer, asked, target.algorithm)
            answers.encrypted(answer, asked, target.encryption, etag=stored.etag)
            answers.honoured(answer, asked, target.algorithm, body.checksum)
            return stored

    def create(self, target: Target) -> str:
        """CreateMultipartUpload: the upload id. Again: a second upload, whose first the caller must abort."""
        return self.begin(target).upload_id

    def begin(self, target: Target) -> Begun:
        """The same, with what the answer says about the bucket's rules."""
        asked = _about("create", target)
        given = _object(target)
        if target.algorithm in answers.FIELD:
            given["ChecksumAlgorithm"] = answers.NAME[target.algorithm]
            given["ChecksumType"] = answers.TYPE[target.algorithm]
        with _checksums_may_be_unknown(target):
            answer = self._call(asked, "create_multipart_upload", given)
        answers.echoed(answer, asked)
        upload_id = answer.get("UploadId")
        if not isinstance(upload_id, str) or not upload_id:
            raise LostAnswer(f"{asked}: the answer has no upload id")
        try:
            answers.encrypted(answer, asked, target.encryption)
            answers.promised(answer, asked, target.algorithm)
        except (ChecksumIgnored, EncryptionIgnored):
            with contextlib.suppress(
                SyncdError
            ):  # as far as that goes; the store's lifecycle is the backstop
                self.abort(target.bucket, target.key, upload_id)
            raise
        return Begun(upload_id=upload_id, swept_at=answers.swept_at(answer))

    def upload_part(self, target: Target, upload_id: str, number: int, body: Body) -> Part:
        """UploadPart. Again: replaces the part by itself."""
        asked = _about("upload_part", target)
        reader = self._reader(body)
        given = {
            **_where(asked),
            "UploadId": upload_id,
            "PartNumber": number,
            **_sum(target.algorithm, body.checksum),
            "Body": reader,
        }
        with _counted(body, reader):
            answer = self._call(asked, "upload_part", given)
        etag = answers.etag(answer, asked)
        answers.honoured(answer, asked, target.algorithm, body.checksum)
        return Part(number=number, size=body.size, etag=etag, checksum=body.checksum or None)

    def list_parts(self, target: Target, upload_id: str) -> Iterator[Part]:
        """ListParts, page by page as they are consumed. Raises UploadGone."""
        asked = _about("list_parts", target)
        marker = 0
        while True:
            given = {**_where(asked), "UploadId": upload_id, "PartNumberMarker": marker}
            page = self._call(asked, "list_parts", {**given, "MaxParts": self._page})
            answers.echoed(page, asked)
            for listed in page.get("Parts") or []:
                part = answers.part(listed, asked, target.algorithm)
                marker = max(marker, part.number)
                yield part
            if not page.get("IsTruncated"):
                return
            if marker <= given["PartNumberMarker"]:
                raise LostAnswer(f"{asked}: the listing does not get beyond part {marker}")

    def complete(
        self,
        target: Target,
        upload_id: str,
        parts: list[Part],
        *,
        size: int,
        checksum: str,
        condition: Condition,
    ) -> Stored:
        """CompleteMultipartUpload. Again: AWS answers the same, others UploadGone; the caller looks by HEAD."""
        asked = _about("complete", target)
        given = {
            **_where(asked),
            "UploadId": upload_id,
            "MultipartUpload": {"Parts": [_listed(part, target.algorithm) for part in parts]},
            "MpuObjectSize": size,
            **_whole(target.algorithm, checksum),
            **_condition(condition),
        }
        try:
            with _doubt():
                answer = self._call(asked, "complete_multipart_upload", given)
                answers.echoed(answer, asked)
                return answers.stored(answer, asked, target.algorithm)
        except UploadGone as gone:
            # With If-Match, NoSuchKey may mean the object as well as the upload.
            if condition.if_match is not None and _code(gone) == "NoSuchKey":
                raise Doubtful(str(gone)) from gone
            raise

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """AbortMultipartUpload; one that is gone already counts as aborted."""
        asked = Asked(operation="abort", bucket=bucket, key=key)
        with contextlib.suppress(UploadGone):
            self._call(asked, "abort_multipart_upload", {**_where(asked), "UploadId": upload_id})

    def head(self, bucket: str, key: str) -> RemoteObject | None:
        """What is under the key; None for 404, and for the 403 that stands for it where listing is not allowed."""
        asked = Asked(operation="head", bucket=bucket, key=key)
        try:
            answer = self._call(asked, "head_object", {**_where(asked), "ChecksumMode": "ENABLED"})
        except NotShown:
            return None
        return answers.remote_object(answer, asked)

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        """Open uploads of exactly this key as (upload id, initiated at); None where we may not list them."""
        asked = Asked(operation="list_uploads", bucket=bucket, key=key)
        found: list[tuple[str, float]] = []
        markers: dict[str, str] | None = {}
        while markers is not None:
            try:
                given = {"Bucket": bucket, "Prefix": key, "MaxUploads": self._page, **markers}
                page = self._call(asked, "list_multipart_uploads", given)
            except NotShown:
                return None
            found.extend(answers.uploads_of(page, asked))
            markers = answers.next_uploads(page, asked, markers)
        return found

    def uploads_below(self, bucket: str, prefix: str) -> list[OpenUpload] | None:
        """Every open upload whose key begins so; None where we may not list them."""
        asked = Asked(operation="list_uploads", bucket=bucket, key=prefix)
        found: list[OpenUpload] = []
        markers: dict[str, str] | None = {}
        while markers is not None:
            try:
                given = {"Bucket": bucket, "Prefix": prefix, "MaxUploads": self._page, **markers}
                page = self._call(asked, "list_multipart_uploads", given)
            except NotShown:
                return None
            found.extend(answers.open_uploads(page, asked))
            markers = answers.next_page(page, asked, markers)
        return found

    def _reader(self, body: Body) -> BodyReader:
        return BodyReader(body, self._pace, signed=int(self._clients.sign_bodies))

    def _call(self, asked: Asked, method: str, given: dict[str, Any]) -> dict[str, Any]:
        client = self._clients.current()
        try:
            answer: dict[str, Any] = getattr(client, method)(**given)
        except SyncdError:  # the credentials' own, or the body's while it is signed
            raise
        except Exception as error:
            own = cause_in(error, SyncdError)
            if own is not None:  # the body's, wrapped by botocore while it was sent
                raise own from None
            asked = replace(asked, owner=self._clients.settings.expected_bucket_owner)
            secrets = self._clients.secrets()
            raise translate(error, asked, region=client.meta.region_name, secrets=secrets) from error
        return answer


_OTHER_WISHES = re.compile(r"encryption|\bKMS\b|\bSSE\b|tagging|storage.?class", re.IGNORECASE)


@contextlib.contextmanager
def _doubt(reader: BodyReader | None = None) -> Iterator[None]:
    """A lost answer is doubt about the object, unless its body had not been sent to the end."""
    try:
        yield
    except LostAnswer as lost:
        if reader is not None and not reader.exhausted:
            raise
        raise Doubtful(str(lost), hint=lost.hint) from lost


@contextlib.contextmanager
def _counted(body: Body, reader: BodyReader) -> Iterator[None]:
    """Tell the body what went out. Who is refused entry is so before the body: `Expect: 100-continue`."""
    try:
        yield
    except LockedOut:
        raise
    except BaseException:
        body.sent(reader.tell())
        raise
    body.sent(body.size)


@contextlib.contextmanager
def _checksums_may_be_unknown(target: Target) -> Iterator[None]:
    """A store that does not implement the request may do so without the checksum, unless it says what it means."""
    try:
        yield
    except Unsupported as unsupported:
        if target.algorithm not in answers.FIELD or _OTHER_WISHES.search(str(unsupported)):
            raise
        raise ChecksumIgnored(str(unsupported)) from unsupported


def _code(fault: SyncdError) -> str:
    return read_answer(fault.__cause__).code if isinstance(fault.__cause__, ClientError) else ""


def _about(operation: str, target: Target) -> Asked:
    return Asked(operation=operation, bucket=target.bucket, key=target.key, also=_also(operation, target))


def _also(operation: str, target: Target) -> tuple[str, ...]:
    """What the request needs beside the right that its name says, as an operator knows it."""
    needs = []
    if target.tags and operation in {"put", "create"}:
        needs.append("s3:PutObjectTagging (for destination.tags)")
    if target.encryption == "aws:kms":
        needs.append("kms:GenerateDataKey and kms:Decrypt (for the KMS key)")
    return tuple(needs)


def _where(asked: Asked) -> dict[str, Any]:
    return {"Bucket": asked.bucket, "Key": asked.key}


def _object(target: Target) -> dict[str, Any]:
    given: dict[str, Any] = {"Bucket": target.bucket, "Key": target.key}
    given["Metadata"] = {**target.metadata, answers.MARK: target.token}
    if target.content_type is not None:
        given["ContentType"] = target.content_type
    if target.tags:
        given["Tagging"] = urlencode(target.tags, quote_via=quote, safe="")
    wishes = {
        "StorageClass": target.storage_class,
        "ServerSideEncryption": target.encryption,
        "SSEKMSKeyId": target.kms_key_id,
    }
    return given | {name: wish for name, wish in wishes.items() if wish is not None}


def _sum(algorithm: Algorithm, value: str) -> dict[str, Any]:
    if algorithm is Algorithm.MD5:
        return {"ContentMD5": value}
    return {answers.FIELD[algorithm]: value} if algorithm in answers.FIELD else {}


def _whole(algorithm: Algorithm, value: str) -> dict[str, Any]:
    if algorithm not in answers.FIELD:
        return {}
    given = {"ChecksumType": answers.TYPE[algorithm]}
    if (
        answers.TYPE[algorithm] == "FULL_OBJECT"
    ):  # a composite sum is made of the parts' sums, which are listed
        given[answers.FIELD[algorithm]] = value
    return given


def _listed(part: Part, algorithm: Algorithm) -> dict[str, Any]:
    listed: dict[str, Any] = {"PartNumber": part.number, "ETag": part.etag}
    if algorithm in answers.FIELD and part.checksum is not None:
        listed[answers.FIELD[algorithm]] = part.checksum
    return listed


def _condition(condition: Condition) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if condition.if_none_match:
        given["IfNoneMatch"] = "*"
    if condition.if_match is not None:
        given["IfMatch"] = condition.if_match
    return given
