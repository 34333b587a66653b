"""One request from its head to its answer: recognised, met by faults, signed, allowed, done, written down."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from syncd.demo.loopback import Answer, DroppedError, Request, TruncatedBodyError
from syncd.demo.store import contents, listings, multipart
from syncd.demo.store.auth import Gate, read_claim
from syncd.demo.store.calls import Call, Operation, Target, check_headers, read_target, recognise, resource
from syncd.demo.store.completion import complete_upload
from syncd.demo.store.documents import Node, document
from syncd.demo.store.faults import Fault, Faults, Journal, Record
from syncd.demo.store.keys import Principal
from syncd.demo.store.objects import Bucket
from syncd.demo.store.refusals import S3Error
from syncd.demo.store.sts import StsError, TokenService, error_answer, refusal

log = structlog.get_logger()

_ERROR_STATUS = 400


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
        except DroppedError:
            record.status, record.code = 0, "Dropped"
            raise
        except TruncatedBodyError:
            record.code = "IncompleteBody"
            raise
        finally:
            record.received = request.body.received
            record.seconds = time.monotonic() - started
            self.journal.add(record)
        ids = {"x-amz-request-id": record.request_id, "x-amz-id-2": record.request_id}
        return replace(answer, headers={"Content-Type": "application/xml"} | answer.headers | ids)

    def _answer(self, request: Request, record: Record) -> Answer:
        answer = self._operate(request, record)
        record.status = answer.status
        faults = self.faults()
        fault = faults.after(record) if faults is not None else None
        instead = self._suffer(fault, record, request) if fault is not None else None
        return answer if instead is None else instead

    def _operate(self, request: Request, record: Record) -> Answer:
        try:
            target = read_target(request)
            operation = recognise(request, target)
            _note(record, operation, target, request)
            faults = self.faults()
            fault = faults.before(record) if faults is not None else None
            instead = self._suffer(fault, record, request) if fault is not None else None
            return instead if instead is not None else self._perform(request, record, operation, target)
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
        )

    def _create_bucket(self, principal: Principal, target: Target, operation: Operation) -> Answer:
        if not principal.may(operation.action, resource(target.bucket)):
            raise S3Error("AccessDenied", "Access Denied")
        if target.bucket in self.buckets:
            raise S3Error("BucketAlreadyOwnedByYou", "You own this bucket already.", BucketName=target.bucket)
        self.make_bucket(target.bucket)
        return Answer(headers={"Location": f"/{target.bucket}"})

    def _suffer(self, fault: Fault, record: Record, request: Request) -> Answer | None:
        """Let the fault happen; None when the request goes on."""
        if fault.delay and self.stopping.wait(fault.delay):
            raise DroppedError
        if fault.drop:
            raise DroppedError
        if fault.status is None:
            return None
        record.status = fault.status
        record.code = fault.code if fault.status >= _ERROR_STATUS else ""
        body = fault.body if fault.body is not None else _document(fault.code, fault.message, record, {})
        return Answer(status=fault.status, headers=fault.headers, body=_unless_head(request, body))

    def _refuse(self, request: Request, record: Record, error: S3Error | StsError) -> Answer:
        if record.operation == "AssumeRole" or isinstance(error, StsError):
            said = refusal(error)
            record.code = said.code
            return error_answer(said, record.request_id)
        record.code = error.code
        if error.code == "NotModified":
            return Answer(status=error.status)
        body = _document(error.code, error.message, record, error.detail)
        return Answer(status=error.status, body=_unless_head(request, body))


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
