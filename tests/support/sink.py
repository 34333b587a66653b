"""A null sink: answers as S3 does for writes and HEAD, throws the bodies away, and counts what came.

For runs whose size no test store could keep. It is a process of its own, so that its work is not the test's, and it
checks neither signatures nor checksums: it believes the sums that it is told and gives them back. What is proven against
it is pace, memory and order, never content.

    with Sink() as sink:
        ... endpoint_url: sink.url ...
        sink.counts()
"""

from __future__ import annotations

import json
import secrets
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any, BinaryIO, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BLOCK = 1 << 20
SMALL = 1 << 20
COUNTS = "/sink/counts"
KEPT = ("x-amz-meta-", "x-amz-checksum-")
"""What of a request's headers a HEAD gives back."""


class Sink:
    """The sink as a child process between `start` and `stop`."""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self._port = int(self._child.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def counts(self) -> dict[str, int]:
        """`small`, `large`: whole objects below and above 1 MiB; `bytes` of bodies; `parts`; `open`; `requests`; `again`."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", COUNTS)
            counts: dict[str, int] = json.loads(connection.getresponse().read())
            return counts
        finally:
            connection.close()


@dataclass(slots=True)
class Kept:
    """All that stays of an object or of an upload."""

    size: int
    etag: str
    headers: dict[str, str]
    parts: dict[int, int] = field(default_factory=dict)


class Shelf:
    """What came, for all connections."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, Kept] = {}
        self.uploads: dict[str, Kept] = {}
        self.bytes = self.parts = self.requests = self.again = self.small = 0

    def counts(self) -> dict[str, int]:
        return {
            "small": self.small,
            "large": len(self.objects) - self.small,
            "bytes": self.bytes,
            "parts": self.parts,
            "open": len(self.uploads),
            "requests": self.requests,
            "again": self.again,
        }

    def keep(self, path: str, kept: Kept) -> None:
        with self.lock:
            self.again += path in self.objects
            self.small += path not in self.objects and kept.size < SMALL
            self.objects[path] = kept


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    shelf = Shelf()


class Connection(socketserver.StreamRequestHandler):
    """One connection, its requests one after the other. No http.server: its header parser is the slower half of a small Put."""

    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: Server

    def handle(self) -> None:
        try:
            while line := self.rfile.readline():
                self._request(line)
        except ConnectionError:
            return

    def _request(self, line: bytes) -> None:
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = dict(read_headers(self.rfile))
        if "100-continue" in headers.get("expect", ""):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length", "0"))
        body = self._body(length, keep=method == "POST")
        url = urlsplit(target)
        if url.path == COUNTS:
            self._say(200, {}, json.dumps(self.server.shelf.counts()))
            return
        shelf = self.server.shelf
        with shelf.lock:
            shelf.requests += 1
            shelf.bytes += length if method == "PUT" else 0
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        kept = {name: value for name, value in headers.items() if name.startswith(KEPT)}
        answer = getattr(self, f"_{method.lower()}")
        answer(url.path, query, kept, length if method == "PUT" else body)

    def _body(self, length: int, *, keep: bool) -> bytes:
        if keep:
            return self.rfile.read(length)
        room = memoryview(bytearray(min(length, BLOCK)))
        while length:
            got = self.rfile.readinto(room[: min(length, BLOCK)])  # type: ignore[attr-defined]
            if not got:
                raise ConnectionResetError
            length -= got
        return b""

    def _put(self, path: str, query: dict[str, str], kept: dict[str, str], size: int) -> None:
        etag = f'"{secrets.token_hex(20)}"'  # too long for an MD5: nothing was summed here
        shelf = self.server.shelf
        sums = {name: value for name, value in kept.items() if name.startswith("x-amz-checksum-")}
        if "uploadId" in query:
            with shelf.lock:
                shelf.parts += 1
                shelf.uploads[query["uploadId"]].parts[int(query["partNumber"])] = size
        else:
            shelf.keep(path, Kept(size, etag, {**kept, "x-amz-checksum-type": "FULL_OBJECT"}))
        self._say(200, {"ETag": etag, **sums})

    def _post(self, path: str, query: dict[str, str], kept: dict[str, str], _body: bytes) -> None:
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        where = f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(key)}</Key>"
        shelf = self.server.shelf
        if "uploads" in query:
            upload_id = secrets.token_hex(16)
            shelf.uploads[upload_id] = Kept(0, "", kept)
            chosen = {name: value for name, value in kept.items() if name.startswith("x-amz-checksum-")}
            inner = f"{where}<UploadId>{upload_id}</UploadId>"
            self._say(200, chosen, f"<InitiateMultipartUploadResult>{inner}</InitiateMultipartUploadResult>")
            return
        upload = shelf.uploads.pop(query["uploadId"])
        etag = f'"{secrets.token_hex(16)}-{len(upload.parts)}"'
        sums = {name: value for name, value in kept.items() if name.startswith("x-amz-checksum-")}
        shelf.keep(path, Kept(sum(upload.parts.values()), etag, {**upload.headers, **sums}))
        told = "".join(
            f"<{tag}>{value}</{tag}>"
            for name, value in sums.items()
            for tag in ["ChecksumType" if name.endswith("-type") else f"Checksum{name[15:].upper()}"]
        )
        inner = f"{where}<ETag>{escape(etag)}</ETag>{told}"
        self._say(200, {}, f"<CompleteMultipartUploadResult>{inner}</CompleteMultipartUploadResult>")

    def _head(self, path: str, _query: dict[str, str], _kept: dict[str, str], _body: bytes) -> None:
        kept = self.server.shelf.objects.get(path)
        if kept is None:
            self._say(404, {})
            return
        self._say(200, {"ETag": kept.etag, **kept.headers}, length=kept.size)

    def _get(self, path: str, query: dict[str, str], _kept: dict[str, str], _body: bytes) -> None:
        """No reader and no listing is let in: nobody needs them here."""
        self._say(403, {}, "<Error><Code>AccessDenied</Code><Message>a sink only takes</Message></Error>")

    def _delete(self, _path: str, query: dict[str, str], _kept: dict[str, str], _body: bytes) -> None:
        self.server.shelf.uploads.pop(query.get("uploadId", ""), None)
        self._say(204, {})

    def _say(
        self, status: int, headers: dict[str, str], body: str = "", *, length: int | None = None
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} Said",
            *(f"{name}: {value}" for name, value in headers.items()),
            f"Content-Length: {len(body.encode()) if length is None else length}",
            "x-amz-request-id: sink",
        ]
        self.wfile.write("\r\n".join([*lines, "", body]).encode())


def read_headers(stream: BinaryIO | Any) -> Iterator[tuple[str, str]]:
    while (line := stream.readline()) not in {b"\r\n", b"\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        yield name.strip().lower(), value.strip()


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Connection) as server:
        print(server.server_address[1], flush=True)  # noqa: T201 - the parent reads it
        server.serve_forever()
