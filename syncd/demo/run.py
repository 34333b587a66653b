"""The demo: a store, a credential API, the daemon and a recording that goes up before your eyes, on this machine alone.

Needs no account, no network and no root. The link to the store is slow on purpose, and sessions are short, so that an
upload outlives its credentials. What arrived is read back by another client before anything is claimed.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from syncd import app
from syncd.act.board import Board
from syncd.app import App
from syncd.config import load
from syncd.decide.plan import part_count
from syncd.decide.states import ENDED
from syncd.demo.api import credential_api
from syncd.demo.pace import Pace
from syncd.demo.place import QUIET_S, Place, find_place
from syncd.demo.readback import sha256_of
from syncd.demo.recording import Recording
from syncd.demo.store import Store
from syncd.errors import Fatal
from syncd.model import State, Transfer
from syncd.ports import Clock, Ledger
from syncd.telemetry import logs

SESSION_S: Final = 60
_CAMERA_BYTES_PER_S: Final = 33e6
_PATIENCE_S: Final = 180.0
_MB: Final = 1e6


class Screen(Protocol):
    """Where the story is told."""

    @property
    def has_bars(self) -> bool:
        """Whether it shows by itself how far files are."""
        ...

    def say(self, line: str) -> None:
        """One line of it."""
        ...

    def watch(self, board: Board, ledger: Ledger, clock: Clock, tally: Demo) -> None:
        """Show bars for these, if there is a terminal."""
        ...

    def draw(self) -> None:
        """A moment later."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for. `directory` None: a fresh one. `pace` in bytes per second; None: as fast as it goes."""

    directory: Path | None
    once: bool
    size: int
    pace: float | None


def run_demo(wish: Wish, screen: Screen) -> int:
    """Show it all; 0 when the recording was proven to have arrived, or when you ended it. Raises Fatal and its kinds."""
    place = find_place(wish.directory, wish.size)
    tidy = wish.once and place.ours
    try:
        with _neighbours(place, wish) as (store, api):
            place.write_configuration(api=api, store=store.url)
            return _show(wish, place, store, api, screen)
    finally:
        if tidy:
            place.remove()


@contextmanager
def _neighbours(place: Place, wish: Wish) -> Iterator[tuple[Store, str]]:
    """The store and the credential API's address, both running."""
    with ExitStack() as running:
        try:
            store = Store(place.store, min_session_seconds=1)
            running.enter_context(store)
            api = running.enter_context(credential_api(place, store, SESSION_S))
        except BlockingIOError:
            text = f"another demo is running in {place.directory}"
            raise Fatal(text, hint="stop it first, or name another directory") from None
        except OSError as error:
            text = f"the demo cannot begin in {place.directory}: {error.strerror or error}"
            raise Fatal(text, hint="name another directory: syncd demo --dir DIR") from error
        store.faults = Pace(wish.pace) if wish.pace is not None else None
        yield store, api


def _show(wish: Wish, place: Place, store: Store, api: str, screen: Screen) -> int:
    config = load(place.configuration)
    with place.log.open("a", encoding="utf-8") as log:
        logs.configure("info", "json", stream=log)
        built = app.build(config)
        logs.configure("info", "json", stream=log, secrets=built.keeper.secrets)
        recording = Recording(place.inbox, wish.size, wish.size / _CAMERA_BYTES_PER_S)
        demo = Demo(
            wish=wish,
            place=place,
            built=built,
            store=store,
            api=api,
            recording=recording,
            screen=screen,
        )
        demo.introduce()
        screen.watch(built.world.board, built.ledger, built.clock, demo)
        recording.start()
        try:
            built.daemon.run(demo.step, demo.farewell)
        finally:
            recording.stop()
    return demo.exit_code


