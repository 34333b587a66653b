from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock

from syncd.adapters.s3.outages import LostAnswer
from syncd.adapters.s3.retrying import ATTEMPTS, LONGEST_WAIT, UNREACHABLE_ATTEMPTS, RetryingStore
from syncd.errors import (
    ChecksumIgnored,
    Conflict,
    Doubtful,
    LockedOut,
    ObjectExists,
    PartsRejected,
    Refused,
    SyncdError,
    Transient,
    UploadGone,
)
from syncd.model import Condition, Stored

from .conftest import BytesBody, FakeCredentials, credential_set, target

TARGET = target()
BODY = BytesBody(b"x")
DONE = Stored(etag='"e"')


class Inner:
    """A store that fails by a script, then succeeds; every method counts alike."""

    def __init__(self, *script: Exception, for_ever: bool = False) -> None:
        self.script = list(script)
        self.for_ever = for_ever
        self.calls: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(*_: Any, **__: Any) -> Any:
            self.calls.append(name)
            self.before()
            if self.script:
                raise self.script[0] if self.for_ever else self.script.pop(0)
            return {"list_parts": []}.get(name, DONE)

        return method


class House:
    """The retrying store around an inner one, with everything that a test turns."""

    def __init__(self, *script: Exception, clock: FakeClock, for_ever: bool = False) -> None:
        self.inner = Inner(*script, for_ever=for_ever)
        self.clock = clock
        self.stop = threading.Event()
        self.credentials = FakeCredentials([credential_set("ONE"), credential_set("TWO")])
        self.store = RetryingStore(self.inner, credentials=self.credentials, clock=clock, stop=self.stop)

    def call(self, operation: str = "upload_part") -> Any:
        calls: dict[str, Callable[[], Any]] = {
            "put": lambda: self.store.put(TARGET, BODY, Condition()),
            "create": lambda: self.store.create(TARGET),
            "upload_part": lambda: self.store.upload_part(TARGET, "U", 1, BODY),
            "list_parts": lambda: list(self.store.list_parts(TARGET, "U")),
            "complete": lambda: self.store.complete(
                TARGET, "U", [], size=1, checksum="", condition=Condition()
            ),
            "abort": lambda: self.store.abort("captures", "k", "U"),
            "head": lambda: self.store.head("captures", "k"),
            "list_uploads": lambda: self.store.list_uploads("captures", "k"),
        }
        return calls[operation]()

    def fails(self, operation: str = "upload_part") -> SyncdError:
        with pytest.raises(SyncdError) as caught:
            self.call(operation)
        return caught.value


ALL = ["put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"]


@pytest.mark.parametrize("operation", ALL)
def test_a_passing_trouble_is_not_seen_from_outside(operation: str, clock: FakeClock) -> None:
    house = House(Transient("busy"), Transient("busy"), clock=clock)
    house.call(operation)
    assert house.inner.calls == [operation] * 3


def test_a_lasting_trouble_comes_out_as_it_is_after_four_attempts(clock: FakeClock) -> None:
    trouble = Transient("busy")
    house = House(trouble, clock=clock, for_ever=True)
    assert house.fails() is trouble
    assert len(house.inner.calls) == ATTEMPTS
    assert len(clock.waits) == ATTEMPTS - 1


def test_an_unreachable_store_is_asked_twice_only(clock: FakeClock) -> None:
    house = House(Transient("no route", unreachable=True), clock=clock, for_ever=True)
    house.fails()
    assert len(house.inner.calls) == UNREACHABLE_ATTEMPTS


def test_waits_are_random_and_grow_to_a_cap(clock: FakeClock) -> None:
    for _ in range(30):
        House(Transient("busy"), clock=clock, for_ever=True).fails()
    by_attempt = [clock.waits[n :: ATTEMPTS - 1] for n in range(ATTEMPTS - 1)]
    for waits, bound in zip(by_attempt, [0.5, 1, 2], strict=True):
        assert max(waits) <= bound <= LONGEST_WAIT
        assert len(set(waits)) > 1


def test_the_stores_own_wish_is_honoured(clock: FakeClock) -> None:
    House(Transient("slow down", retry_after=7), clock=clock).call()
    assert clock.waits == [7]


def test_a_wish_for_longer_is_left_to_the_ledger_at_once(clock: FakeClock) -> None:
    house = House(Transient("slow down", retry_after=LONGEST_WAIT + 1), clock=clock)
    assert isinstance(house.fails(), Transient)
    assert house.inner.calls == ["upload_part"]
    assert clock.waits == []


@pytest.mark.parametrize(
    "failure",
    [
        Doubtful("?"),
        UploadGone("gone"),
        PartsRejected("no"),
        ObjectExists("there"),
        Conflict("race"),
        ChecksumIgnored("none"),
        Refused("no"),
        LockedOut("bucket", code="bucket"),
        LockedOut("tls", code="tls"),
    ],
)
def test_nothing_but_trouble_is_retried(failure: SyncdError, clock: FakeClock) -> None:
    house = House(failure, clock=clock)
    assert house.fails("complete") is failure
    assert house.inner.calls == ["complete"]
    assert house.credentials.renewed == []


def test_a_create_whose_answer_was_lost_is_not_asked_for_again(clock: FakeClock) -> None:
    house = House(LostAnswer("?"), clock=clock)
    assert isinstance(house.fails("create"), LostAnswer)
    assert house.inner.calls == ["create"]
    assert House(LostAnswer("?"), clock=clock).call("upload_part") is DONE


