"""What the store holds, on disk: buckets, objects, open uploads and their parts.

    BUCKET/objects/HASH.json   one object: all about it, and which files hold its bytes; replaced by one rename
    BUCKET/uploads/ID.json     one multipart upload, open or completed
    BUCKET/data/ID             the bytes of a PutObject
    BUCKET/data/ID/            the parts of an upload: NUMBER.json beside the file that it names; they stay where they
                               are when the upload becomes an object

Everything is kept in memory too; the disk is written first, so that a killed server finds its state again, and what no
record names is swept at the start. It survives the death of the process, not of the machine: nothing is synced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from syncd.demo.loopback import BLOCK
from syncd.demo.store.keys import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a client says about an object beside its bytes; `headers` come back as they were given."""

    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """One object. `files`: where its bytes are below the data directory, in order, with their sizes."""

    key: str
    size: int
    etag: str
    modified: float
    description: Description
    files: tuple[tuple[str, int], ...]
    algorithm: str | None = None
    checksum: str | None = None
    checksum_type: str | None = None
    upload_id: str | None = None
    completed_by: str | None = None  # digest of the Complete request that made it, so that a repeat is known

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ObjectRecord:
        """Read what `asdict` and JSON made of a record."""
        files = tuple((name, size) for name, size in document.pop("files"))
        return cls(description=Description(**document.pop("description")), files=files, **document)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """One part of an upload; `file` is below the data directory."""

    number: int
    size: int
    etag: str
    checksum: str | None
    modified: float
    file: str


@dataclass(slots=True, kw_only=True)
class Upload:
    """An open multipart upload; `closed` once it was completed or aborted. `lock` guards parts and `closed`."""

    upload_id: str
    key: str
    initiated: float
    description: Description
    algorithm: str | None
    checksum_type: str | None
    closed: bool = False
    parts: dict[int, PartRecord] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def to_json(self) -> dict[str, Any]:
        """All but the parts, which have files of their own."""
        return {
            "upload_id": self.upload_id,
            "key": self.key,
            "initiated": self.initiated,
            "description": asdict(self.description),
            "algorithm": self.algorithm,
            "checksum_type": self.checksum_type,
        }


class Bucket:
    """One bucket on disk. Its methods keep disk and memory in step; who may call them, and when, is not its matter."""

    def __init__(self, directory: Path) -> None:
        self.name = directory.name
        self.lock = threading.RLock()
        self.objects: dict[str, ObjectRecord] = {}
        self.uploads: dict[str, Upload] = {}
        self.data = directory / "data"
        self._objects_directory = directory / "objects"
        self._uploads_directory = directory / "uploads"
        for each in (self.data, self._objects_directory, self._uploads_directory):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._load()
        self._sweep()

    def new_data_file(self) -> str:
        """A fresh name below the data directory for the bytes of a PutObject."""
        return secrets.token_hex(12)

    def new_part_file(self, upload: Upload, number: int) -> str:
        """A fresh name below the data directory for the bytes of a part."""
        return f"{upload.upload_id}/{number}.{secrets.token_hex(4)}"

    def discard(self, file: str) -> None:
        """Throw bytes away that nothing names (any more)."""
        with contextlib.suppress(FileNotFoundError):
            (self.data / file).unlink()

    def put(self, record: ObjectRecord) -> None:
        """Make this the object under its key; the one before it goes away."""
        with self.lock:
            before = self.objects.get(record.key)
            write_json(self._object_path(record.key), asdict(record))
            self.objects[record.key] = record
            if before is not None:
                self._discard_bytes(before)

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no failure."""
        with self.lock:
            record = self.objects.pop(key, None)
            if record is not None:
                self._object_path(key).unlink(missing_ok=True)
                self._discard_bytes(record)

    def open_upload(self, upload: Upload) -> None:
        """Begin a multipart upload."""
        (self.data / upload.upload_id).mkdir(mode=0o700)
        write_json(self._upload_path(upload), upload.to_json())
        with self.lock:
            self.uploads[upload.upload_id] = upload

    def add_part(self, upload: Upload, part: PartRecord) -> None:
        """Take a part in; an earlier one of the same number goes away. The caller holds the upload's lock."""
        before = upload.parts.get(part.number)
        write_json(self.data / upload.upload_id / f"{part.number}.json", asdict(part))
        upload.parts[part.number] = part
        if before is not None:
            self.discard(before.file)

    def close_upload(self, upload: Upload, record: ObjectRecord) -> None:
        """Make the upload's parts the object `record`, which names the files; the others are thrown away.

        The object's record is the moment it happens. The caller holds the upload's lock.
        """
        self.put(record)
        self._forget(upload)
        kept = {name for name, _ in record.files}
        for part in upload.parts.values():
            if part.file not in kept:
                self.discard(part.file)
            self.discard(f"{upload.upload_id}/{part.number}.json")

    def drop_upload(self, upload: Upload) -> None:
        """Forget an upload and its parts. The caller holds the upload's lock."""
        self._forget(upload)
        shutil.rmtree(self.data / upload.upload_id, ignore_errors=True)

    def blocks(self, files: tuple[tuple[str, int], ...]) -> Iterator[memoryview]:
        """The bytes of these files one after the other, in blocks valid until the next one."""
        buffer = memoryview(bytearray(BLOCK))
        for name, _ in files:
            with (self.data / name).open("rb", buffering=0) as source:
                while count := source.readinto(buffer):
                    yield buffer[:count]

    def _forget(self, upload: Upload) -> None:
        upload.closed = True
        with self.lock:
            self.uploads.pop(upload.upload_id, None)
        self._upload_path(upload).unlink(missing_ok=True)

    def _upload_path(self, upload: Upload) -> Path:
        return self._uploads_directory / f"{upload.upload_id}.json"

    def _object_path(self, key: str) -> Path:
        return self._objects_directory / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _discard_bytes(self, record: ObjectRecord) -> None:
        for name, _ in record.files:
            self.discard(name)
        if record.upload_id is not None:
            shutil.rmtree(self.data / record.upload_id, ignore_errors=True)

    def _load(self) -> None:
        for path in self._objects_directory.glob("[!.]*.json"):
            record = ObjectRecord.from_json(json.loads(path.read_text("utf-8")))
            self.objects[record.key] = record
        for path in self._uploads_directory.glob("[!.]*.json"):
            self._load_upload(json.loads(path.read_text("utf-8")))

    def _load_upload(self, document: dict[str, Any]) -> None:
        upload = Upload(description=Description(**document.pop("description")), **document)
        made = self.objects.get(upload.key)
        if made is not None and made.upload_id == upload.upload_id:
            self._upload_path(upload).unlink()  # killed between the object's record and this
            return
        self.uploads[upload.upload_id] = upload
        for path in (self.data / upload.upload_id).glob("[!.]*.json"):
            part = PartRecord(**json.loads(path.read_text("utf-8")))
            upload.parts[part.number] = part

    def _sweep(self) -> None:
        """Remove what a killed server left half done: temporary files, and bytes that no record names."""
        named = {name for record in self.objects.values() for name, _ in record.files}
        for upload in self.uploads.values():
            named |= {part.file for part in upload.parts.values()}
            named |= {f"{upload.upload_id}/{number}.json" for number in upload.parts}
        for directory in (self._objects_directory, self._uploads_directory):
            for path in directory.glob(".*"):
                path.unlink()
        for path in [path for path in self.data.rglob("*") if path.is_file()]:
            if str(path.relative_to(self.data)) not in named:
                path.unlink()
        for path in self.data.iterdir():
            if path.is_dir() and path.name not in self.uploads and not any(path.iterdir()):
                path.rmdir()
