"""The keeper against a scripted API and a clock that the test turns: renewal, trouble, single flight, no secrets told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.adapters.credentials.api import Fetched
from syncd.adapters.credentials.keeper import CredentialKeeper, open_keeper
from syncd.errors import ConfigError, LockedOut, NoCredentials, Transient
from syncd.model import CredentialSet

DOWN = Transient("cannot reach api.example", unreachable=True)
REFUSAL = LockedOut("api.example answered 401", code="credentials", hint="check the token")


class Api:
    """Hands out a new set at each call, or raises what a test put into `trouble`."""

    def __init__(self, clock: Any, life: float) -> None:
        self.clock, self.life = clock, life
        self.trouble: Exception | None = None
        self.calls: list[float] = []
        self.slowness = 0.0
        self.same = False

    def fetch(self) -> Fetched:
        self.calls.append(self.clock.boottime())
        self.clock.turn(self.slowness)
        if self.trouble is not None:
            raise self.trouble
        number = 1 if self.same else len(self.calls)
        credentials = CredentialSet(
            access_key=f"ASIA{number}",
            secret_key=f"CANARY-secret-{number}",
            session_token=f"CANARY-session-{number}",
            expires_at=self.clock.now() + self.life if not self.same else 2e9,
        )
        return Fetched(credentials=credentials, lifetime=self.life)


class House:
    """A keeper with all that belongs to it."""

    def __init__(
        self, clock: Any, life: float = 3600, renew_before: float = 600, jitter: float = 0.0
    ) -> None:
        self.clock = clock
        self.api = Api(clock, life)
        self.changes: list[str] = []
        self.keeper = CredentialKeeper(
            fetch=self.api.fetch,
            clock=clock,
            renew_before=renew_before,
            jitter=lambda: jitter,
            on_change=lambda: self.changes.append(self.keeper.snapshot().state),
            source="api.example",
            also_secret=lambda: ("CANARY-token",),
        )

    def live(self, seconds: float, each: Callable[[], object] = lambda: None, step: float = 1.0) -> None:
        """Let time pass as the thread would see it, looking at the keeper at every step."""
        end = self.clock.boottime() + seconds
        look = self.clock.boottime()
        while self.clock.boottime() < end:
            if self.clock.boottime() >= look:
                pause = self.keeper.tick()
                assert 0 < pause <= 60
                look = self.clock.boottime() + pause
            each()
            self.clock.turn(step)

    def state(self) -> str:
        return self.keeper.snapshot().state


@pytest.fixture
def clock(kit: Any) -> Any:
    return kit.FakeClock()


@pytest.fixture
def house(clock: Any) -> House:
    return House(clock)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as records:
        yield records


def events(logged: list[Any]) -> list[str]:
    return [record["event"] for record in logged]


def test_before_the_first_call_nothing_is_handed_out(house: House) -> None:
    with pytest.raises(NoCredentials, match="no credentials yet") as caught:
        house.keeper.current()
    assert (caught.value.code, caught.value.hint) == ("credentials", "they are being fetched")
    assert house.state() == "none"
    assert house.api.calls == []


def test_current_is_the_set_itself_and_never_calls(house: House) -> None:
    house.keeper.tick()
    assert house.keeper.current() is house.keeper.current()
    assert len(house.api.calls) == 1
    assert house.state() == "ok"


@pytest.mark.parametrize(
    ("life", "renew_before", "jitter", "due"),
    [
        (3600, 600, 0.0, 3000),
        (3600, 600, 1.0, 2940),
        (900, 600, 0.0, 600),
        (60, 600, 0.0, 40),
        (60, 600, 1.0, 38),
        (60, 5, 0.0, 55),
        (6, 600, 0.0, 5),
    ],
)
def test_renewal_comes_renew_before_or_a_third_of_the_life_before_expiry(
    clock: Any, life: float, renew_before: float, jitter: float, due: float
) -> None:
    house = House(clock, life, renew_before, jitter)
    house.keeper.tick()
    clock.turn(due - 0.5)
    house.keeper.tick()
    assert len(house.api.calls) == 1
    clock.turn(0.5)
    house.keeper.tick()
    assert len(house.api.calls) == 2


def test_sessions_of_a_minute_cost_one_call_each_and_serve_without_a_gap(clock: Any) -> None:
    house = House(clock, life=60)
    house.keeper.tick()
    house.live(180, each=house.keeper.current, step=0.5)
    assert len(house.api.calls) == 1 + 180 // 40
    assert house.keeper.snapshot().renewals == len(house.api.calls)
    assert set(house.changes) == {"ok"}


def test_a_set_serves_through_an_outage_until_it_expires_and_the_keeper_recovers(
    clock: Any, logged: list[Any]
) -> None:
    house = House(clock, life=900, jitter=0.5)
    house.keeper.tick()
    first = house.keeper.current()
    house.api.trouble = DOWN
    house.live(889, each=house.keeper.current)  # until 10 s before its end
    assert house.keeper.current() is first
    assert house.state() == "stale"
    assert 5 < len(house.api.calls) < 20  # 300 s of backoff, not one call each look
    house.live(12)
    with pytest.raises(LockedOut, match="have expired: cannot reach api") as caught:
        house.keeper.current()
    assert caught.value.code == "credentials"
    assert house.state() == "expired"
    house.api.trouble = None
    house.live(61)
    assert house.keeper.current() != first
    assert house.changes == ["ok", "stale", "expired", "ok"]
    assert events(logged).count("credentials_renewed") == 2
    warned = [record for record in logged if record["log_level"] == "warning"]
    assert [record["event"] for record in warned] == ["credentials_renewal_failed"]


def test_down_at_the_start_it_waits_and_then_works(house: House) -> None:
    house.api.trouble = DOWN
    house.live(600)
    assert house.state() == "none"
    with pytest.raises(LockedOut, match="no credentials yet: cannot reach"):
        house.keeper.current()
    house.api.trouble = None
    house.live(61)
    assert house.state() == "ok"
    house.keeper.current()


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_backoff_grows_from_a_second_to_a_minute(clock: Any, jitter: float) -> None:
    house = House(clock, jitter=jitter)
    house.api.trouble = DOWN
    house.live(400, step=0.25)
    gaps = [after - before for before, after in zip(house.api.calls, house.api.calls[1:], strict=False)]
    assert gaps[:8] == ([1] * 8 if jitter == 0 else [2, 4, 8, 16, 32, 60, 60, 60])


def test_the_servers_wish_is_honoured(house: House) -> None:
    house.api.trouble = Transient("busy", retry_after=300)
    house.live(299)
    assert len(house.api.calls) == 1
    with pytest.raises(LockedOut, match="busy"):
        house.keeper.renew(CredentialSet(access_key="A", secret_key="S", session_token=None, expires_at=None))
    house.live(2)
    assert len(house.api.calls) == 2


def test_a_refusal_is_tried_again_each_minute_and_not_more(house: House, logged: list[Any]) -> None:
    house.api.trouble = REFUSAL
    house.live(301)
    assert house.api.calls == [1000 + 60 * n for n in range(6)]
    status = house.keeper.snapshot()
    assert (status.state, status.failure, status.hint) == ("refused", str(REFUSAL), "check the token")
    assert status.since == 1_800_000_000
    with pytest.raises(LockedOut, match="answered 401") as caught:
        house.keeper.current()
    assert caught.value.hint == "check the token"
    assert [r["event"] for r in logged if r["log_level"] == "warning"] == ["credentials_refused"]
    house.api.trouble = None
    house.live(61)
    assert house.state() == "ok"


def test_an_unforeseen_error_is_a_failure_like_others_and_its_text_is_not_told(
    house: House, logged: list[Any]
) -> None:
    house.api.trouble = KeyError("CANARY")
    house.keeper.tick()
    assert house.keeper.snapshot().failure == "KeyError while fetching credentials"
    assert "CANARY" not in repr(logged)
    house.api.trouble = None
    house.live(5)
    assert house.state() == "ok"


def test_age_counts_through_suspend_and_not_by_a_wall_clock_that_is_set(house: House) -> None:
    house.keeper.tick()
    house.clock.wall += 10 * 86400
    house.keeper.current()
    house.clock.wall -= 20 * 86400
    house.keeper.current()
    house.clock.boot += 3591
    with pytest.raises(LockedOut, match="have expired"):
        house.keeper.current()


def test_whoever_finds_a_set_that_died_in_suspend_wakes_the_thread_that_slept_on(
    house: House, clock: Any
) -> None:
    house.keeper.tick()
    house.keeper._wake.clear()
    clock.turn(10)
    house.keeper.current()
    assert not house.keeper._wake.is_set()
    clock.turn(4000)
    with pytest.raises(LockedOut):
        house.keeper.current()
    assert house.keeper._wake.is_set()


def test_a_thread_that_waits_out_a_failure_is_not_woken(house: House, clock: Any) -> None:
    house.api.trouble = REFUSAL
    house.keeper.tick()
    house.keeper._wake.clear()
    clock.turn(30)  # of the minute that a refusal costs
    with pytest.raises(LockedOut):
        house.keeper.current()
    assert not house.keeper._wake.is_set()


def test_a_slow_fetch_counts_as_age(clock: Any) -> None:
    house = House(clock, life=60)
    house.api.slowness = 25
    house.keeper.tick()
    clock.turn(31.5)
    house.keeper.current()
    clock.turn(1)
    with pytest.raises(LockedOut):
        house.keeper.current()


def test_a_slow_api_with_short_lives_is_not_called_without_pause(clock: Any) -> None:
    house = House(clock, life=6)
    house.api.slowness = 7
    for _ in range(20):
        clock.turn(house.keeper.tick())
    gaps = [after - before - 7 for before, after in zip(house.api.calls, house.api.calls[1:], strict=False)]
    assert min(gaps) >= 5


def test_a_very_short_life_is_warned_of(clock: Any, logged: list[Any]) -> None:
    House(clock, life=14).keeper.tick()
    assert "credentials_short_lived" in events(logged)


def test_an_endless_life_makes_no_endless_wait(clock: Any) -> None:
    assert House(clock, life=1e11).keeper.tick() == 60


def test_renew_answers_at_once_when_the_rejected_set_is_an_old_one(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(3100)
    house.keeper.tick()
    assert house.keeper.renew(old) is house.keeper.current()
    assert len(house.api.calls) == 2


def test_renew_fetches_a_new_set_when_the_current_one_is_rejected(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(100)
    fresh = house.keeper.renew(old)
    assert fresh != old
    assert house.keeper.current() is fresh
    assert house.changes == ["ok", "ok"]


def test_renew_before_the_first_set_fetches_one(house: House) -> None:
    stranger = CredentialSet(access_key="A", secret_key="S", session_token=None, expires_at=None)
    assert house.keeper.renew(stranger) is house.keeper.current()


def test_a_rejected_set_is_handed_out_no_more_when_no_other_can_be_had(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(100)
    house.api.trouble = DOWN
    with pytest.raises(LockedOut, match="S3 refused the credentials: cannot reach"):
        house.keeper.renew(old)
    with pytest.raises(LockedOut, match="S3 refused the credentials"):
        house.keeper.current()
    assert house.state() == "expired"
    assert house.changes == ["ok", "expired"]
    house.api.trouble = None
    house.live(10)
    assert house.keeper.current() != old
    assert house.state() == "ok"


def test_a_set_rejected_while_the_api_is_known_to_be_down_is_handed_out_no_more(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(3001)
    house.api.trouble = REFUSAL
    house.keeper.tick()
    assert house.keeper.current() is old
    with pytest.raises(LockedOut, match="answered 401"):
        house.keeper.renew(old)
    assert len(house.api.calls) == 2
    with pytest.raises(LockedOut):
        house.keeper.current()


def test_a_set_that_is_only_suspected_serves_on_while_no_other_can_be_had(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(100)
    house.api.trouble = DOWN
    with pytest.raises(LockedOut, match="no other credentials: cannot reach") as caught:
        house.keeper.renew(old, dead=False)
    assert type(caught.value) is LockedOut, (
        "S3 has refused something: it is not for want of credentials alone"
    )
    assert house.keeper.current() is old
    assert house.state() == "stale"
    with pytest.raises(LockedOut, match="no other credentials"):
        house.keeper.renew(old, dead=False)  # and so soon the API is not asked again
    assert len(house.api.calls) == 2
    assert house.keeper.current() is old


def test_a_suspected_set_is_replaced_where_another_can_be_had(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(100)
    assert house.keeper.renew(old, dead=False) != old


def test_a_set_rejected_right_after_its_renewal_is_not_renewed_again(house: House) -> None:
    house.keeper.tick()
    house.clock.turn(4)
    with pytest.raises(LockedOut, match="renewed 4 s ago") as caught:
        house.keeper.renew(house.keeper.current())
    assert caught.value.hint
    assert caught.value.retry_after == 1
    assert len(house.api.calls) == 1
    house.keeper.current()  # what is wrong is not its age
    house.clock.turn(1)
    house.keeper.renew(house.keeper.current())
    assert len(house.api.calls) == 2


def test_the_rejected_set_handed_out_again_is_no_renewal(clock: Any) -> None:
    house = House(clock)
    house.api.same = True
    house.keeper.tick()
    old = house.keeper.current()
    clock.turn(100)
    with pytest.raises(LockedOut, match="handed out again the set that S3 refused"):
        house.keeper.renew(old)
    house.live(30)
    assert house.state() == "expired"
    assert len(house.api.calls) > 3
    house.api.same = False
    house.live(61)
    assert house.state() == "ok"


def test_twenty_threads_that_met_the_same_refusal_share_one_call(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(100)
    asked, release = threading.Semaphore(0), threading.Event()
    plain = house.api.fetch

    def slow() -> Fetched:
        release.wait(5)
        return plain()

    house.keeper._fetch = slow
    got: list[CredentialSet] = []

    def part() -> None:
        asked.release()
        got.append(house.keeper.renew(old))

    threads = [threading.Thread(target=part) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in threads:
        asked.acquire()
    assert house.keeper.current() is old  # nobody who signs waits, meanwhile
    release.set()
    for thread in threads:
        thread.join()
    assert len(house.api.calls) == 2
    assert {one.access_key for one in got} == {"ASIA2"}
    assert len(got) == 20


def test_twenty_threads_share_one_failure_too(house: House) -> None:
    house.keeper.tick()
    old = house.keeper.current()
    house.clock.turn(100)
    house.api.trouble = DOWN
    failures: list[LockedOut] = []

    def part() -> None:
        with pytest.raises(LockedOut) as caught:
            house.keeper.renew(old)
        failures.append(caught.value)

    threads = [threading.Thread(target=part) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.api.calls) == 2
    assert {str(failure) for failure in failures} == {"S3 refused the credentials: cannot reach api.example"}
    assert len(failures) == 20


def test_the_status_tells_everything_but_secrets(house: House) -> None:
    house.keeper.tick()
    status = house.keeper.snapshot()
    assert status.source == "api.example"
    assert status.expires_at == 1_800_003_600
    assert status.renewed_at == 1_800_000_000
    assert (status.renewals, status.calls, status.failure, status.since) == (1, 1, None, None)


def test_a_success_clears_the_failure(house: House) -> None:
    house.api.trouble = DOWN
    house.keeper.tick()
    assert house.keeper.snapshot().since is not None
    house.api.trouble = None
    house.live(5)
    status = house.keeper.snapshot()
    assert (status.failure, status.hint, status.since) == (None, None, None)
    assert status.calls == status.renewals + 1


def test_secrets_of_this_set_and_the_one_before_are_known_for_redaction(house: House) -> None:
    assert house.keeper.secrets() == ("CANARY-token",)
    for _ in range(3):
        house.keeper.tick()
        house.clock.turn(3000)
    assert set(house.keeper.secrets()) == {
        "CANARY-secret-3",
        "CANARY-session-3",
        "CANARY-secret-2",
        "CANARY-session-2",
        "CANARY-token",
    }


def test_no_secret_is_in_a_log_line_a_repr_or_an_error(clock: Any, kit: Any, logged: list[Any]) -> None:
    house = House(clock, life=10)
    house.keeper.tick()
    told = [repr(house.keeper), repr(house.keeper.snapshot()), repr(house.keeper._view)]
    old = house.keeper.current()
    house.api.trouble = DOWN
    clock.turn(7)
    house.keeper.tick()
    with pytest.raises(LockedOut) as caught:
        house.keeper.renew(old)
    told += [kit.chain(caught.value), repr(logged)]
    assert "credentials_renewed" in events(logged)
    assert "credentials_renewal_failed" in events(logged)
    assert "CANARY" not in "".join(told)


def test_the_whole_of_it_with_a_thread_a_server_and_real_time(
    server: Any, kit: Any, token_file: Path, logged: list[Any]
) -> None:
    server.answer(
        kit.http(503), kit.http(body=kit.good(900)), kit.http(body=kit.good(900, AccessKeyId="ASIA2"))
    )
    changed = threading.Event()
    keeper = open_keeper(
        url=server.url,
        device="cam-07",
        token_file=token_file,
        ca_file=None,
        timeout=5,
        renew_before=600,
        clock=kit.RealClock(),
        on_change=changed.set,
        jitter=lambda: 0.0,
    )
    assert not keeper.alive()
    keeper.start()
    try:
        deadline = time.monotonic() + 5
        while keeper.snapshot().state != "ok" and time.monotonic() < deadline:
            changed.wait(1)
            changed.clear()
        assert keeper.alive()
        old = keeper.current()
        assert old.secret_key == kit.secret
        assert keeper.snapshot().source == f"localhost:{server.port}"
        assert set(keeper.secrets()) == set(kit.canaries)
    finally:
        keeper.stop()
    assert not keeper.alive()
    assert not [canary for canary in kit.canaries if canary in repr(logged)]
    assert not [thread for thread in threading.enumerate() if thread.name == "credentials"]


def test_a_forced_failure_shortens_the_threads_sleep(server: Any, kit: Any, token_file: Path) -> None:
    server.answer(
        kit.http(body=kit.good(900)), kit.http(500), kit.http(body=kit.good(900, AccessKeyId="ASIA3"))
    )
    keeper = open_keeper(
        url=server.url,
        device="cam-07",
        token_file=token_file,
        ca_file=None,
        timeout=5,
        renew_before=600,
        clock=kit.RealClock(),
        on_change=(changed := threading.Semaphore(0)).release,
        jitter=lambda: 0.0,
    )
    keeper.start()
    try:
        assert changed.acquire(timeout=5)
        keeper._barred_until = 0.0  # as if five seconds had passed
        with pytest.raises(LockedOut, match="answered 500"):
            keeper.renew(keeper.current())
        assert changed.acquire(timeout=5)
        assert changed.acquire(timeout=5)  # the thread looked again after a second, not after a minute
        assert keeper.current().access_key == "ASIA3"
    finally:
        keeper.stop()


def test_a_bad_address_is_a_mistake_in_the_configuration(kit: Any, token_file: Path) -> None:
    with pytest.raises(ConfigError):
        open_keeper(
            url="http://example.com/",
            device="d",
            token_file=token_file,
            ca_file=None,
            timeout=5,
            renew_before=600,
            clock=kit.RealClock(),
            on_change=lambda: None,
        )


def test_the_end_of_a_set_is_announced_when_it_comes(clock: Any) -> None:
    house = House(clock, life=900)
    house.keeper.tick()
    house.api.trouble = Transient("busy", retry_after=900)
    clock.turn(600)
    house.keeper.tick()
    clock.turn(250)
    assert house.keeper.tick() == pytest.approx(40)  # ten seconds before its end, long before the next call
    clock.turn(40)
    house.keeper.tick()
    assert house.changes == ["ok", "stale", "expired"]
