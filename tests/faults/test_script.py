"""The script itself: a rule hits what it names, as often as it says, and one seed tells one story."""

from __future__ import annotations

from typing import Any

import pytest
from support.script import API_KINDS, KINDS, Rule, Script

from syncd.demo.store import Fault, Record


def record(
    operation: str = "UploadPart", key: str = "cam/a.bin", part: int | None = 1, status: int = 0
) -> Record:
    return Record(
        at=0.0, request_id="R", method="PUT", operation=operation, key=key, part_number=part, status=status
    )


def outcomes(script: Script, *records: Record, when: str = "before") -> list[bool]:
    return [getattr(script, when)(each) is not None for each in records]


@pytest.mark.parametrize(
    ("where", "hits"),
    [
        ({}, [True, True, True]),
        ({"operation": "UploadPart"}, [True, True, False]),
        ({"operation": ("HeadObject", "UploadPart"), "key": "*.bin"}, [True, False, True]),
        ({"key": "cam/b*"}, [False, True, False]),
        ({"part": 2}, [False, True, False]),
        ({"when": "after"}, [False, False, False]),
    ],
)
def test_a_rule_hits_what_it_names(where: dict[str, Any], hits: list[bool]) -> None:
    script = Script([Rule(fault=Fault(drop=True), **where)])
    three = (record(), record(key="cam/b.txt", part=2), record("HeadObject", part=None))
    assert outcomes(script, *three) == hits
    assert script.hits == sum(hits)


def test_after_the_effect_there_must_have_been_one() -> None:
    script = Script([Rule(fault=Fault(drop=True), when="after")])
    assert outcomes(script, record(status=200), record(status=404), when="after") == [True, False]


def test_the_nth_call_is_counted_among_those_that_match() -> None:
    script = Script([Rule(fault=Fault(drop=True), part=2, nth=2)])
    assert outcomes(script, record(part=2), record(part=1), record(part=2), record(part=2)) == [
        False,
        False,
        True,
        False,
    ]


def test_a_rule_is_used_up_and_the_next_one_takes_over() -> None:
    script = Script([Rule(fault=Fault(drop=True), times=1), Rule(fault=Fault(reset=True))])
    assert [script.before(record()) for _ in range(3)] == [
        Fault(drop=True),
        Fault(reset=True),
        Fault(reset=True),
    ]


def test_a_rule_that_met_nothing_is_named() -> None:
    drop = Fault(drop=True)
    script = Script([Rule(fault=drop, name="of parts", part=2), Rule(fault=drop, name="of all", times=1)])
    outcomes(script, record(), record())
    assert script.unmet() == ["of parts None"]
    outcomes(script, record(part=2))
    assert script.unmet() == []


def test_one_seed_tells_one_story_and_another_another() -> None:
    def story(seed: int) -> list[str]:
        script = Script([KINDS["500 InternalError"](probability=0.3)], seed=seed)
        outcomes(script, *[record(part=number) for number in range(1, 101)])
        return script.told

    assert story(7) == story(7) != story(8)
    assert 10 <= len(story(7)) <= 60
    assert "before UploadPart cam/a.bin#" in story(7)[0]
    assert story(7)[0].endswith(": 500 InternalError")


def test_switched_off_nothing_happens() -> None:
    script = Script([Rule(fault=Fault(drop=True))], on=False)
    assert outcomes(script, record(), record()) == [False, False]
    script.on = True
    assert outcomes(script, record()) == [True]


def test_a_fault_may_depend_on_the_request() -> None:
    script = Script([Rule(fault=lambda seen: Fault(status=200, code=seen.key))])
    fault = script.before(record())
    assert fault is not None
    assert fault.code == "cam/a.bin"


def test_a_kind_bends_to_where_it_is_wanted() -> None:
    rule = KINDS["answer lost after the effect"](operation="UploadPart", part=3, probability=0.1)
    assert (rule.when, rule.operation, rule.part, rule.probability) == ("after", "UploadPart", 3, 0.1)
    assert set(KINDS).isdisjoint(API_KINDS)
