"""`syncd creds --try`: what the daemon will ask of the destination, tried once with a few bytes, each step told.

Writes one object, `{prefix}.syncd/doctor`, first in one piece, then by multipart upload; and begins an upload of the same key
that it aborts. Whatever fails, no upload is left open as far as the store lets us abort it, and nothing else is written.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from syncd.act.body import HeldBody
from syncd.act.plan import UPLOAD_TOKEN
from syncd.act.world import DestinationPolicy
from syncd.decide.verify import Expected, Finding, examine, proof_by_head
from syncd.errands import Abroad
from syncd.errors import ChecksumIgnored, SyncdError
from syncd.model import Algorithm, Condition, Part, Target

T = TypeVar("T")

NAME = ".syncd/doctor"
WORDS = b"syncd was here to see whether it can write: this object may be deleted.\n"


@dataclass(frozen=True, slots=True)
class Step:
    """What was tried and how it went; `error` None: well."""

    what: str
    note: str = ""
    error: SyncdError | None = None


class Broken(Exception):
    """A step failed; what follows would make no sense."""

    def __init__(self, step: Step) -> None:
        super().__init__(step.what)
        self.step = step


def attempt(there: Abroad, policy: DestinationPolicy, device: str) -> Iterator[Step]:
    """The steps as they are done. Ends after the first that fails; never raises SyncdError."""
    trial = _Trial(there, policy, device)
    try:
        yield from trial.one_piece()
        yield from trial.in_parts()
        yield from trial.given_up()
    except Broken as broken:
        yield broken.step
    finally:
        yield from trial.clear_up()


class _Trial:
    def __init__(self, there: Abroad, policy: DestinationPolicy, device: str) -> None:
        self._there = there
        self._by_name = policy.checksum is not None
        self._open: str | None = None
        token = secrets.token_hex(16)
        self._target = Target(
            bucket=there.bucket,
            key=f"{there.prefix}{NAME}",
            algorithm=policy.checksum or there.sums.automatic(),
            token=token,
            metadata={**policy.metadata, UPLOAD_TOKEN: token, "syncd-device": device},
            content_type="text/plain",
            tags=dict(policy.tags),
            storage_class=policy.storage_class,
            encryption=policy.encryption,
            kms_key_id=policy.kms_key_id,
        )

    def one_piece(self) -> Iterator[Step]:
        """PutObject and HEAD, with the checksum that the daemon would use."""
        try:
            yield self._put()
        except ChecksumIgnored as ignored:
            if self._by_name:
                hint = "set destination.checksum to auto, or to one that the store honours"
                failed = SyncdError(str(ignored), hint=hint)
                raise Broken(Step(self._title("put"), error=failed)) from ignored
            yield Step(
                self._title("put"),
                f"the store does not honour the {self._target.algorithm}: MD5 is used instead",
            )
            self._target = replace(self._target, algorithm=Algorithm.MD5)
            yield self._put()
        yield self._head()

    def in_parts(self) -> Iterator[Step]:
        """Create, one part, ListParts, Complete, HEAD."""
        yield self._create()
        body = self._body()
        part = self._do(
            "upload part", lambda: self._there.store.upload_part(self._target, self._upload(), 1, body)
        )
        kept = Part(number=1, size=body.size, etag=part.etag, checksum=body.checksum or None)
        yield Step("upload part 1", f"{body.size} bytes")
        parts = self._do(
            "list parts", lambda: list(self._there.store.list_parts(self._target, self._upload()))
        )
        yield Step("list parts", f"{len(parts)} there")
        self._do("complete", lambda: self._complete(kept))
        self._open = None
        yield Step("complete the upload")
        yield self._head(multipart=True)

    def given_up(self) -> Iterator[Step]:
        """Create and Abort: what is given up must not be left behind."""
        yield self._create()
        self._do("abort the upload", lambda: self._abort(self._upload()))
        yield Step("abort the upload")

    def clear_up(self) -> Iterator[Step]:
        """The upload of a trial that broke off."""
        if self._open is not None:
            with contextlib.suppress(Broken):
                self._do("abort", lambda: self._abort(self._upload()))
                yield Step("abort the upload that was begun")
        if self._open is not None:
            text = f"the upload {self._open} of {self._target.key} may be left open: a lifecycle rule ends it"
            yield Step("abort the upload that was begun", error=SyncdError(text))

    # -- one request each

    def _title(self, verb: str) -> str:
        return f"{verb} s3://{self._target.bucket}/{self._target.key}"

    def _do(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except ChecksumIgnored:
            raise
        except SyncdError as error:
            raise Broken(Step(what, error=error)) from error

    def _put(self) -> Step:
        body = self._body()
        title = self._title("put")
        self._do(title, lambda: self._there.store.put(self._target, body, Condition()))
        return Step(title, f"{body.size} bytes, {self._target.algorithm}")

    def _head(self, *, multipart: bool = False) -> Step:
        title = self._title("head")
        found = self._do(title, lambda: self._there.store.head(self._target.bucket, self._target.key))
        expected = self._expected(multipart=multipart)
        finding = examine(found, expected)
        if found is None:
            hint = "allow s3:GetObject on the device's prefix: HEAD needs it"
            raise Broken(Step(title, error=SyncdError("what was stored is not shown", hint=hint)))
        if finding is not Finding.OURS:
            raise Broken(
                Step(title, error=SyncdError(f"what is shown is not what was stored: {finding.value}"))
            )
        return Step(title, f"the object is what was sent, by {proof_by_head(found, expected).kind}")

    def _expected(self, *, multipart: bool) -> Expected:
        body = self._body()
        whole = self._there.sums.whole(
            self._target.algorithm, [(body.checksum, body.size)], multipart=multipart
        )
        return Expected(
            token=self._target.token, size=body.size, algorithm=self._target.algorithm, checksum=whole
        )

    def _create(self) -> Step:
        try:
            self._open = self._do("create a multipart upload", lambda: self._there.store.create(self._target))
        except ChecksumIgnored as ignored:
            failed = Step("create a multipart upload", error=SyncdError(str(ignored)))
            raise Broken(failed) from ignored
        return Step("create a multipart upload")

    def _upload(self) -> str:
        return self._open or ""

    def _complete(self, part: Part) -> None:
        body = self._body()
        self._there.store.complete(
            self._target,
            self._upload(),
            [part],
            size=body.size,
            checksum=self._expected(multipart=True).checksum or "",
            condition=Condition(),
        )

    def _abort(self, upload_id: str) -> None:
        self._there.store.abort(self._target.bucket, self._target.key, upload_id)
        self._open = None

    def _body(self) -> HeldBody:
        running = self._there.sums.new(self._target.algorithm)
        running.update(WORDS)
        return HeldBody(memoryview(WORDS), running.value())
