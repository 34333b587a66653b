"""Trouble with credentials: at the API that gives them (rows K1 to K13) and at S3 that judges them (S13, S14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.script import API_KINDS, KINDS, Rule

from syncd.demo.loopback import Answer, Request
from syncd.demo.store import Fault, Record
from syncd.errors import LockedOut
from syncd.model import State

from .scene import LARGE, SMALL, TIMEOUT, KeptScene, Keys, Line, Scene

MINUTES = 60.0
HOUR = 60 * MINUTES
HIDDEN = {"HeadObject", "ListMultipartUploads"}  # what a session that may not list is told of nothing


def until(scene: KeptScene, seconds: float) -> Callable[[Record], bool]:
    return lambda _: scene.waited() < seconds


# -- the API


def with_keeper(make_scene: Callable[..., KeptScene], name: str) -> KeptScene:
    """Impatient where the API is silent."""
    return make_scene(KeptScene, **({"api_timeout": TIMEOUT} if name == "API black hole" else {}))


IN_TIME = sorted(set(API_KINDS) - {"API drips"})  # by the clock of these tests it does not take long


@pytest.mark.parametrize("name", IN_TIME)
def test_no_trouble_of_the_api_at_the_start_does_more_than_delay(
    make_scene: Callable[..., KeptScene], name: str
) -> None:
    kept = with_keeper(make_scene, name)
    kept.trouble(API_KINDS[name](times=3))
    kept.drop("small", SMALL)
    kept.drop("large", LARGE)
    kept.arrives()
    assert kept.script.hits == 3
    assert {record.operation for record in kept.requests() if record.status == 403} <= HIDDEN


@pytest.mark.parametrize("name", IN_TIME)
def test_no_trouble_of_the_api_takes_away_a_set_that_is_still_valid(
    make_scene: Callable[..., KeptScene], name: str
) -> None:
    kept = with_keeper(make_scene, name)
    kept.run()
    first = kept.keeper.current()
    kept.trouble(API_KINDS[name](times=2))
    kept.clock.advance(700)  # of 900 s: a renewal is due
    kept.keep()
    assert kept.script.hits == 1
    assert kept.keeper.current() == first
    assert kept.keeper.snapshot().state == "stale"
    kept.drop("large", LARGE)
    kept.arrives()


@pytest.mark.parametrize("name", ["API 401", "API 503", "API closed", "API HTML 200"])
def test_an_api_that_is_away_for_longer_than_a_set_lives_stops_uploads_and_nothing_else(
    kept: KeptScene, name: str
) -> None:
    kept.run()
    kept.trouble(API_KINDS[name](where=until(kept, HOUR + 30 * MINUTES)))
    kept.clock.advance(HOUR)
    kept.drop("large", LARGE)
    kept.rescan()
    kept.run(until=lambda: kept.waited() > HOUR + 20 * MINUTES)
    closed = kept.house.gate.closed()
    assert closed is not None
    assert closed.code == "credentials"
    assert kept.row("large").attempts == 0
    assert not kept.requests("CreateMultipartUpload")
    assert kept.script.hits < 60  # in twenty minutes: about two calls a minute
    kept.arrives()


def test_a_destination_that_the_api_changes_is_for_new_files_and_an_open_upload_keeps_its_key(
    kept: KeptScene,
) -> None:
    endpoint, prefixes = kept.line.endpoint, [kept.prefix]

    def elsewhere(request: Request) -> Answer:
        answer = endpoint.credentials(request)
        document = json.loads(answer.body)
        document["Destination"]["Prefix"] = prefixes[-1]
        return replace(answer, body=json.dumps(document).encode())

    def new_prefix(_record: Record) -> Fault:
        prefixes.append(kept.prefix + "new/")
        return Fault(status=400, code="ExpiredToken")

    endpoint.override = elsewhere
    kept.run()
    kept.clock.advance(30)
    kept.trouble(Rule(fault=new_prefix, operation="UploadPart", part=2, times=1))
    kept.drop("open", LARGE)
    kept.rescan()
    kept.run()
    kept.drop("later", LARGE)
    kept.rescan()
    kept.run()
    assert kept.objects() == {"open": LARGE, "new/later": LARGE}
    assert not kept.uploads()


def test_a_bucket_that_the_api_changes_is_for_new_files_and_an_open_upload_stays_where_it_began(
    line: Line, make_scene: Callable[..., Scene]
) -> None:
    other = f"elsewhere-{next(line.numbers)}"
    line.credentials.to = Keys([line.long_lived("")])
    line.s3._clients.current().create_bucket(Bucket=other)
    scene = make_scene()
    before = scene.keys.current()
    scene.keys.sets.append(replace(before, bucket=other))
    scene.trouble(Rule(fault=Fault(status=400, code="ExpiredToken"), operation="UploadPart", part=2, times=1))
    scene.drop("open", LARGE)
    scene.run()
    scene.drop("later", LARGE)
    scene.drop("small", SMALL)
    scene.rescan()
    scene.run()
    assert scene.keys.current().bucket == other
    assert scene.objects() == {"open": LARGE}
    assert set(scene.store.objects(other)) == {scene.prefix + "later", scene.prefix + "small"}
    assert {scene.row(name).state for name in scene.files} == {State.DONE}
    assert not scene.uploads()
    assert not scene.store.uploads(other)
    assert len([each for each in scene.requests("UploadPart") if each.status == 200]) == 6


# -- S3


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ExpiredToken"),
        (400, "InvalidToken"),
        (400, "TokenRefreshRequired"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
    ],
)
def test_a_set_that_s3_refuses_in_the_middle_of_an_upload_is_replaced_at_once_and_costs_nothing(
    kept: KeptScene, status: int, code: str
) -> None:
    kept.run()
    first = kept.keeper.current()
    kept.clock.advance(30)
    kept.trouble(
        Rule(
            fault=Fault(status=status, code=code),
            operation="UploadPart",
            where=lambda record: record.access_key == first.access_key and record.part_number != 1,
        )
    )
    kept.drop("large", LARGE)
    began = kept.waited()
    kept.arrives()
    assert kept.keeper.snapshot().renewals == 2
    assert kept.row("large").attempts == 0
    assert kept.bytes_received() == len(LARGE)  # who is refused is so before the body
    assert kept.waited() - began < MINUTES


def test_a_part_under_way_ends_with_the_set_that_signed_it_and_the_next_one_has_the_new_set(
    kept: KeptScene,
) -> None:
    kept.run()
    first = kept.keeper.current()

    def renewed_meanwhile(_record: Record) -> Fault:
        """The head is there, the body is not: now the keeper's thread has its turn."""
        kept.clock.advance(700)  # of 900 s: a renewal is due
        kept.keep()
        return Fault()

    kept.trouble(Rule(fault=renewed_meanwhile, operation="UploadPart", part=2, times=1))
    kept.drop("large", LARGE)
    kept.arrives()
    second = kept.keeper.current()
    assert second.access_key != first.access_key
    signed = [(each.part_number, each.access_key, each.status) for each in kept.requests("UploadPart")]
    assert signed == [
        (1, first.access_key, 200),
        (2, first.access_key, 200),
        (3, second.access_key, 200),
    ]


