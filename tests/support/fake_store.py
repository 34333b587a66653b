"""An object store in memory, honest about what S3 is strict about, with tiny parts: for sweeps of thousands of trials.

The contract suite runs against it too, so that it is no rumour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from syncd.adapters.s3.sums import AwsSums
from syncd.errors import Doubtful, ObjectExists, PartsRejected, Transient, UploadGone
from syncd.model import Algorithm, Condition, Part, RemoteObject, Stored, Target
from syncd.ports import Body


@dataclass
class Kept:
    data: bytes
    etag: str
    metadata: dict[str, str]
    algorithm: Algorithm
    checksum: str


@dataclass
class Upload:
    target: Target
    parts: dict[int, tuple[bytes, Part]] = field(default_factory=dict)


class FakeStore:
    def __init__(self, min_part_size: int = 5, *, may_list_uploads: bool = True) -> None:
        self.min_part_size = min_part_size
        self.may_list_uploads = may_list_uploads
        self.objects: dict[tuple[str, str], Kept] = {}
        self.uploads: dict[str, Upload] = {}
        self.completed: dict[str, tuple[str, str]] = {}
        self.writes: list[tuple[str, str]] = []  # (key, token) of every successful Put or Complete
        self.part_bodies: list[tuple[str, int, int]] = []  # (upload id, number, size) of every body received
        self.after_part: Callable[[int], None] = lambda number: None  # a test meddles here
        self._ids = 0
        self._sums = AwsSums()

    def put(self, target: Target, body: Body, condition: Condition) -> Stored:
        data = read(body)
        self._check_sum(target.algorithm, data, body.checksum)
        self._check_condition(target, condition)
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        checksum = self._sums.whole(target.algorithm, [(body.checksum, len(data))], multipart=False)
        self._keep(target, data, etag, checksum)
        echoed = None if target.algorithm in {Algorithm.MD5, Algorithm.NONE} else checksum
        return Stored(etag=etag, checksum=echoed)

    def create(self, target: Target) -> str:
        self._ids += 1
        upload_id = f"upload-{self._ids}"
        self.uploads[upload_id] = Upload(target)
        return upload_id

    def upload_part(self, target: Target, upload_id: str, number: int, body: Body) -> Part:
        data = read(body)
        upload = self._upload(upload_id)
        self.part_bodies.append((upload_id, number, len(data)))
        self._check_sum(target.algorithm, data, body.checksum)
        echoed = None if target.algorithm in {Algorithm.MD5, Algorithm.NONE} else body.checksum
        part = Part(number=number, size=len(data), etag=f'"{hashlib.md5(data).hexdigest()}"', checksum=echoed)
        upload.parts[number] = (data, part)
        self.after_part(number)
        return part

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
        if upload_id in self.completed:  # S3 answers a repeat as it answered the first
            return Stored(etag=self.objects[self.completed[upload_id]].etag)
        upload = self._upload(upload_id)
        self._check_condition(target, condition)
        data = self._assemble(upload, parts)
        if len(data) != size:
            raise Transient("MpuObjectSize differs")
        digests = b"".join(hashlib.md5(upload.parts[part.number][0]).digest() for part in parts)
        sums = [(self._sum(target.algorithm, upload.parts[part.number][0]), part.size) for part in parts]
        if target.algorithm is not Algorithm.NONE:
            assert self._sums.whole(target.algorithm, sums, multipart=True) == checksum
        self._keep(target, data, f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"', checksum)
        del self.uploads[upload_id]
        self.completed[upload_id] = (target.bucket, target.key)
        return Stored(etag=self.objects[target.bucket, target.key].etag)

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        self.uploads.pop(upload_id, None)

    def head(self, bucket: str, key: str) -> RemoteObject | None:
        kept = self.objects.get((bucket, key))
        if kept is None:
            return None
        shown = {} if kept.algorithm in {Algorithm.MD5, Algorithm.NONE} else {kept.algorithm: kept.checksum}
        return RemoteObject(
            etag=kept.etag, size=len(kept.data), token=kept.metadata.get("syncd-upload"), checksums=shown
        )

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        if not self.may_list_uploads:
            return None
        return [(name, 2e9) for name, upload in self.uploads.items() if upload.target.key == key]

    # -- underneath

    def _upload(self, upload_id: str) -> Upload:
        if upload_id not in self.uploads:
            raise UploadGone(f"NoSuchUpload {upload_id}")
        return self.uploads[upload_id]

    def _keep(self, target: Target, data: bytes, etag: str, checksum: str) -> None:
        self.objects[target.bucket, target.key] = Kept(
            data, etag, dict(target.metadata), target.algorithm, checksum
        )
        self.writes.append((target.key, target.token))

    def _check_condition(self, target: Target, condition: Condition) -> None:
        there = self.objects.get((target.bucket, target.key))
        if condition.if_none_match and there is not None:
            raise ObjectExists("412")
        if condition.if_match is not None and (there is None or there.etag != condition.if_match):
            raise ObjectExists("412") if there is not None else Doubtful("404 NoSuchKey")

    def _assemble(self, upload: Upload, parts: list[Part]) -> bytes:
        data = b""
        for position, part in enumerate(parts, 1):
            if part.number != position or part.number not in upload.parts:
                raise PartsRejected("InvalidPartOrder")
            body, known = upload.parts[part.number]
            if known.etag != part.etag or (known.checksum is not None and known.checksum != part.checksum):
                raise PartsRejected("InvalidPart")
            if position < len(parts) and len(body) < self.min_part_size:
                raise PartsRejected("EntityTooSmall")
            data += body
        return data

    def _sum(self, algorithm: Algorithm, data: bytes) -> str:
        running = self._sums.new(algorithm)
        running.update(data)
        return running.value()

    def _check_sum(self, algorithm: Algorithm, data: bytes, announced: str) -> None:
        if self._sum(algorithm, data) != announced:
            raise Transient("BadDigest")


def read(body: Body) -> bytes:
    """All bytes of a body, the way a connection takes them."""
    data = b""
    while len(data) < body.size:
        data += bytes(body.read_at(len(data), 7))
    body.sent(len(data))
    return data
