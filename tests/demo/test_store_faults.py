"""Where tests step in: before a request takes effect, and before it is answered."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from syncd.demo.store import Fault, Record, Store

AT = {"Bucket": "captures", "Key": "k"}


class Script:
    """Faults by moment, for every request."""

    def __init__(self, before: Fault | None = None, after: Fault | None = None) -> None:
        self._before, self._after = before, after
        self.seen: list[tuple[str, int, int]] = []

    def before(self, record: Record) -> Fault | None:
        self.seen.append((record.operation, record.length, record.status))
        return self._before

    def after(self, record: Record) -> Fault | None:
        self.seen.append((record.operation, record.received, record.status))
        return self._after


def test_a_request_is_shown_before_its_effect_and_before_its_answer(s3: Any, store: Store) -> None:
    store.faults = script = Script()
    s3.put_object(Body=b"hello", **AT)
    assert [(operation, status) for operation, _, status in script.seen] == [
        ("PutObject", 0),
        ("PutObject", 200),
    ]
    assert script.seen[0][1] == 5


@pytest.mark.parametrize(("moment", "stored"), [("before", []), ("after", ["k"])])
def test_an_error_comes_instead_of_the_effect_or_after_it(
    s3: Any, store: Store, refused: Any, moment: str, stored: list[str]
) -> None:
    store.faults = Script(**{moment: Fault(status=503, code="SlowDown", headers={"Retry-After": "7"})})
    assert refused(s3.put_object, Body=b"hello", **AT) == (503, "SlowDown")
    assert list(store.objects()) == stored
    record = store.log[-1]
    assert (record.status, record.code) == (503, "SlowDown")


def test_a_faults_headers_and_body_go_out_as_they_are(wire: Any, store: Store) -> None:
    fault = Fault(
        status=307, headers={"Location": "http://portal/", "Content-Type": "text/html"}, body=b"<html>"
    )
    store.faults = Script(before=fault)
    reply = wire.call("GET", "/captures/k")
    assert (reply.status, reply.body) == (307, b"<html>")
    assert (reply.headers["location"], reply.headers["content-type"]) == ("http://portal/", "text/html")


@pytest.mark.parametrize(("moment", "stored"), [("before", []), ("after", ["k"])])
def test_a_connection_drops_before_the_effect_or_after_it(
    s3: Any, store: Store, moment: str, stored: list[str]
) -> None:
    store.faults = Script(**{moment: Fault(drop=True)})
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Body=b"hello", **AT)
    assert list(store.objects()) == stored
    record = store.log[-1]
    assert (record.status, record.code) == (0, "Dropped")


def test_a_delay_delays_and_ends_with_the_store(s3: Any, store: Store) -> None:
    store.faults = Script(before=Fault(delay=0.05))
    started = time.monotonic()
    s3.put_object(Body=b"hello", **AT)
    assert time.monotonic() - started >= 0.05
    assert list(store.objects()) == ["k"]


def test_stopping_does_not_wait_for_a_long_delay(s3: Any, store: Store) -> None:
    class Stopper(Script):
        def before(self, record: Record) -> Fault | None:
            stopper.start()
            return super().before(record)

    stopper = threading.Thread(target=store.stop)
    store.faults = Stopper(before=Fault(delay=600))
    started = time.monotonic()
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Body=b"hello", **AT)
    stopper.join()
    assert time.monotonic() - started < 30
