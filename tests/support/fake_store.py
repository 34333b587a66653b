"""An object store in memory, honest about what S3 is strict about, with tiny parts: for sweeps of thousands of trials.

The contract suite runs against it too, so that it is no rumour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from syncd.adapters.s3.sums import AwsSums
from syncd.errors import (
    Doubtful,
    LockedOut,
    ObjectExists,
    PartsRejected,
    Refused,
    SyncdError,
    Transient,
    UploadGone,
)
from syncd.model import Algorithm, Condition, OpenUpload, Part, RemoteObject, Stored, Target
from syncd.ports import Body

TOKEN = "syncd-upload"


@dataclass
class Kept:
    data: bytes
    etag: str
    metadata: dict[str, str]
    algorithm: Algorithm
    checksum: str
    content_type: str | None = None


@dataclass
class Upload:
    target: Target
    initiated_at: float = 2e9
    parts: dict[int, tuple[bytes, Part]] = field(default_factory=dict)


class FakeStore:
    def __init__(
        self,
        min_part_size: int = 5,
        *,
        may_list_uploads: bool = True,
        buckets: set[str] | None = None,
        now: Callable[[], float] = lambda: 2e9,
        repeats_complete: bool = True,
    ) -> None:
        self.buckets = buckets  # None: any
        self.now = now
        self.repeats_complete = repeats_complete  # False: a Complete that is done is NoSuchUpload
        self.min_part_size = min_part_size
        self.may_list_uploads = may_list_uploads
        self.objects: dict[tuple[str, str], Kept] = {}
        self.uploads: dict[str, Upload] = {}
        self.completed: dict[str, tuple[str, str]] = {}
        self.writes: list[tuple[str, str]] = []  # (key, token) of every successful Put or Complete
        self.written: list[tuple[str, bytes]] = []  # (token, content), beside `writes`
        self.part_bodies: list[tuple[str, int, int]] = []  # (upload id, number, size) of every body received
        self.after_part: Callable[[int], None] = lambda number: None  # a test meddles here
        self._ids = 0
        self._sums = AwsSums()

    def put(self, target: Target, body: Body, condition: Condition) -> Stored:
        data = read(body)
        self._check_bucket(target.bucket)
        self._check_sum(target.algorithm, data, body.checksum)
        self._check_condition(target, condition, missing=ObjectExists("404 NoSuchKey"))
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        checksum = self._sums.whole(target.algorithm, [(body.checksum, len(data))], multipart=False)
        self._keep(target, data, etag, checksum)
        return Stored(etag=etag, checksum=_echoed(target, checksum))

    def create(self, target: Target) -> str:
        self._ids += 1
        upload_id = f"upload-{self._ids}"
        self.uploads[upload_id] = Upload(target, self.now())
        return upload_id

    def upload_part(self, target: Target, upload_id: str, number: int, body: Body) -> Part:
        data = read(body)
        upload = self._upload(upload_id)
        self.part_bodies.append((upload_id, number, len(data)))
        self._check_sum(target.algorithm, data, body.checksum)
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        part = Part(number=number, size=len(data), etag=etag, checksum=_echoed(target, body.checksum))
        upload.parts[number] = (data, part)
        self.after_part(number)
        return replace(part, checksum=body.checksum or None)  # what was sent; a list shows no MD5

    def list_parts(self, target: Target, upload_id: str) -> Iterator[Part]:
        parts = self._upload(upload_id).parts
        return iter([parts[number][1] for number in sorted(parts)])

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
        if (
            upload_id in self.completed and self.repeats_complete
        ):  # S3 answers a repeat as it answered the first
            kept = self.objects[self.completed[upload_id]]
            return Stored(etag=kept.etag, checksum=_echoed(target, kept.checksum))
        upload = self._upload(upload_id)
        self._check_condition(target, condition, missing=Doubtful("404 NoSuchKey"))
        data = self._assemble(upload, parts)
        if len(data) != size:
            raise PartsRejected("MpuObjectSize differs")
        digests = b"".join(hashlib.md5(upload.parts[part.number][0]).digest() for part in parts)
        sums = [(self._sum(target.algorithm, upload.parts[part.number][0]), part.size) for part in parts]
        full = target.algorithm in {
            Algorithm.CRC64NVME,
            Algorithm.CRC32,
            Algorithm.CRC32C,
        }  # sent with Complete
        if full and self._sums.whole(target.algorithm, sums, multipart=True) != checksum:
            raise PartsRejected("BadDigest")
        self._keep(target, data, f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"', checksum)
        del self.uploads[upload_id]
        self.completed[upload_id] = (target.bucket, target.key)
        kept = self.objects[target.bucket, target.key]
        return Stored(etag=kept.etag, checksum=_echoed(target, checksum))

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        self.uploads.pop(upload_id, None)

    def head(self, bucket: str, key: str) -> RemoteObject | None:
        kept = self.objects.get((bucket, key))
        if kept is None:
            return None
        shown = {} if kept.algorithm in {Algorithm.MD5, Algorithm.NONE} else {kept.algorithm: kept.checksum}
        return RemoteObject(
            etag=kept.etag,
            size=len(kept.data),
            token=kept.metadata.get(TOKEN),
            device=kept.metadata.get("syncd-device"),
            checksums=shown,
        )

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        if not self.may_list_uploads:
            return None
        return [
            (name, upload.initiated_at) for name, upload in self.uploads.items() if upload.target.key == key
        ]

    def uploads_below(self, bucket: str, prefix: str) -> list[OpenUpload] | None:
        if not self.may_list_uploads:
            return None
        return [
            OpenUpload(key=upload.target.key, upload_id=name, initiated_at=upload.initiated_at)
            for name, upload in self.uploads.items()
            if upload.target.key.startswith(prefix)
        ]

    # -- underneath

    def _upload(self, upload_id: str) -> Upload:
        if upload_id not in self.uploads:
            raise UploadGone(f"NoSuchUpload {upload_id}")
        return self.uploads[upload_id]

    def _keep(self, target: Target, data: bytes, etag: str, checksum: str) -> None:
        self.objects[target.bucket, target.key] = Kept(
            data,
            etag,
            {**target.metadata, TOKEN: target.token},
            target.algorithm,
            checksum,
            target.content_type,
        )
        self.writes.append((target.key, target.token))
        self.written.append((target.token, data))

    def _check_bucket(self, bucket: str) -> None:
        if self.buckets is not None and bucket not in self.buckets:
            raise LockedOut("NoSuchBucket", code="bucket", hint=f"there is no bucket {bucket}")

    def _check_condition(self, target: Target, condition: Condition, *, missing: SyncdError) -> None:
        there = self.objects.get((target.bucket, target.key))
        if condition.if_none_match and there is not None:
            raise ObjectExists("412")
        if condition.if_match is not None and (there is None or there.etag != condition.if_match):
            raise ObjectExists("412") if there is not None else missing

    def _assemble(self, upload: Upload, parts: list[Part]) -> bytes:
        if not parts:
            raise PartsRejected("MalformedXML")
        data, small = b"", False
        for position, part in enumerate(parts, 1):
            if part.number != position or part.number not in upload.parts:
                raise PartsRejected("InvalidPartOrder")
            body, known = upload.parts[part.number]
            if known.etag != part.etag or (known.checksum is not None and known.checksum != part.checksum):
                raise PartsRejected("InvalidPart")
            small = small or (position < len(parts) and len(body) < self.min_part_size)
            data += body
        if small:
            raise Refused("EntityTooSmall")
        return data

    def _sum(self, algorithm: Algorithm, data: bytes) -> str:
        running = self._sums.new(algorithm)
        running.update(data)
        return running.value()

    def _check_sum(self, algorithm: Algorithm, data: bytes, announced: str) -> None:
        if self._sum(algorithm, data) != announced:
            raise Transient("BadDigest")


def _echoed(target: Target, checksum: str) -> str | None:
    return None if target.algorithm in {Algorithm.MD5, Algorithm.NONE} else checksum


def read(body: Body) -> bytes:
    """All bytes of a body, the way a connection takes them."""
    data = bytearray()
    block = 7 if body.size < 1000 else 1 << 20  # small ones in many pieces, large ones in little time
    while len(data) < body.size:
        data += body.read_at(len(data), block)
    body.sent(len(data))
    return bytes(data)
