"""How stores in the field differ where S3's documents leave room, or are not kept: switched while the store runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from syncd.demo.loopback import Request
from syncd.demo.store.auth import UNSIGNED

_WRITES = frozenset({"PutObject", "CompleteMultipartUpload"})
_CONDITIONS = frozenset({"if-match", "if-none-match"})
_ENCRYPTION = "x-amz-server-side-encryption"
_SUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm")


@dataclass(slots=True, kw_only=True)
class Habits:
    """By default what AWS does.

    `complete_again`: the answer to a Complete that succeeded before (AWS: the same; MinIO: NoSuchUpload). `gone_code`: what
    an upload that is not open is called (RGW: NoSuchKey). `hides_missing`: HEAD and GET of a missing key answer 403 also to
    those who may list. `ignores_checksums`: x-amz-checksum-* is neither checked nor echoed nor promised (RGW).
    `ignores_encryption`: x-amz-server-side-encryption is passed over.
    `sweeps_after_days`: a lifecycle rule ends open uploads after so many days; it is announced by Create and ListParts, and
    carried out by nobody but `Store.abort`.
    `ignores_md5`: nor are Content-MD5 and the signed SHA-256 of the body checked. `ignores_conditions`: If-Match and If-None-Match do not hinder a write.
    """

    complete_again: Literal["same answer", "NoSuchUpload"] = "same answer"
    gone_code: Literal["NoSuchUpload", "NoSuchKey"] = "NoSuchUpload"
    hides_missing: bool = False
    ignores_checksums: bool = False
    ignores_md5: bool = False
    ignores_conditions: bool = False
    ignores_encryption: bool = False
    sweeps_after_days: int | None = None

    def overlook(self, request: Request, operation: str) -> Request:
        """The request without what this store does not look at; asked after the signature was checked."""
        headers = request.headers
        if self.ignores_checksums:
            headers = {name: text for name, text in headers.items() if not name.startswith(_SUMS)}
        if self.ignores_md5:
            headers = {name: text for name, text in headers.items() if name != "content-md5"}
            headers["x-amz-content-sha256"] = UNSIGNED
        if self.ignores_conditions and operation in _WRITES:
            headers = {name: text for name, text in headers.items() if name not in _CONDITIONS}
        if self.ignores_encryption:
            headers = {name: text for name, text in headers.items() if not name.startswith(_ENCRYPTION)}
        return request if headers is request.headers else replace(request, headers=headers)
