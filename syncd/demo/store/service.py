"""One request from its head to its answer: recognised, met by faults, signed, allowed, done, written down."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from syncd.demo.loopback import Answer, DroppedError, HungError, Request, ResetError, TruncatedBodyError
from syncd.demo.store import contents, listings, multipart
from syncd.demo.store.auth import Gate, read_claim
from syncd.demo.store.calls import Call, Operation, Target, check_headers, read_target, recognise, resource
from syncd.demo.store.completion import complete_upload
from syncd.demo.store.documents import Node, document
from syncd.demo.store.faults import Fault, Faults, Record
from syncd.demo.store.habits import Habits
from syncd.demo.store.journal import Journal
from syncd.demo.store.keys import Principal
from syncd.demo.store.objects import Bucket
from syncd.demo.store.refusals import S3Error
from syncd.demo.store.sts import StsError, TokenService, error_answer, refusal
from syncd.demo.store.suffer import befall, dress

log = structlog.get_logger()

_ERROR_STATUS = 400
_ENDS: dict[type[DroppedError], str] = {ResetError: "Reset", HungError: "Hung"}


@dataclass(slots=True, kw_only=True)
class Service:
    """Answers requests. `make_bucket` makes a new one; `stopping` ends the delays of faults."""

    gate: Gate
    tokens: TokenService
    buckets: dict[str, Bucket]
    make_bucket: Callable[[str], None]
    account: str
    journal: Journal
    min_part_size: int
    clock: Callable[[], float]
    stopping: threading.Event
    faults: Callable[[], Faults | None]
    habits: Callable[[], Habits]

    def respond(self, request: Request) -> Answer:
        """The answer, written down in the journal. Raises DroppedError or TruncatedBodyError: none goes out."""
        record = Record(
            at=self.clock(),
            request_id=secrets.token_hex(8).upper(),
            method=request.method,
            length=request.body.length or 0,
        )
        started = time.monotonic()
        try:
            answer = self._answer(request, record)
        except DroppedError as end:
            record.status, record.code = 0, _ENDS.get(type(end), "Dropped")
            raise
        except TruncatedBodyError:
            record.code = "IncompleteBody"
            raise
        finally:
            record.received = request.body.received
            record.seconds = time.monotonic() - started
            self.journal.add(record)
        return answer

    def _answer(self, request: Request, record: Record) -> Answer:
        faults = self.faults()
        answer = self._operate(request, record, faults)
        record.status = answer.status
        fault = faults.after(record) if faults is not None else None
        return answer if fault is None else self._meet(fault, request, record, lambda: answer)

    def _operate(self, request: Request, record: Record, faults: Faults | None) -> Answer:
        try:
            target = read_target(request)
            operation = recognise(request, target)
            _note(record, operation, target, request)
        except S3Error as error:
            return self._refuse(request, record, error)
        fault = faults.before(record) if faults is not None else None

        def perform() -> Answer:
            return self._attempt(request, record, operation, target)

        return perform() if fault is None else self._meet(fault, request, record, perform)

    def _attempt(self, request: Request, record: Record, operation: Operation, target: Target) -> Answer:
        try:
            return _signed_by_us(self._perform(request, record, operation, target), record)
        except (S3Error, StsError) as error:
            return self._refuse(request, record, error)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("store_failed", operation=record.operation, key=record.key)
            return self._refuse(request, record, S3Error("InternalError", "The store itself failed."))

    def _perform(self, request: Request, record: Record, operation: Operation, target: Target) -> Answer:
        check_headers(request, operation)
        if operation.name == "AssumeRole":
            return self.tokens.assume_role(request, record.request_id)
        principal = self.gate.admit(request, service="s3")
        request = self.habits().overlook(request, operation.name)
        if operation.name == "CreateBucket":
            return self._create_bucket(principal, target, operation)
        call = self._call(request, record, principal, target)
        if not call.may(operation.action, target.key):
            raise S3Error("AccessDenied", f"Access Denied: {operation.action}")
        return self._operation(operation.name)(call)

    def _operation(self, name: str) -> Callable[[Call], Answer]:
        return {
            "HeadBucket": listings.head_bucket,
            "ListObjectsV2": listings.list_objects,
            "ListMultipartUploads": listings.list_uploads,
            "PutObject": contents.put_object,
            "GetObject": contents.get_object,
            "HeadObject": contents.head_object,
            "DeleteObject": contents.delete_object,
            "CreateMultipartUpload": multipart.create_upload,
            "UploadPart": multipart.upload_part,
            "ListParts": multipart.list_parts,
            "AbortMultipartUpload": multipart.abort_upload,
            "CompleteMultipartUpload": complete_upload(self.min_part_size),
        }[name]

    def _call(self, request: Request, record: Record, principal: Principal, target: Target) -> Call:
        bucket = self.buckets.get(target.bucket)
        if bucket is None:
            raise S3Error("NoSuchBucket", "The specified bucket does not exist", BucketName=target.bucket)
        if request.headers.get("x-amz-expected-bucket-owner", self.account) != self.account:
            raise S3Error("AccessDenied", "Access Denied: the bucket has another owner")
        return Call(
            request=request,
            record=record,
            principal=principal,
            bucket=bucket,
            key=target.key,
            query=target.query,
            now=self.clock(),
            habits=self.habits(),
        )

    def _create_bucket(self, principal: Principal, target: Target, operation: Operation) -> Answer:
        if not principal.may(operation.action, resource(target.bucket)):
            raise S3Error("AccessDenied", "Access Denied")
        if target.bucket in self.buckets:
            raise S3Error("BucketAlreadyOwnedByYou", "You own this bucket already.", BucketName=target.bucket)
        self.make_bucket(target.bucket)
        return Answer(headers={"Location": f"/{target.bucket}"})

    def _meet(
        self, fault: Fault, request: Request, record: Record, otherwise: Callable[[], Answer]
    ) -> Answer:
        """Let the fault happen to the request; where that does not end it, to the answer that comes otherwise."""
        if fault.abort:
            self._abort(record)
        befall(fault, request.body, self.stopping)
        answer = otherwise() if fault.status is None else self._instead(fault, fault.status, request, record)
        return dress(fault, answer, patient=record.operation == "CompleteMultipartUpload")

    def _instead(self, fault: Fault, status: int, request: Request, record: Record) -> Answer:
        record.status = status
        record.code = fault.code if status >= _ERROR_STATUS else ""
        body = fault.body if fault.body is not None else _document(fault.code, fault.message, record, {})
        body = _unless_head(request, body)
        answer = Answer(status=status, headers=fault.headers, body=body, repeat=fault.repeat)
        return answer if fault.foreign else _signed_by_us(answer, record)

    def _abort(self, record: Record) -> None:
        """Drop the upload that the request names, if it is open."""
        bucket = self.buckets.get(record.bucket)
        upload = bucket.uploads.get(record.upload_id or "") if bucket is not None else None
        if bucket is not None and upload is not None:
            with upload.lock:
                bucket.drop_upload(upload)

    def _refuse(self, request: Request, record: Record, error: S3Error | StsError) -> Answer:
        if record.operation == "AssumeRole" or isinstance(error, StsError):
            said = refusal(error)
            record.code = said.code
            return _signed_by_us(error_answer(said, record.request_id), record)
        record.code = self.habits().gone_code if error.code == "NoSuchUpload" else error.code
        if error.code == "NotModified":
            return _signed_by_us(Answer(status=error.status), record)
        body = _document(record.code, error.message, record, error.detail)
        return _signed_by_us(Answer(status=error.status, body=_unless_head(request, body)), record)


def _signed_by_us(answer: Answer, record: Record) -> Answer:
    """With the headers that every answer of S3 has."""
    ids = {"x-amz-request-id": record.request_id, "x-amz-id-2": record.request_id}
    return replace(answer, headers={"Content-Type": "application/xml"} | answer.headers | ids)


def _note(record: Record, operation: Operation, target: Target, request: Request) -> None:
    """Write down what the head says; none of it is believed yet."""
    record.operation, record.bucket, record.key = operation.name, target.bucket, target.key
    record.upload_id = target.query.get("uploadId")
    number = target.query.get("partNumber", "")
    record.part_number = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None  # noqa: PLR2004
    if "authorization" in request.headers:
        try:
            record.access_key = read_claim(request).access_key
        except S3Error:
            record.access_key = None


def _document(code: str, message: str, record: Record, detail: dict[str, str | int]) -> bytes:
    where = f"/{record.bucket}/{record.key}" if record.key else f"/{record.bucket}"
    children: list[Node] = [
        ("Code", code),
        ("Message", message),
        *detail.items(),
        ("Resource", where),
        ("RequestId", record.request_id),
        ("HostId", record.request_id),
    ]
    return document("Error", children, namespace=None)


def _unless_head(request: Request, body: bytes) -> bytes:
    return b"" if request.method == "HEAD" else body