def test_no_attempt_begins_after_a_stop(clock: FakeClock) -> None:
    house = House(Transient("busy"), clock=clock, for_ever=True)
    house.inner.before = house.stop.set
    house.fails()
    assert len(house.inner.calls) == 1
    assert clock.waits == []


def test_a_stop_during_a_wait_ends_it_without_another_attempt(clock: FakeClock) -> None:
    trouble = Transient("busy")
    house = House(trouble, clock=clock, for_ever=True)
    waited: list[float] = []

    def wait(event: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        event.set()
        return True

    house.store._clock = type("Stopping", (), {"wait": staticmethod(wait)})()
    assert house.fails() is trouble
    assert len(house.inner.calls) == 1
    assert len(waited) == 1


@pytest.mark.parametrize("code", ["credentials", "permission"])
def test_refused_credentials_are_replaced_once(code: str, clock: FakeClock) -> None:
    house = House(LockedOut("expired", code=code), clock=clock)
    used = house.credentials.current()
    assert house.call() is DONE
    assert house.credentials.renewed == [used]
    assert len(house.inner.calls) == 2


@pytest.mark.parametrize("code", ["credentials", "permission"])
def test_fresh_credentials_that_are_refused_too_lock(code: str, clock: FakeClock) -> None:
    refusal = LockedOut("denied", code=code)
    house = House(refusal, clock=clock, for_ever=True)
    assert house.fails() is refusal
    assert len(house.credentials.renewed) == 1
    assert len(house.inner.calls) == 2


def test_a_signature_whose_time_was_refused_is_made_once_more_at_once(clock: FakeClock) -> None:
    house = House(LockedOut("skewed", code="clock"), clock=clock)
    assert house.call("create") is DONE
    assert (house.inner.calls, clock.waits, house.credentials.renewed) == (["create"] * 2, [], [])


def test_a_time_that_is_refused_again_locks(clock: FakeClock) -> None:
    refusal = LockedOut("skewed", code="clock")
    house = House(refusal, clock=clock, for_ever=True)
    assert house.fails() is refusal
    assert len(house.inner.calls) == 2


def test_a_wrong_time_and_a_dead_set_are_both_got_over_in_one_call(clock: FakeClock) -> None:
    skewed, expired = LockedOut("skewed", code="clock"), LockedOut("expired", code="credentials")
    for first, second in ((skewed, expired), (expired, skewed)):
        house = House(first, second, clock=clock)
        assert house.call() is DONE
        assert len(house.credentials.renewed) == 1


def test_after_a_stop_a_refused_time_is_not_signed_again(clock: FakeClock) -> None:
    house = House(LockedOut("skewed", code="clock"), clock=clock)
    house.stop.set()
    house.fails()
    assert len(house.inner.calls) == 1


def test_where_no_fresh_credentials_are_to_be_had_that_is_the_failure(clock: FakeClock) -> None:
    refusal = LockedOut("expired", code="credentials")
    house = House(refusal, clock=clock)
    house.credentials.refusal = LockedOut("the API says 401", code="credentials")
    failure = house.fails()
    assert failure is house.credentials.refusal
    assert failure.__cause__ is refusal
    assert len(house.inner.calls) == 1


def test_a_right_that_is_missing_is_the_failure_whatever_the_api_says_and_condemns_no_set(
    clock: FakeClock,
) -> None:
    refusal = LockedOut("denied", code="permission")
    house = House(refusal, clock=clock, for_ever=True)
    house.credentials.refusal = LockedOut("the API says 503", code="credentials")
    assert house.fails() is refusal
    assert len(house.credentials.renewed) == 1
    assert house.credentials.condemned == []


def test_without_any_credentials_nothing_is_asked(clock: FakeClock) -> None:
    house = House(clock=clock)
    house.credentials.missing = LockedOut("none", code="credentials")
    assert house.fails() is house.credentials.missing
    assert house.inner.calls == []
    assert house.credentials.renewed == []


def test_after_a_stop_credentials_are_not_replaced(clock: FakeClock) -> None:
    house = House(LockedOut("expired", code="credentials"), clock=clock)
    house.stop.set()
    house.fails()
    assert house.credentials.renewed == []


def test_trouble_after_fresh_credentials_is_still_waited_out(clock: FakeClock) -> None:
    house = House(LockedOut("expired", code="credentials"), Transient("busy"), clock=clock)
    assert house.call() is DONE
    assert len(house.inner.calls) == 3


def test_each_retry_is_logged_with_what_where_and_why(clock: FakeClock) -> None:
    house = House(Transient("slow", retry_after=3), LockedOut("expired", code="credentials"), clock=clock)
    with capture_logs() as logs:
        house.call("put")
    assert [log["event"] for log in logs] == ["request_retried"] * 2
    told = {name: logs[0][name] for name in ("operation", "key", "attempt", "wait", "error")}
    assert told == {"operation": "put", "key": "cam/a.bin", "attempt": 1, "wait": 3, "error": "slow"}
    assert logs[1]["error"] == "expired"


def test_closing_closes_the_store_within(clock: FakeClock) -> None:
    house = House(clock=clock)
    house.store.close()
    assert house.inner.closed
