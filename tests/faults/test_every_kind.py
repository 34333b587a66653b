"""Every kind of trouble, on every request that it can meet, once and for a while: everything arrives, written once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.script import KINDS, Rule
from support.tally import count, sized

from syncd.demo.store import Fault, Habits
from syncd.model import ProofKind

from .scene import LARGE, SMALL, Scene

AWS = Habits()
OTHERS = Habits(complete_again="NoSuchUpload", gone_code="NoSuchKey", hides_missing=True)
QUICK = [name for name in KINDS if "black hole" not in name and "never" not in name]
"""Those that do not wait for a time-out."""


def once_each(name: str) -> list[Rule]:
    """The kind for each request that it can meet; before that, what makes the lists and Abort be asked for at all."""
    operations = KINDS[name]().operation
    assert isinstance(operations, tuple)
    compared = Fault(status=400, code="InvalidPart")
    raced = Fault(status=409, code="ConditionalRequestConflict")
    return [
        Rule(fault=Fault(drop=True), operation="CreateMultipartUpload", key="*/raced", when="after", times=1),
        Rule(fault=compared, operation="CompleteMultipartUpload", key="*/compared", times=1),
        Rule(fault=raced, operation="CompleteMultipartUpload", key="*/raced", times=1),
        *(KINDS[name](operation=each, times=1) for each in operations),
    ]


def both_files(scene: Scene) -> Scene:
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    return scene


def all_files(scene: Scene) -> Scene:
    """Those two, one whose parts are compared with ListParts, and one whose uploads are looked for and aborted."""
    scene.drop("compared", LARGE[::-1])
    scene.drop("raced", LARGE.swapcase() + b"!")
    return both_files(scene)


@pytest.mark.parametrize("name", KINDS)
def test_any_trouble_that_happens_once_to_each_request_costs_only_time(
    make_scene: Callable[..., Scene], name: str
) -> None:
    scene = make_scene(impatient=name not in QUICK)
    script = scene.trouble(*once_each(name))
    all_files(scene).arrives()
    assert not script.unmet()


@pytest.mark.torture
@pytest.mark.parametrize("name", QUICK)
def test_so_it_is_with_a_store_of_other_habits(scene: Scene, name: str) -> None:
    scene.store.habits = OTHERS
    script = scene.trouble(*once_each(name))
    all_files(scene).arrives()
    assert not script.unmet()
    count("trials")


@pytest.mark.torture
@pytest.mark.parametrize("name", QUICK)
def test_so_it_is_with_a_store_that_knows_no_checksums(scene: Scene, name: str) -> None:
    scene.store.habits = Habits(ignores_checksums=True)
    scene.drop("first", LARGE)
    scene.arrives(proof=ProofKind.MD5)  # from now on the destination is known
    script = scene.trouble(*once_each(name))
    # An ETag that is wrong in the Put's answer and in HEAD's proves nothing, and nothing is claimed.
    all_files(scene).arrives(proof=None if name == "wrong ETag" else ProofKind.MD5)
    assert not script.unmet()
    count("trials")


@pytest.mark.torture
@pytest.mark.parametrize("name", QUICK)
def test_so_it_is_with_trouble_at_any_one_request_of_an_upload(scene: Scene, name: str) -> None:
    """Not only at the first of each kind: a second part, the Complete of another file."""
    for nth in range(1, sized(4, 12)):
        already = scene.script.hits
        scene.script.add(KINDS[name](nth=nth, times=1))
        scene.drop(f"small {nth}", SMALL)
        scene.drop(f"large {nth}", LARGE)
        scene.arrives()
        count("trials", scene.script.hits - already)  # of some requests there are not so many
    assert scene.script.hits


@pytest.mark.torture
@pytest.mark.parametrize("name", QUICK)
def test_so_it_is_with_trouble_that_lasts_for_ten_requests(scene: Scene, name: str) -> None:
    script = scene.trouble(KINDS[name](times=10))
    both_files(scene).arrives()
    assert script.hits
    count("trials")