class Demo:
    """The story as it goes on; `step` is asked a few times a second and says when it is over."""

    def __init__(
        self,
        *,
        wish: Wish,
        place: Place,
        built: App,
        store: Store,
        api: str,
        recording: Recording,
        screen: Screen,
    ) -> None:
        self.done = 0
        self.exit_code = 1 if wish.once else 0  # until the recording is proven
        self._wish = wish
        self._place = place
        self._app = built
        self._store = store
        self._api = api
        self._recording = recording
        self._screen = screen
        self._began_at = time.monotonic()
        self._chapter: Callable[[], bool] = self._writing
        self._sets = 0
        self._quarters = 0
        self._newest = built.ledger.last_id()
        self._open = {row.id for row in built.ledger.live(1000)}

    @property
    def total(self) -> int:
        """Files that came along, the ones that wait from another time included."""
        return self.done + len(self._open)

    def introduce(self) -> None:
        """What stands where."""
        say, place = self._screen.say, self._place
        before = self._app.ledger.counts().by_state[State.DONE]
        again = f"goes on in {place.directory}, where {before} files arrived before"
        say(f"syncd demo {again}" if before else f"syncd demo in {place.directory}")
        say(f"  store        {self._store.url}  (an S3 and STS of its own, strict, on disk below store/)")
        say(f"  credentials  {self._api}  (sessions of {SESSION_S} s)")
        say(f"  inbox        {place.inbox}")
        say(f"  log          {place.log}")
        say("")
        say(f"A camera writes {self._recording.path.name}, {_megabytes(self._recording.size)}.")

    def step(self) -> bool:
        """Tell what is new; True when it is over."""
        self._tell_of_credentials()
        self._tell_of_files()
        self._screen.draw()
        return self._chapter()

    def farewell(self) -> None:
        """The daemon has stopped; the ledger is still open."""
        if self._wish.once and self.exit_code:
            row = self._row()
            where = f"it got as far as {row.state}" if row is not None else "it was not even seen"
            self._screen.say(f"The demo ended before the recording had arrived: {where}.")
        elif not self._wish.once:
            self._screen.say("")
            self._screen.say(f"Stopped. All of it is still in {self._place.directory}: go on with")
            self._screen.say(f"  {_command()} demo --dir {shlex.quote(str(self._place.directory))}")
            self._screen.say("or remove the directory.")

    # -- the chapters: each one step; what it gives is whether the story is over

    def _writing(self) -> bool:
        if self._recording.failure is not None:
            raise Fatal(f"the recording cannot be written: {self._recording.failure}")
        if self._recording.sha256 is not None:
            self._screen.say(f"It is written. It must stay as it is for {QUIET_S} s to count as finished.")
            self._chapter = self._settling
        return False

    def _settling(self) -> bool:
        row = self._row()
        if row is not None and row.state not in {State.DISCOVERED, State.SETTLED}:
            parts = part_count(row.fingerprint.size, row.part_size)
            self._screen.say(f"It is finished, and goes up as {row.key} in {parts} parts.")
            self._chapter = self._uploading
        return False

    def _uploading(self) -> bool:
        row = self._row()
        if row is not None and row.state is State.DONE:
            self._judge(row)
            self._chapter = self._staying
            return self._wish.once
        if row is not None and row.parked_reason is not None:
            self._screen.say(f"The recording waits for a person: {row.parked_reason}")
            self._chapter = self._staying
            return self._wish.once
        self._tell_how_far()
        stuck = time.monotonic() - self._app.world.board.last_progress_at() > _PATIENCE_S
        return self._wish.once and stuck

    def _staying(self) -> bool:
        return False

    def _row(self) -> Transfer | None:
        path = bytes(self._recording.path.relative_to(self._place.inbox))
        return self._app.ledger.at(bytes(self._place.inbox), path)

    # -- what there is to tell

    def _judge(self, row: Transfer) -> None:
        """Read the object back and compare: nothing is claimed before."""
        size, sha256 = sha256_of(self._store, row.key or "")
        self.exit_code = 0 if (size, sha256) == (self._recording.size, self._recording.sha256) else 1
        for line in self._result(row, sha256):
            self._screen.say(line)
        if self.exit_code == 0 and not self._wish.once:
            self._invite()

    def _result(self, row: Transfer, sha256: str) -> Iterator[str]:
        proof, keeper = row.proof, self._app.keeper.snapshot()
        parts = part_count(row.fingerprint.size, row.part_size)
        seconds = (row.finished_at or 0.0) - (row.started_at or 0.0)
        renewals = max(keeper.renewals - 1, 0)
        yield ""
        yield "The recording has arrived." if self.exit_code == 0 else "THE OBJECT IS NOT THE RECORDING."
        yield f"  object    s3://{row.bucket}/{row.key}"
        yield f"  proof     {proof.kind}: {proof.value} ({proof.by})" if proof else "  proof     none"
        yield f"  parts     {parts}, each sent once" if not row.resent_bytes else f"  parts     {parts}"
        yield f"  renewals  {renewals} (calls to the credential API: {keeper.calls})"
        yield f"  seconds   {seconds:.1f} for {_megabytes(row.fingerprint.size)}"
        verdict = "as that of the file" if self.exit_code == 0 else f"the file's is {self._recording.sha256}"
        yield f"  verified  read back by another client, sha256 {sha256}, {verdict}"

    def _invite(self) -> None:
        file, inbox = shlex.quote(str(self._place.configuration)), shlex.quote(str(self._place.inbox))
        recording = shlex.quote(str(self._recording.path))
        for line in (
            "",
            f"Now drop files of your own into {inbox}, and ask from another terminal:",
            f"  {_command()} status -c {file}",
            f"  {_command()} explain -c {file} {recording}",
            "",
            "Ctrl-C ends the demo.",
        ):
            self._screen.say(line)

    def _tell_how_far(self) -> None:
        """A line for each quarter where there are no bars."""
        flights = (
            {} if self._screen.has_bars else {each.transfer: each for each in self._app.world.board.live()}
        )
        row = self._row()
        flight = flights.get(row.id) if row is not None else None
        if flight is not None and flight.sent * 4 // max(flight.size, 1) > self._quarters:
            self._quarters = flight.sent * 4 // max(flight.size, 1)
            self._screen.say(f"  {_megabytes(flight.sent)} of {_megabytes(flight.size)}")

    def _tell_of_credentials(self) -> None:
        sets = self._app.keeper.snapshot().renewals
        if sets > self._sets > 0 and self._chapter == self._uploading:
            self._screen.say(f"The credentials were renewed: set {sets}. The upload goes on.")
        self._sets = sets

    def _tell_of_files(self) -> None:
        """Files that ended or were parked since; the recording has its own story."""
        newest = self._app.ledger.last_id()
        self._open.update(range(self._newest + 1, newest + 1))
        self._newest = newest
        for identity in list(self._open)[:200]:
            row = self._app.ledger.get(identity)
            if row is None or row.state in ENDED or row.parked_reason is not None:
                self._open.discard(identity)
                self._tell_of(row)

    def _tell_of(self, row: Transfer | None) -> None:
        if row is None or row.state in {State.SUPERSEDED, State.VANISHED}:
            return
        self.done += row.state is State.DONE
        if row.folder + b"/" + row.path == bytes(self._recording.path):
            return
        name = row.path.decode("utf-8", "backslashreplace")
        if row.parked_reason is not None:
            self._screen.say(f"{name} waits for you: {row.parked_reason}")
        else:
            kind = row.proof.kind if row.proof is not None else "none"
            self._screen.say(f"{name} is s3://{row.bucket}/{row.key} (proof: {kind})")


def _command() -> str:
    """How to call syncd from anywhere, as it was called now."""
    beside = Path(sys.executable).parent / "syncd"
    return shlex.quote(str(beside)) if beside.exists() else f"{shlex.quote(sys.executable)} -m syncd"


def _megabytes(size: int) -> str:
    return f"{size / _MB:.0f} MB"
