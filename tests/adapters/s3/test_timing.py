"""Which answers tell the time, and how it gets into a signature: scripted answers. `tests/clock` has whole stores."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.clock import FakeClock

from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.store import S3Store
from syncd.adapters.s3.timing import Timing
from syncd.errors import LockedOut, SyncdError

from .conftest import FakeCredentials, Reply, ScriptedServer, error
from .operations import HTML, OK_PUT, call

THERE = 1_900_000_000.0  # 2030-03-17T17:46:40Z
DATE = email.utils.formatdate(THERE, usegmt=True)
S3 = {"x-amz-request-id": "0123", "Date": DATE}
BUCKET_KEY = ("captures", "cam/a.bin")


@dataclass
class Told:
    """`ports.ServerTime` that keeps what it was told, and says what a test wants."""

    time: float = THERE
    heard_dates: list[tuple[float, str, float]] = field(default_factory=list)

    def heard(self, date: float, *, source: Any, asked_at: float) -> None:
        self.heard_dates.append((date, source, asked_at))

    def now(self) -> float:
        return self.time

    def offset(self) -> float | None:
        return None


@pytest.fixture(scope="module")
def _timed(_one_server: ScriptedServer) -> Iterator[tuple[S3Store, Told, FakeCredentials]]:
    told, credentials = Told(), FakeCredentials([])
    settings = Settings(endpoint_url=_one_server.url, connect_timeout=5, read_timeout=5)
    store = S3Store(Clients(settings, credentials, Timing(clock=FakeClock(), server_time=told)))
    yield store, told, credentials
    store.close()


@pytest.fixture
def told(_timed: tuple[S3Store, Told, FakeCredentials]) -> Told:
    _timed[1].time, _timed[1].heard_dates = THERE, []
    return _timed[1]


@pytest.fixture
def timed(_timed: tuple[S3Store, Told, FakeCredentials], told: Told, credentials: FakeCredentials) -> S3Store:
    _timed[2].sets = credentials.sets
    return _timed[0]


def attempt(store: S3Store, operation: str = "put") -> SyncdError | None:
    from .operations import BODY, PLAIN

    try:
        call(store, operation, PLAIN, BODY)
    except SyncdError as failure:
        return failure
    return None


@pytest.mark.parametrize(
    ("at", "stamp"),
    [
        (THERE, "20300317T174640Z"),
        (1_798_761_599.9, "20261231T235959Z"),
        (1_798_761_600.0, "20270101T000000Z"),
        (1_709_164_800.0, "20240229T000000Z"),
    ],
)
def test_date_header_and_scope_are_of_the_servers_time(
    server: ScriptedServer, timed: S3Store, told: Told, at: float, stamp: str
) -> None:
    told.time = at
    server.script(OK_PUT)
    assert attempt(timed) is None
    headers = server.seen[0].headers
    assert headers["x-amz-date"] == stamp
    assert f"Credential=AKIAONE/{stamp[:8]}/us-east-1/s3/aws4_request" in headers["authorization"]
    assert "date" not in headers
    assert "x-amz-date" in headers["authorization"].split("SignedHeaders=")[1]


def test_without_a_server_time_the_local_clock_signs(server: ScriptedServer, store: S3Store) -> None:
    server.script(OK_PUT)
    assert attempt(store) is None
    assert not server.seen[0].headers["x-amz-date"].startswith("2030")


def test_every_request_asks_anew_what_time_it_is(server: ScriptedServer, timed: S3Store, told: Told) -> None:
    server.script(OK_PUT)
    attempt(timed)
    told.time += 3600
    attempt(timed)
    assert [seen.headers["x-amz-date"] for seen in server.seen] == ["20300317T174640Z", "20300317T184640Z"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, headers={**OK_PUT.headers, **S3}),
        error(403, "AccessDenied", **S3),
        error(503, "SlowDown", **S3),
        error(500, "InternalError", **S3),
        Reply(412, headers=S3),
        error(301, "PermanentRedirect", **S3),
    ],
)
def test_the_date_of_every_answer_of_s3_is_heard_whatever_it_says(
    server: ScriptedServer, timed: S3Store, told: Told, reply: Reply
) -> None:
    server.script(reply)
    attempt(timed)
    assert told.heard_dates == [(THERE, "s3", FakeClock().boottime())]


@pytest.mark.parametrize("operation", ["head", "put", "create", "complete", "list_parts", "abort"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, headers={"Location": "http://portal.example/", "Date": DATE}),
        Reply(200, HTML, {"Content-Type": "text/html", "Date": DATE}),
        Reply(403, HTML, {"Content-Type": "text/html", "Date": DATE}),
        Reply(511, HTML, {"Date": DATE}),
        Reply(502, b"", {"Date": DATE}),
    ],
)
def test_what_a_portal_or_a_proxy_says_is_not_believed(
    server: ScriptedServer, timed: S3Store, told: Told, operation: str, reply: Reply
) -> None:
    server.script(reply)
    attempt(timed, operation)
    assert told.heard_dates == []


@pytest.mark.parametrize("date", ["", "soon", "Sun, 99 Mar 2030 17:46:40 GMT", "0"])
def test_a_date_that_is_none_is_not_heard(
    server: ScriptedServer, timed: S3Store, told: Told, date: str
) -> None:
    server.script(Reply(200, headers={**OK_PUT.headers, **S3, "Date": date}))
    assert attempt(timed) is None
    assert told.heard_dates == []


def test_a_refused_time_tells_the_right_one_in_its_body_where_headers_do_not(
    server: ScriptedServer, timed: S3Store, told: Told
) -> None:
    extra = "<RequestTime>20100101T000000Z</RequestTime><ServerTime>2030-03-17T17:46:40Z</ServerTime>"
    server.script(error(403, "RequestTimeTooSkewed", extra=extra, Date=""))
    failure = attempt(timed)
    assert isinstance(failure, LockedOut)
    assert failure.code == "clock"
    assert [date for date, _, _ in told.heard_dates] == [THERE]


def test_a_refused_time_is_believed_without_a_request_id_too(
    server: ScriptedServer, timed: S3Store, told: Told
) -> None:
    server.script(error(403, "RequestTimeTooSkewed", Date=DATE))
    attempt(timed)
    assert [date for date, _, _ in told.heard_dates] == [THERE]


@pytest.mark.parametrize("wrong_by", [-3600.0, -902.0, 902.0, 3600.0])
def test_a_head_refused_for_its_time_is_not_taken_for_a_missing_object(
    server: ScriptedServer, timed: S3Store, told: Told, wrong_by: float
) -> None:
    told.time = THERE + wrong_by
    server.script(Reply(403, headers=S3))
    with pytest.raises(LockedOut) as caught:
        timed.head(*BUCKET_KEY)
    assert caught.value.code == "clock"
    assert "timedatectl" in (caught.value.hint or "")


@pytest.mark.parametrize("wrong_by", [-890.0, 0.0, 890.0])
def test_a_head_refused_at_the_right_time_is_an_object_that_is_not_shown(
    server: ScriptedServer, timed: S3Store, told: Told, wrong_by: float
) -> None:
    told.time = THERE + wrong_by
    server.script(Reply(403, headers=S3))
    assert timed.head(*BUCKET_KEY) is None


def test_a_refusal_with_a_reason_of_its_own_keeps_it_however_wrong_the_time(
    server: ScriptedServer, timed: S3Store, told: Told
) -> None:
    told.time = THERE - 3600
    server.script(error(403, "InvalidAccessKeyId", **S3))
    failure = attempt(timed)
    assert isinstance(failure, LockedOut)
    assert failure.code == "credentials"
