"""What a request's body must turn out to be: its headers say so before the body, its bytes must agree after it.

Verified while streaming: x-amz-content-sha256, Content-MD5 and one x-amz-checksum-* header; the MD5 is always
computed, because it is the ETag. Refused: trailers, more than one checksum header, algorithms outside `sums`.
"""

from __future__ import annotations

import base64
import binascii

from syncd.demo.loopback import Request
from syncd.demo.store.auth import UNSIGNED
from syncd.demo.store.habits import Habits
from syncd.demo.store.refusals import S3Error, not_implemented
from syncd.demo.store.sums import ALGORITHMS, DIGEST_SIZES, FAST_CRC64, Block, header_value, new_sum

PREFIX = "x-amz-checksum-"
_NO_SUMS = {f"{PREFIX}{name}" for name in ("algorithm", "mode", "type")}


class Intake:
    """Takes a body's bytes in and tells at the end whether they are the ones that the headers announced.

    The constructor reads the headers and raises S3Error for what is wrong with them alone. With `default` the body is
    summed by that algorithm where the request brought no checksum of its own.
    """

    def __init__(self, headers: dict[str, str], *, default: str | None = None) -> None:
        self._content_sha256 = headers.get("x-amz-content-sha256", UNSIGNED)
        self._content_md5 = _content_md5(headers)
        self.stated = stated_checksum(headers)
        self.algorithm = self.stated[0] if self.stated else default
        names = {"md5"} | ({self.algorithm} if self.algorithm else set())
        if self._content_sha256 != UNSIGNED:
            names.add("sha256")
        self._sums = {name: new_sum(name) for name in sorted(names)}
        self.size = 0

    def update(self, block: Block) -> None:
        """Take more bytes in."""
        self.size += len(block)
        for each in self._sums.values():
            each.update(block)

    @property
    def md5(self) -> str:
        """The MD5 in hex: the ETag without its quotes."""
        return self._sums["md5"].digest().hex()

    @property
    def checksum(self) -> str | None:
        """The header value by `algorithm`; None without one."""
        return header_value(self._sums[self.algorithm].digest()) if self.algorithm else None

    def verify(self) -> None:
        """Raise S3Error unless the bytes are the announced ones."""
        if self._content_sha256 not in {UNSIGNED, self._hex("sha256")}:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ClientComputedContentSHA256=self._content_sha256,
                S3ComputedContentSHA256=self._hex("sha256"),
            )
        if self._content_md5 not in {None, self._sums["md5"].digest()}:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        if self.stated is not None and self.checksum != self.stated[1]:
            raise S3Error(
                "BadDigest",
                f"The {self.stated[0].upper()} you specified did not match the calculated checksum.",
            )

    def _hex(self, name: str) -> str:
        return self._sums[name].digest().hex() if name in self._sums else ""


def stated_checksum(headers: dict[str, str], *, composite: bool = False) -> tuple[str, str] | None:
    """The one x-amz-checksum-* header as (algorithm, value). Raises S3Error when it is malformed or not alone.

    With `composite` the value may end in a count of parts, as CompleteMultipartUpload has it.
    """
    found = [name for name in headers if name.startswith(PREFIX) and name not in _NO_SUMS]
    if "x-amz-trailer" in headers:
        raise not_implemented("checksums in trailers")
    if len(found) > 1:
        raise S3Error(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    if not found:
        if "x-amz-sdk-checksum-algorithm" in headers:
            raise S3Error(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                "x-amz-trailer headers were found.",
            )
        return None
    algorithm = found[0].removeprefix(PREFIX)
    if algorithm not in ALGORITHMS:
        raise not_implemented(f"the checksum algorithm {algorithm}")
    value = headers[found[0]]
    sum_part, dash, count = value.partition("-")
    if not is_digest(sum_part, DIGEST_SIZES[algorithm]) or (dash and not (composite and count.isdigit())):
        raise S3Error("InvalidRequest", f"Value for {found[0]} header is invalid.")
    return algorithm, value


def is_digest(text: str, size: int) -> bool:
    """Whether the text is base64 of exactly `size` bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == size
    except (binascii.Error, ValueError):
        return False


def default_algorithm(habits: Habits) -> str | None:
    """What bodies without a checksum are summed by, as AWS does; left out where CRC-64 would be slow (no awscrt)."""
    return "crc64nvme" if FAST_CRC64 and not habits.ignores_checksums else None


def read_small(request: Request, limit: int) -> bytes:
    """A body that is a document, whole and verified. Raises S3Error when it is larger than the limit or not as announced."""
    if (request.body.length or 0) > limit:
        raise S3Error("MaxMessageLengthExceeded", "Your request was too big.", MaxMessageLengthBytes=limit)
    names = ("x-amz-content-sha256", "content-md5")
    intake = Intake({name: request.headers[name] for name in names if name in request.headers})
    content = request.body.read()
    intake.update(content)
    intake.verify()
    return content


def _content_md5(headers: dict[str, str]) -> bytes | None:
    text = headers.get("content-md5")
    if text is None:
        return None
    if not is_digest(text, 16):
        raise S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return base64.b64decode(text)
