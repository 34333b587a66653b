"""What the daemon will ask of the destination, tried once with a few bytes: for `syncd doctor` and `syncd creds --try`.

Writes one object, `{prefix}.syncd/doctor`, first in one piece, then by multipart upload; and begins an upload of the same key
that it aborts. Whatever fails, the rest is tried as far as it makes sense, no upload is left open as far as the store
lets us abort it, and nothing else is written.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from syncd.act.body import HeldBody
from syncd.act.plan import UPLOAD_TOKEN
from syncd.act.world import DestinationPolicy
from syncd.decide.doctor import Aim, stale_rule, store_trouble
from syncd.decide.findings import Check, Finding, Verdict, well, without
from syncd.decide.troubles import servers
from syncd.decide.verify import Expected, examine, proof_by_head
from syncd.decide.verify import Finding as Shown
from syncd.errands import Abroad
from syncd.errors import ChecksumIgnored, ObjectExists, SyncdError
from syncd.model import Algorithm, Condition, Part, ProofKind, RemoteObject, Target

NAME = ".syncd/doctor"
WORDS = b"syncd was here to see whether it can write: this object may be deleted.\n"

OF_ONE_PUT: Final = (Check.REGION, Check.BUCKET, Check.PREFIX, Check.PUT, Check.CHECKSUM)
OF_AN_OBJECT: Final = (Check.CONDITION, Check.PROOF)
OF_AN_UPLOAD: Final = (Check.PART, Check.LIST, Check.COMPLETE, Check.ABORT, Check.STALE)
ALL: Final = (*OF_ONE_PUT, *OF_AN_OBJECT, Check.CREATE, *OF_AN_UPLOAD)


def attempt(there: Abroad, policy: DestinationPolicy, device: str) -> Iterator[Finding]:
    """A finding for each check of `ALL`, as they are made. Never raises SyncdError."""
    trial = _Trial(there, policy, device)
    try:
        yield from trial.one_piece()
    except _Broken as broken:
        blame = broken.finding.check
        yield broken.finding
        yield from without((check for check in ALL if check is not blame), blame)
        return
    yield trial.tried(Check.CONDITION)
    yield trial.tried(Check.PROOF)
    yield from trial.in_parts()


class _Broken(Exception):
    """A check failed."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class _Trial:
    def __init__(self, there: Abroad, policy: DestinationPolicy, device: str) -> None:
        self._there = there
        self._by_name = policy.checksum is not None
        self._open: str | None = None
        self._part: Part | None = None
        self._swept_at: float | None = None
        token = secrets.token_hex(16)
        self._aim = Aim(
            bucket=there.bucket,
            prefix=there.prefix,
            configured=policy.prefix,
            given=there.credentials.prefix,
        )
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

    # -- in one piece

    def one_piece(self) -> Iterator[Finding]:
        """PutObject with the checksum that the daemon would use. Raises _Broken."""
        try:
            self._put(Condition())
            sums = self._honoured()
        except ChecksumIgnored as ignored:
            sums = self._ignored(ignored)
            if sums.verdict is not Verdict.FAIL:
                self._target = replace(self._target, algorithm=Algorithm.MD5)
                self._second_put()
        except SyncdError as error:
            raise _Broken(store_trouble(Check.PUT, error, self._aim)) from error
        yield well(
            Check.REGION, f"the store takes what is signed for {self._there.region or 'its default region'}"
        )
        yield well(Check.BUCKET, f"{self._target.bucket} is there")
        yield well(Check.PREFIX, f"{self._aim.prefix or '(the whole bucket)'} may be written")
        yield well(Check.PUT, f"{len(WORDS)} bytes to s3://{self._target.bucket}/{self._target.key}")
        if sums.verdict is Verdict.FAIL:
            raise _Broken(sums)
        yield sums

    def _second_put(self) -> None:
        try:
            self._put(Condition())
        except SyncdError as error:
            raise _Broken(store_trouble(Check.PUT, error, self._aim)) from error

    def _honoured(self) -> Finding:
        if self._target.algorithm is Algorithm.NONE:
            return servers.NO_CHECKSUM.found()
        return well(Check.CHECKSUM, f"{self._target.algorithm} is honoured")

    def _ignored(self, ignored: ChecksumIgnored) -> Finding:
        kind = servers.CHECKSUM_REFUSED if self._by_name else servers.CHECKSUM_IGNORED
        return kind.found(algorithm=self._target.algorithm, error=ignored)

    # -- one check each

    def tried(self, check: Check) -> Finding:
        """The check's finding, whatever comes of it."""
        steps = {
            Check.CONDITION: self._condition,
            Check.PROOF: self._proof,
            Check.CREATE: self._create,
            Check.PART: self._upload_part,
            Check.LIST: self._list_parts,
            Check.COMPLETE: self._complete,
            Check.ABORT: self._abort,
        }
        try:
            return steps[check]()
        except ChecksumIgnored as ignored:
            return servers.CHECKSUM_REFUSED.found(at=check, algorithm=self._target.algorithm, error=ignored)
        except SyncdError as error:
            return store_trouble(check, error, self._aim)

    def _condition(self) -> Finding:
        """The very object that is there once more: where the condition is ignored nothing is lost."""
        try:
            self._put(Condition(if_none_match=True))
        except ObjectExists:
            return well(Check.CONDITION, "a write with If-None-Match does not replace an object")
        return servers.CONDITION_IGNORED.found()

    def _proof(self) -> Finding:
        found = self._head()
        if found is None:
            return servers.NOT_SHOWN.found(bucket=self._aim.bucket, prefix=self._aim.prefix)
        return self._judged(Check.PROOF, found, multipart=False)

    def _judged(self, check: Check, found: RemoteObject, *, multipart: bool) -> Finding:
        expected = self._expected(multipart=multipart)
        shown = examine(found, expected)
        if shown is not Shown.OURS:
            return servers.OTHER_OBJECT.found(
                at=check, bucket=self._aim.bucket, key=self._target.key, what=shown.value
            )
        kind = proof_by_head(found, expected).kind
        if kind is ProofKind.SIZE and check is Check.PROOF and self._target.algorithm is not Algorithm.NONE:
            other = "auto" if self._target.algorithm is Algorithm.MD5 else "md5"
            return servers.ONLY_SIZE.found(other=other)
        return well(check, f"what is stored is what was sent, by {kind}")

    # -- by multipart upload

    def in_parts(self) -> Iterator[Finding]:
        """Create, one part, ListParts, Complete, HEAD; and Create and Abort, for what is given up must not be left.

        Who stops to listen in the middle leaves nothing open either, as far as the store lets us abort.
        """
        try:
            yield from self._in_parts()
        finally:
            if self._open is not None:
                with contextlib.suppress(SyncdError):
                    self._there.store.abort(self._target.bucket, self._target.key, self._open)

    def _in_parts(self) -> Iterator[Finding]:
        created = self.tried(Check.CREATE)
        yield created
        if created.verdict is Verdict.FAIL:
            yield from without(OF_AN_UPLOAD, Check.CREATE)
            return
        sent = self.tried(Check.PART)
        yield sent
        yield self.tried(Check.LIST)
        if sent.verdict is Verdict.FAIL:
            yield from without([Check.COMPLETE], Check.PART)
        else:
            yield self.tried(Check.COMPLETE)
        yield self.tried(Check.ABORT)
        yield self._rule()

    def _create(self) -> Finding:
        begun = self._there.store.begin(self._target)
        self._open, self._swept_at = begun.upload_id, begun.swept_at
        return well(Check.CREATE, "a multipart upload was begun")

    def _rule(self) -> Finding:
        now = self._there.server_time.now()
        return stale_rule(self._aim.bucket, None if self._swept_at is None else self._swept_at - now)

    def _upload_part(self) -> Finding:
        body = self._body()
        part = self._there.store.upload_part(self._target, self._upload(), 1, body)
        self._part = Part(number=1, size=body.size, etag=part.etag, checksum=body.checksum or None)
        return well(Check.PART, f"{body.size} bytes")

    def _list_parts(self) -> Finding:
        parts = list(self._there.store.list_parts(self._target, self._upload()))
        return well(Check.LIST, f"{len(parts)} there")

    def _complete(self) -> Finding:
        body, parts = self._body(), [] if self._part is None else [self._part]
        self._there.store.complete(
            self._target,
            self._upload(),
            parts,
            size=body.size,
            checksum=self._expected(multipart=True).checksum or "",
            condition=Condition(),
        )
        self._open = None
        found = self._head()
        if found is None:  # which the check of the proof has told
            return well(Check.COMPLETE, "the parts were put together")
        return self._judged(Check.COMPLETE, found, multipart=True)

    def _abort(self) -> Finding:
        if self._open is None:
            self._create()
        upload, key = self._upload(), self._target.key
        try:
            self._there.store.abort(self._target.bucket, key, upload)
        except SyncdError as error:
            return servers.LEFT_OPEN.found(
                error=error, upload=upload, key=key, bucket=self._aim.bucket, prefix=self._aim.prefix
            )
        self._open = None
        return well(Check.ABORT, "an upload that is given up is gone")

    # -- what the requests are made of

    def _put(self, condition: Condition) -> None:
        self._there.store.put(self._target, self._body(), condition)

    def _head(self) -> RemoteObject | None:
        return self._there.store.head(self._target.bucket, self._target.key)

    def _expected(self, *, multipart: bool) -> Expected:
        body = self._body()
        whole = self._there.sums.whole(
            self._target.algorithm, [(body.checksum, body.size)], multipart=multipart
        )
        return Expected(
            token=self._target.token, size=body.size, algorithm=self._target.algorithm, checksum=whole
        )

    def _upload(self) -> str:
        return self._open or ""

    def _body(self) -> HeldBody:
        running = self._there.sums.new(self._target.algorithm)
        running.update(WORDS)
        return HeldBody(memoryview(WORDS), running.value())