def test_a_right_that_is_missing_closes_the_gate_and_costs_no_file_an_attempt(kept: KeptScene) -> None:
    kept.trouble(KINDS["403 AccessDenied"](operation="UploadPart", where=until(kept, 12 * MINUTES)))
    kept.drop("large", LARGE)
    kept.run(until=lambda: kept.waited() > 10 * MINUTES)
    closed = kept.house.gate.closed()
    assert closed is not None
    assert closed.code == "permission", closed
    assert "s3:PutObject" in (closed.hint or "")
    assert kept.row("large").attempts == 0
    kept.arrives()
    assert len(kept.requests("UploadPart")) < 100
    assert kept.keeper.snapshot().calls < 60


def test_a_set_that_is_refused_is_handed_out_no_more_while_no_other_can_be_had(kept: KeptScene) -> None:
    kept.run()
    kept.clock.advance(30)
    kept.trouble(
        API_KINDS["API 503"](where=until(kept, 10 * MINUTES)),
        KINDS["400 ExpiredToken"](where=until(kept, 10 * MINUTES)),
    )
    kept.drop("large", LARGE)
    kept.rescan()
    kept.run(until=lambda: kept.waited() > 5 * MINUTES)
    with pytest.raises(LockedOut):
        kept.keeper.current()
    assert len(kept.requests()) <= 3
    kept.arrives()


def test_a_right_that_is_missing_for_one_key_while_the_api_is_down_stops_no_other_file(
    kept: KeptScene,
) -> None:
    """AccessDenied may mean a revoked session, but also a policy: a set that still works stays in use."""
    kept.run()
    kept.clock.advance(30)
    kept.trouble(
        API_KINDS["API 503"](where=until(kept, 8 * MINUTES)),
        KINDS["403 AccessDenied"](key="*/denied", where=until(kept, 8 * MINUTES)),
    )
    kept.drop("denied", LARGE)
    kept.drop("fine", LARGE)
    kept.rescan()
    kept.run(until=lambda: kept.waited() > 6 * MINUTES)
    assert kept.objects() == {"fine": LARGE}
    kept.arrives()


@pytest.mark.parametrize(
    "name", ["answer lost after the effect", "500 after the effect", "empty 200 after the effect"]
)
def test_a_device_that_may_not_list_uploads_counts_what_a_lost_create_may_have_left(
    kept: KeptScene, name: str
) -> None:
    kept.trouble(KINDS[name](operation="CreateMultipartUpload", times=1))
    kept.drop("large", LARGE)
    kept.rescan()
    kept.run()
    assert kept.objects() == kept.files
    assert len(kept.uploads()) == kept.house.world.ledger.totals().possible_orphans == 1
