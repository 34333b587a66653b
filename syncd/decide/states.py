"""The picture of a file's life as a table: which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.model import State

MOVES: Mapping[State, frozenset[State]] = {
    State.DISCOVERED: frozenset({State.SETTLED, State.SUPERSEDED, State.VANISHED}),
    State.SETTLED: frozenset({State.DISCOVERED, State.PLANNED, State.SUPERSEDED, State.VANISHED}),
    State.PLANNED: frozenset(
        {State.CREATING, State.COMPLETING, State.VERIFIED, State.SUPERSEDED, State.VANISHED}
    ),
    State.CREATING: frozenset({State.UPLOADING, State.PLANNED, State.SUPERSEDED, State.VANISHED}),
    State.UPLOADING: frozenset({State.COMPLETING, State.PLANNED, State.SUPERSEDED, State.VANISHED}),
    State.COMPLETING: frozenset(
        {State.VERIFIED, State.UPLOADING, State.PLANNED, State.SUPERSEDED, State.VANISHED}
    ),
    State.VERIFIED: frozenset({State.DONE, State.SUPERSEDED}),
    State.DONE: frozenset({State.SUPERSEDED}),
    State.SUPERSEDED: frozenset(),
    State.VANISHED: frozenset(),
}

ENDED = frozenset({State.DONE, State.SUPERSEDED, State.VANISHED})
LIVE = frozenset(State) - ENDED
UPLOAD_BEGUN = frozenset({State.CREATING, State.UPLOADING, State.COMPLETING})
"""Bytes may be at the destination already: the plan is kept, the file must stay the same."""


def allowed(was: State, to: State) -> bool:
    """Whether the picture has this arrow."""
    return to in MOVES[was]
