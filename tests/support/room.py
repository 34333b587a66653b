"""A house in one thread, its inbox, and the view into it: what people see of it while it works, and when it does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.fake_store import FakeStore
from support.house import BUCKET, House, build_house

from syncd.adapters import machine
from syncd.console.facts import CredentialFacts
from syncd.inside import Inside, Live, Scene


class Room:
    """A house, its inbox, and the view into it."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        self.inbox = tmp_path / "inbox"
        self.inbox.mkdir(exist_ok=True)
        self.store = FakeStore()
        options = {"quiet_s": 10.0, "watched": False} | options
        self.house: House = build_house(
            options.pop("root", self.inbox), tmp_path / "state.db", self.store, clock=FakeClock(), **options
        )
        self.scene = Scene(
            version="1",
            device="cam",
            source="api",
            folders=self.house.world.folders,
            destination=self.house.world.destination,
            ledger=self.house.world.ledger,
            disk=self.house.world.disk,
            clock=self.house.clock,
            sight=machine,
            live=Live(
                clerk=self.house.clerk,
                gate=self.house.gate,
                board=self.house.world.board,
                mailbox=self.house.mailbox,
                credentials=lambda: CredentialFacts(source="api", state="ok"),
                bucket=lambda: BUCKET,
                started_at=1.0,
            ),
        )
        self.inside = Inside(self.scene)
        self.unattended = Inside(replace(self.scene, live=None))

    def write(self, name: str | bytes, data: bytes = b"0123456789abc") -> bytes:
        path = os.fsencode(self.inbox) + b"/" + os.fsencode(name)
        Path(os.fsdecode(path)).parent.mkdir(parents=True, exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(data)
        return path

    def at(self, name: str) -> bytes:
        return os.fsencode(self.inbox / name)

    def standing(self, name: str | bytes) -> tuple[str, str]:
        said = self.inside.explain(self.at(name) if isinstance(name, str) else name)
        return said["state"], said["sentence"]

    def meet(self) -> None:
        """Scan once, look at nothing yet."""
        self.house.run(until=lambda: all(desk.scans_done for desk in self.house.clerk.folders))

    def during_a_part(self, ask: Callable[[], Any]) -> Any:
        """Run until the first part is at the store; what was asked at that moment."""
        answers: list[Any] = []

        def once(number: int) -> None:
            if number == 1:
                answers.append(ask())

        self.store.after_part = once
        self.house.run()
        return answers[0]


@contextmanager
def closing(room: Room) -> Iterator[Room]:
    try:
        yield room
    finally:
        room.house.world.ledger.close()
