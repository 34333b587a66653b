"""The watchdog is fed by progress alone; what hangs is told once, what has died begins anew."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import structlog
from support.clock import FakeClock

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
        self.man = Watchman(
            clock=self.clock,
            notifier=self.ear,  # type: ignore[arg-type]
            rounds=lambda: self.rounds,
            mend=lambda: self.dead,
            headline=lambda: "idle",
        )

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
