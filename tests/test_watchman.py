"""The watchdog is fed by progress alone; what hangs is told once, what has died begins anew."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import structlog
from support.clock import FakeClock

from syncd.errors import Fatal
from syncd.watchman import HANGS_S, STATUS_S, Watchman


@dataclass
class Ear:
    watchdog_s: float | None = 120.0
    fed: int = 0
    said: list[str] = field(default_factory=list)

    def alive(self) -> None:
        self.fed += 1

    def status(self, line: str) -> None:
        self.said.append(line)


class Scene:
    def __init__(self) -> None:
        self.clock, self.ear, self.rounds, self.dead = FakeClock(), Ear(), 0, list[str]()
        self.working, self.given_up = dict[str, int | None](), list[Fatal]()
        self.headline_takes_s = 0.0
        self.man = Watchman(
            clock=self.clock,
            notifier=self.ear,  # type: ignore[arg-type]
            came_round_at=lambda: self.rounds,
            mend=lambda: self.dead,
            headline=self.headline,
            working=lambda: self.working,
            patience_s=lambda: 600.0,
            give_up=self.given_up.append,
        )

    def headline(self) -> str:
        self.clock.advance(self.headline_takes_s)
        return "idle"

    def spend(self, seconds: int, *, working: bool) -> None:
        for _ in range(seconds):
            self.rounds += working
            self.clock.advance(1.0)
            self.man.look()


def test_the_watchdog_is_fed_while_the_clerk_comes_round_and_not_when_it_hangs() -> None:
    scene = Scene()
    scene.spend(120, working=True)
    assert 4 <= scene.ear.fed <= 5
    fed = scene.ear.fed
    scene.spend(300, working=False)
    assert scene.ear.fed == fed, "a blind timer proves nothing"
    scene.spend(2, working=True)
    assert scene.ear.fed == fed + 1


def test_without_a_watchdog_nobody_is_fed() -> None:
    scene = Scene()
    scene.ear.watchdog_s = None
    scene.spend(120, working=True)
    assert scene.ear.fed == 0


def test_a_clerk_that_hangs_and_threads_that_died_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as logged:
        scene = Scene()
        scene.spend(int(HANGS_S) * 3, working=False)
        scene.dead = ["bodies"]
        scene.spend(1, working=True)
    told = [line["event"] for line in logged]
    assert told == ["clerk_hangs", "thread_died"]


def test_the_manager_hears_how_things_stand_now_and_then() -> None:
    scene = Scene()
    scene.spend(int(STATUS_S) * 3, working=True)
    assert scene.ear.said == ["idle"] * 3


def test_when_no_worker_has_run_for_minutes_the_process_gives_up_with_their_names() -> None:
    scene = Scene()
    scene.working = {"file-0": 17, "body-1": 4}
    scene.spend(590, working=True)
    assert not scene.given_up
    scene.spend(30, working=True)
    assert "10 minutes in body-1, file-0" in str(scene.given_up[0])


def test_one_worker_that_still_runs_is_enough_to_go_on() -> None:
    scene = Scene()
    for minute in range(60):
        scene.working = {"file-0": 17, "body-1": minute}
        scene.spend(60, working=True)
    scene.working = {}
    scene.spend(3600, working=True)
    assert not scene.given_up


def test_time_in_which_the_whole_process_was_stopped_does_not_count() -> None:
    scene = Scene()
    scene.working = {"file-0": 17}
    with structlog.testing.capture_logs() as logged:
        scene.spend(60, working=True)
        scene.clock.advance(5000.0)
        scene.spend(30, working=True)
    assert not scene.given_up
    assert not logged


def test_where_it_cannot_be_told_whether_workers_ran_nobody_is_ended() -> None:
    scene = Scene()
    scene.working = {"file-0": None, "body-1": 4}
    scene.spend(3600, working=True)
    assert not scene.given_up


def test_a_look_that_takes_long_itself_does_not_pass_for_a_time_in_which_we_were_stopped() -> None:
    scene = Scene()
    scene.working = {"file-0": 17}
    scene.headline_takes_s = 11.0
    scene.spend(900, working=True)
    assert scene.given_up
