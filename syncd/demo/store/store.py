"""The store as its owner holds it: start it, stop it, look inside it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Self

from syncd.demo.loopback import Answer, LoopbackServer, Request
from syncd.demo.store.auth import Gate
from syncd.demo.store.calls import resource
from syncd.demo.store.faults import Faults, Record
from syncd.demo.store.habits import Habits
from syncd.demo.store.journal import Journal
from syncd.demo.store.keys import Keyring
from syncd.demo.store.objects import Bucket, ObjectRecord, Upload
from syncd.demo.store.policy import allow
from syncd.demo.store.refusals import S3Error
from syncd.demo.store.service import Service
from syncd.demo.store.sts import TokenService

ACCOUNT = "123456789012"
ROLE_ACTIONS = (
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:GetObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)
_MAX_SESSION_SECONDS = 43_200
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class StoredObject(NamedTuple):
    """An object as a test judges it; `sha256` in hex is computed from the bytes on disk when asked for."""

    size: int
    sha256: str
    etag: str
    metadata: dict[str, str]


class Store:
    """A strict S3 and STS store on local disk, serving on loopback between `start` and `stop`.

    One store at a time holds a directory; what is in it outlives the process. Sessions may do what ROLE_ACTIONS and
    `role_may` name in the bucket, cut down by their session policy; the long-lived key may do everything.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bucket: str = "captures",
        region: str = "us-east-1",
        min_part_size: int = 5 << 20,
        min_session_seconds: int = 900,
        role_may: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        port: int = 0,
        journal: Path | None = None,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.bucket = bucket
        self.region = region
        self.role_arn = f"arn:aws:iam::{ACCOUNT}:role/uploader"
        self.faults: Faults | None = None
        self.habits = Habits()
        self._directory = directory
        self._role = allow([*ROLE_ACTIONS, *role_may], [resource(bucket), resource(bucket, "*")])
        self._min_part_size = min_part_size
        self._min_session_seconds = min_session_seconds
        self._clock = clock
        self._journal_path = journal
        self._journal = Journal()
        self._switch = threading.Lock()
        self._lock_file: int | None = None
        self._stopping = threading.Event()
        self._buckets: dict[str, Bucket] = {}
        self._keyring = Keyring(directory, self._role)
        self._service: Service | None = None
        self._server = LoopbackServer(self._respond, port=port, clock=clock)

    @property
    def url(self) -> str:
        """The endpoint for S3 and STS alike; known after the first start, the same ever after."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port of `url`."""
        return self._server.port

    @property
    def access_key(self) -> str:
        """The long-lived key's id."""
        return self._keyring.access_key

    @property
    def secret_key(self) -> str:
        """The long-lived key's secret."""
        return self._keyring.secret_key

    def start(self) -> None:
        """Take the directory, read it and serve. Raises BlockingIOError while another store holds the directory."""
        with self._switch:
            if self._lock_file is None:
                self._start()

    def _start(self) -> None:
        lock_file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read_disk()
            self._server.start()
        except BaseException:
            os.close(lock_file)
            raise
        self._lock_file = lock_file

    def stop(self) -> None:
        """Stop serving and let the directory go; what was seen stays readable. Again is harmless."""
        with self._switch:
            if self._lock_file is None:
                return
            self._stopping.set()
            self._server.stop()
            self._journal.close()
            os.close(self._lock_file)
            self._lock_file = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> list[Record]:
        """Every request whose outcome is known, oldest first; also those before a stop."""
        return self._journal.records()

    def counts(self) -> Counter[str]:
        """Requests by operation where they succeeded ("PutObject"), by operation and code else ("PutObject AccessDenied")."""
        return self._journal.counts()

    def objects(self, bucket: str | None = None) -> dict[str, StoredObject]:
        """What is stored, by key, read from the disk."""
        held = self._buckets[bucket or self.bucket]
        with held.lock:
            return {key: _judge(held, record) for key, record in held.objects.items()}

    def record(self, key: str) -> ObjectRecord:
        """All that is kept about an object: headers, tags, checksum and its type. Raises KeyError."""
        return self._buckets[self.bucket].objects[key]

    def read(self, key: str) -> bytes:
        """An object's bytes. Raises KeyError."""
        held = self._buckets[self.bucket]
        return b"".join(bytes(block) for block in held.blocks(held.objects[key].files))

    def uploads(self, bucket: str | None = None) -> list[Upload]:
        """The multipart uploads that are open, oldest first, with their parts."""
        held = self._buckets[bucket or self.bucket]
        with held.lock:
            return sorted(held.uploads.values(), key=lambda upload: upload.initiated)

    def abort(self, upload_id: str) -> None:
        """Drop an open upload behind its owner's back, as a lifecycle rule does. Raises KeyError."""
        held = self._buckets[self.bucket]
        upload = held.uploads[upload_id]
        with upload.lock:
            held.drop_upload(upload)

    def delete(self, key: str) -> None:
        """Delete an object behind its owner's back."""
        self._buckets[self.bucket].delete(key)

    def _read_disk(self) -> None:
        self._keyring = Keyring(self._directory, self._role)
        self._buckets.clear()
        (self._directory / "buckets").mkdir(mode=0o700, exist_ok=True)
        for path in (self._directory / "buckets").iterdir():
            self._make_bucket(path.name)
        if self.bucket not in self._buckets:
            self._make_bucket(self.bucket)
        if self._journal_path is not None:
            self._journal.open(self._journal_path)
        self._stopping.clear()
        self._service = self._build()

    def _build(self) -> Service:
        gate = Gate(self._keyring, region=self.region, clock=self._clock)
        tokens = TokenService(
            gate=gate,
            keyring=self._keyring,
            role_arn=self.role_arn,
            min_seconds=self._min_session_seconds,
            max_seconds=_MAX_SESSION_SECONDS,
            clock=self._clock,
        )
        return Service(
            gate=gate,
            tokens=tokens,
            buckets=self._buckets,
            make_bucket=self._make_bucket,
            account=ACCOUNT,
            journal=self._journal,
            min_part_size=self._min_part_size,
            clock=self._clock,
            stopping=self._stopping,
            faults=lambda: self.faults,
            habits=lambda: self.habits,
        )

    def _make_bucket(self, name: str) -> None:
        if not _BUCKET_NAME.fullmatch(name) or ".." in name:
            raise S3Error("InvalidBucketName", "The specified bucket is not valid.", BucketName=name)
        self._buckets[name] = Bucket(self._directory / "buckets" / name)

    def _respond(self, request: Request) -> Answer:
        if self._service is None:
            raise ConnectionResetError
        return self._service.respond(request)


def _judge(bucket: Bucket, record: ObjectRecord) -> StoredObject:
    total = hashlib.sha256()
    size = 0
    for block in bucket.blocks(record.files):
        total.update(block)
        size += len(block)
    return StoredObject(size, total.hexdigest(), f'"{record.etag}"', dict(record.description.metadata))
