"""Every request against a store that judges its time, by a client whose clock is hours off and that was told nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from support.clock import FakeClock

from syncd.adapters.s3 import open_store
from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.retrying import RetryingStore
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.sums import AwsSums
from syncd.adapters.s3.timing import Timing
from syncd.adapters.server_time import LearntTime
from syncd.demo.loopback import Answer, LoopbackServer, Request
from syncd.demo.store import Store
from syncd.demo.store.faults import Fault, Record
from syncd.errors import LockedOut, SyncdError
from syncd.model import Algorithm, Condition, CredentialSet, Part, Target

from .device import Current

HOUR = 3600.0
DATA = b"0123456789"


class Always:
    """What the store hands out, for ever."""

    def __init__(self, store: Store) -> None:
        self.only = CredentialSet(
            access_key=store.access_key, secret_key=store.secret_key, session_token=None, expires_at=None
        )
        self.renewed = 0

    def current(self) -> CredentialSet:
        return self.only

    def renew(self, rejected: CredentialSet, *, dead: bool = True) -> CredentialSet:
        self.renewed += 1
        return self.only


class InMemory:
    size = len(DATA)
    checksum = ""

    def __init__(self) -> None:
        sums = AwsSums().new(Algorithm.CRC32)
        sums.update(DATA)
        self.checksum = sums.value()

    def read_at(self, offset: int, size: int) -> memoryview:
        return memoryview(DATA)[offset : offset + size]

    def sent(self, count: int) -> None:
        """Not of interest here."""


BODY = InMemory()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("store"), min_part_size=5) as store:
        yield store


Open = Callable[[float], RetryingStore]


@pytest.fixture(scope="module")
def one_client(server: Store) -> Iterator[tuple[S3Store, Current, Current]]:
    """Whose clock and knowledge of the time are set by each test: a client costs a quarter of a second to build."""
    clock, learnt = Current(), Current()
    settings = Settings(endpoint_url=server.url, connect_timeout=5, read_timeout=5)
    store = S3Store(Clients(settings, Always(server), Timing(clock=clock, server_time=learnt)))
    yield store, clock, learnt
    store.close()


@pytest.fixture
def open_ahead(server: Store, one_client: tuple[S3Store, Current, Current]) -> Open:
    """The store as a machine sees it whose clock is so many seconds ahead, and that has heard nothing yet."""
    store, its_clock, its_learnt = one_client
    server.faults = None

    def ahead(seconds: float) -> RetryingStore:
        clock = FakeClock(time.time() + seconds)
        its_clock.to, its_learnt.to = clock, LearntTime(clock)
        return RetryingStore(store, credentials=Always(server), clock=clock, stop=threading.Event())

    return ahead


def target(key: str) -> Target:
    return Target(bucket="captures", key=key, algorithm=Algorithm.CRC32, token="t", metadata={})


def codes(server: Store, since: int) -> list[str]:
    return [record.code for record in server.log[since:]]


def _complete(store: RetryingStore, key: str, upload_id: str, part: Part) -> object:
    return store.complete(
        target(key), upload_id, [part], size=len(DATA), checksum=BODY.checksum, condition=Condition()
    )


OPERATIONS: dict[str, Callable[[RetryingStore, str, str, Part], object]] = {
    "put": lambda store, key, _, __: store.put(target(key + " put"), BODY, Condition()),
    "create": lambda store, key, _, __: store.create(target(key + " create")),
    "upload_part": lambda store, key, upload_id, _: store.upload_part(target(key), upload_id, 1, BODY),
    "list_parts": lambda store, key, upload_id, _: list(store.list_parts(target(key), upload_id)),
    "complete": _complete,
    "abort": lambda store, key, upload_id, _: store.abort("captures", key, upload_id) or True,
    "head": lambda store, key, _, __: store.head("captures", "there"),
    "list_uploads": lambda store, key, _, __: store.list_uploads("captures", key),
}


@pytest.mark.parametrize("ahead", [-3 * HOUR, 3 * HOUR])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_first_request_of_a_wrong_clock_gets_through_at_its_second_try(
    server: Store, open_ahead: Open, operation: str, ahead: float
) -> None:
    right, key = open_ahead(0), f"{operation} {ahead}"
    right.put(target("there"), BODY, Condition())
    upload_id = right.create(target(key))
    part = right.upload_part(target(key), upload_id, 1, BODY)
    store, before = open_ahead(ahead), len(server.log)
    assert OPERATIONS[operation](store, key, upload_id, part)
    refused = codes(server, before)
    assert refused == ["RequestTimeTooSkewed", ""]
    store.head("captures", "there")
    assert codes(server, before) == ["RequestTimeTooSkewed", "", ""]


class Skewed:
    """A store that takes no time for the right one."""

    def before(self, record: Record) -> Fault | None:
        return Fault(status=403, code="RequestTimeTooSkewed", message="The difference is too large.")

    def after(self, record: Record) -> Fault | None:
        return None


def test_a_time_that_stays_refused_locks_out_with_a_hint_after_two_tries(
    server: Store, open_ahead: Open
) -> None:
    store, before = open_ahead(3 * HOUR), len(server.log)
    server.faults = Skewed()
    with pytest.raises(LockedOut) as caught:
        store.put(target("never"), BODY, Condition())
    assert caught.value.code == "clock"
    assert "set the clock" in (caught.value.hint or "")
    assert len(server.log) - before == 2


class Portal:
    """Somebody between us and S3, who has a clock of his own."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: Request) -> Answer:
        self.asked += 1
        headers = {"Location": "http://127.0.0.1:9/", "Date": "Wed, 01 Jan 2031 00:00:00 GMT"}
        return Answer(status=302, headers=headers, body=b"<html>")


def test_a_captive_portal_does_not_set_the_time(server: Store) -> None:
    clock, portal = FakeClock(), Portal()
    learnt, between = LearntTime(clock), LoopbackServer(portal)
    between.start()
    store, _ = open_store(
        credentials=Always(server),
        clock=clock,
        stop=threading.Event(),
        server_time=learnt,
        endpoint_url=between.url,
    )
    with pytest.raises(SyncdError):
        store.put(target("never"), BODY, Condition())
    store.close()
    between.stop()
    assert portal.asked > 0
    assert learnt.offset() is None
