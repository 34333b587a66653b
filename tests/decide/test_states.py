"""The picture of a file's life: every file comes to an end, and what has ended is not lived again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.decide.states import ENDED, LIVE, MOVES, UPLOAD_BEGUN, allowed
from syncd.model import State

MAIN_ROAD = [
    State.DISCOVERED,
    State.SETTLED,
    State.PLANNED,
    State.CREATING,
    State.UPLOADING,
    State.COMPLETING,
    State.VERIFIED,
    State.DONE,
]


def reachable(start: State) -> set[State]:
    known, edge = {start}, [start]
    while edge:
        for state in MOVES[edge.pop()] - known:
            known.add(state)
            edge.append(state)
    return known


def test_the_table_speaks_of_every_state() -> None:
    assert set(MOVES) == set(State)
    assert set(State) == LIVE | ENDED
    assert not LIVE & ENDED
    assert UPLOAD_BEGUN < LIVE


def test_the_main_road_is_open_and_a_small_file_takes_the_short_one() -> None:
    for was, to in pairwise(MAIN_ROAD):
        assert allowed(was, to)
    assert allowed(State.PLANNED, State.COMPLETING)


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_live_state_has_a_way_to_done_and_never_loses_it(state: State) -> None:
    assert State.DONE in reachable(state)
    assert reachable(State.DISCOVERED) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_no_state_follows_itself(state: State) -> None:
    assert not allowed(state, state)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_what_has_ended_never_lives_again(state: State) -> None:
    assert reachable(state) <= ENDED


@pytest.mark.parametrize("state", sorted(LIVE - {State.VERIFIED}))
def test_what_is_not_yet_proven_can_vanish_or_be_superseded(state: State) -> None:
    assert allowed(state, State.VANISHED)
    assert allowed(state, State.SUPERSEDED)


def test_done_is_reached_by_proof_alone() -> None:
    assert [state for state in State if allowed(state, State.DONE)] == [State.VERIFIED]
    # Planned: its very bytes were found at the store, uploaded under an earlier ledger.
    assert [state for state in State if allowed(state, State.VERIFIED)] == [State.PLANNED, State.COMPLETING]
    assert not allowed(State.VERIFIED, State.VANISHED)


@given(st.data())
def test_whatever_happens_on_the_way_a_file_can_still_come_to_an_end(data: st.DataObject) -> None:
    state, way = State.DISCOVERED, [State.DISCOVERED]
    for _ in range(data.draw(st.integers(0, 30))):
        if not MOVES[state]:
            break
        state = data.draw(st.sampled_from(sorted(MOVES[state])))
        way.append(state)
    assert state in ENDED or reachable(state) & ENDED
    if State.UPLOADING in way:
        assert {State.SETTLED, State.PLANNED} <= set(way[: way.index(State.UPLOADING)])
    if State.DONE in way:
        assert way[way.index(State.DONE) - 1] is State.VERIFIED
        assert way[way.index(State.DONE) - 2] in {State.PLANNED, State.COMPLETING}
        assert set(way[way.index(State.DONE) :]) <= ENDED
