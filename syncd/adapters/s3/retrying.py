"""Seconds of trouble end here: a store around the store that tries again, at most a few times.

Minutes and days are the ledger's business. Retried is what is certainly undone or may safely be done twice: never a doubtful
Put or Complete, never a Create whose answer was lost (it would leave an upload behind that nobody knows). Credentials
that were refused are replaced once (what S3 merely denies does not condemn them), and a signature whose time was refused is made once more: the refusal told the
server's time. A stop ends every wait; no attempt begins after it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import structlog
import tenacity

from syncd.adapters.s3.outages import LostAnswer
from syncd.errors import LockedOut, SyncdError, Transient
from syncd.model import Begun, Condition, CredentialSet, OpenUpload, Part, RemoteObject, Stored, Target
from syncd.ports import Body, Clock, Credentials, TalkativeStore

log = structlog.get_logger()

ATTEMPTS = 4
UNREACHABLE_ATTEMPTS = 2
LONGEST_WAIT = 10.0

_NEW_SET, _NEW_TIME = "a new set", "the server's time"
_REMEDY = {"credentials": _NEW_SET, "permission": _NEW_SET, "clock": _NEW_TIME}
_T = TypeVar("_T")


class RetryingStore:
    """The port `TalkativeStore` around another one. `stop` is set when the process is to end."""

    def __init__(
        self,
        store: TalkativeStore,
        *,
        credentials: Credentials,
        clock: Clock,
        stop: threading.Event,
        tried_again: Callable[[SyncdError], None] = lambda _: None,
    ) -> None:
        """`tried_again` is told of every failure after which a request is made once more."""
        self._store = store
        self._credentials = credentials
        self._clock = clock
        self._stop = stop
        self._tried_again = tried_again

    def close(self) -> None:
        """Close the connections of the store within."""
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def address(self, bucket: str, key: str) -> str:
        """See the port."""
        return self._store.address(bucket, key)

    def put(self, target: Target, body: Body, condition: Condition) -> Stored:
        """PutObject; see the port."""
        return self._persist("put", target.key, lambda: self._store.put(target, body, condition))

    def create(self, target: Target) -> str:
        """CreateMultipartUpload; see the port. A lost answer is not asked for again."""
        return self._persist("create", target.key, lambda: self._store.create(target), lost_too=False)

    def begin(self, target: Target) -> Begun:
        """The same, with what else the answer says."""
        return self._persist("create", target.key, lambda: self._store.begin(target), lost_too=False)

    def upload_part(self, target: Target, upload_id: str, number: int, body: Body) -> Part:
        """UploadPart; see the port."""
        return self._persist(
            "upload_part", target.key, lambda: self._store.upload_part(target, upload_id, number, body)
        )

    def list_parts(self, target: Target, upload_id: str) -> Iterator[Part]:
        """ListParts; see the port. All pages are read before the first part comes."""
        return iter(
            self._persist("list_parts", target.key, lambda: list(self._store.list_parts(target, upload_id)))
        )

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
        """CompleteMultipartUpload; see the port."""
        call = functools.partial(
            self._store.complete,
            target,
            upload_id,
            parts,
            size=size,
            checksum=checksum,
            condition=condition,
        )
        return self._persist("complete", target.key, call)

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """AbortMultipartUpload; see the port."""
        self._persist("abort", key, lambda: self._store.abort(bucket, key, upload_id))

    def head(self, bucket: str, key: str) -> RemoteObject | None:
        """HEAD; see the port."""
        return self._persist("head", key, lambda: self._store.head(bucket, key))

    def list_uploads(self, bucket: str, key: str) -> list[tuple[str, float]] | None:
        """ListMultipartUploads; see the port."""
        return self._persist("list_uploads", key, lambda: self._store.list_uploads(bucket, key))

    def uploads_below(self, bucket: str, prefix: str) -> list[OpenUpload] | None:
        """ListMultipartUploads; see the port."""
        return self._persist("list_uploads", prefix, lambda: self._store.uploads_below(bucket, prefix))

    def _persist(self, operation: str, key: str, call: Callable[[], _T], *, lost_too: bool = True) -> _T:
        """The call's result, tried again through seconds of trouble, and once with new credentials or the right time."""
        used = self._credentials.current()
        tried: set[str] = set()
        while True:
            try:
                return self._through_trouble(operation, key, call, lost_too=lost_too)
            except LockedOut as refusal:
                remedy = _REMEDY.get(refusal.code)
                if remedy is None or remedy in tried or self._stop.is_set():
                    raise
                if remedy is _NEW_SET:
                    self._replace(used, refusal)
                tried.add(remedy)
                self._tell_retry(operation, key, 1, 0.0, refusal)

    def _replace(self, used: CredentialSet, refusal: LockedOut) -> None:
        """Ask for another set. Where there is none, the failure is that, unless S3 named a right that is missing."""
        try:
            if (
                refusal.code == "permission"
            ):  # a revoked session, or only a policy: a set that works elsewhere stays
                self._credentials.renew(used, dead=False)
            else:
                self._credentials.renew(used)
        except LockedOut as none_better:
            if refusal.code == "permission":
                raise refusal from none_better
            raise none_better from refusal

    def _through_trouble(self, operation: str, key: str, call: Callable[[], _T], *, lost_too: bool) -> _T:
        last: list[BaseException] = []

        def attempt() -> _T:
            # tenacity makes one more attempt after its sleep was cut short by a stop: not this one.
            if last and self._stop.is_set():
                raise last[0]
            return call()

        def before_sleep(state: tenacity.RetryCallState) -> None:
            failure = state.outcome.exception() if state.outcome is not None else None
            if failure is not None:
                last[:] = [failure]
                self._tell_retry(operation, key, state.attempt_number, state.upcoming_sleep, failure)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(functools.partial(_worth_another, lost_too=lost_too)),
            stop=lambda state: self._stop.is_set() or _enough(state),
            wait=_wait,
            sleep=self._sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _tell_retry(self, operation: str, key: str, attempt: int, wait: float, error: BaseException) -> None:
        log.info(
            "request_retried",
            operation=operation,
            key=key,
            attempt=attempt,
            wait=round(wait, 3),
            error=str(error),
        )
        if isinstance(error, SyncdError):
            self._tried_again(error)

    def _sleep(self, seconds: float) -> None:
        self._clock.wait(self._stop, seconds)


def _worth_another(failure: BaseException, *, lost_too: bool) -> bool:
    if not isinstance(failure, Transient) or (isinstance(failure, LostAnswer) and not lost_too):
        return False
    return failure.retry_after is None or failure.retry_after <= LONGEST_WAIT


def _enough(state: tenacity.RetryCallState) -> bool:
    failure = state.outcome.exception() if state.outcome is not None else None
    unreachable = isinstance(failure, Transient) and failure.unreachable
    return state.attempt_number >= (UNREACHABLE_ATTEMPTS if unreachable else ATTEMPTS)


_full_jitter = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT)


def _wait(state: tenacity.RetryCallState) -> float:
    """The server's wish where it has one, else anything up to 0.5, 1, 2 seconds."""
    failure = state.outcome.exception() if state.outcome is not None else None
    wish = failure.retry_after if isinstance(failure, Transient) else None
    return _full_jitter(state) if wish is None else wish
