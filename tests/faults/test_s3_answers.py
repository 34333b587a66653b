"""What S3 may answer, and what the whole daemon makes of it (FAILURES.md calls these rows S1 to S31)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.script import KINDS, Rule

from syncd.decide.dispose import DisposalPolicy
from syncd.demo.store import Fault, Habits, Record
from syncd.model import ProofKind, State

from .scene import LARGE, PART, SMALL, Scene

MINUTES = 60.0


def until(scene: Scene, seconds: float) -> Callable[[Record], bool]:
    """For rules that hold for so long after the start."""
    return lambda _: scene.waited() < seconds


# -- Complete


@pytest.mark.parametrize(("when", "completes"), [("before", 2), ("after", 1)])
def test_an_error_inside_a_200_to_complete_is_looked_into_before_anything_is_repeated(
    scene: Scene, when: Any, completes: int
) -> None:
    scene.trouble(KINDS["200 with an error body"](when=when, times=1))
    scene.drop("a")
    scene.arrives()
    assert len(scene.requests("CompleteMultipartUpload")) == completes
    assert scene.bytes_received() == len(LARGE)


@pytest.mark.parametrize("again", ["same answer", "NoSuchUpload"])
def test_a_lost_answer_to_complete_is_settled_by_head_and_nothing_is_sent_twice(
    scene: Scene, again: Any
) -> None:
    scene.store.habits.complete_again = again
    scene.trouble(KINDS["answer lost after the effect"](operation="CompleteMultipartUpload", times=1))
    scene.drop("a")
    scene.arrives()
    assert len(scene.requests("CompleteMultipartUpload")) == 1
    assert scene.bytes_received() == len(LARGE)


@pytest.mark.parametrize("again", ["same answer", "NoSuchUpload"])
def test_a_complete_that_got_lost_on_its_way_is_sent_again_with_the_parts_that_are_there(
    scene: Scene, again: Any
) -> None:
    scene.store.habits.complete_again = again
    scene.trouble(KINDS["closed before the body"](operation="CompleteMultipartUpload", times=1))
    scene.drop("a")
    scene.arrives()
    assert len(scene.requests("CompleteMultipartUpload")) == 2
    assert scene.bytes_received() == len(LARGE)


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
@pytest.mark.parametrize(
    ("operation", "nth", "received"), [("UploadPart", 2, PART), ("CompleteMultipartUpload", 1, len(LARGE))]
)
def test_an_upload_that_somebody_aborted_is_begun_again_from_its_first_part(
    scene: Scene, operation: str, nth: int, received: int, code: Any
) -> None:
    scene.store.habits.gone_code = code
    scene.trouble(Rule(fault=Fault(abort=True), operation=operation, nth=nth))
    scene.drop("a")
    scene.arrives()
    whole = sum(record.received for record in scene.requests("UploadPart") if record.status == 200)
    assert whole == received + len(LARGE)
    assert len(scene.requests("CreateMultipartUpload")) == 2


def hidden_for_a_while(scene: Scene) -> Rule:
    return KINDS["403 AccessDenied"](operation="HeadObject", where=until(scene, 15 * MINUTES))


def test_an_object_that_may_not_be_looked_at_waits_with_the_missing_right_and_costs_one_more_upload_at_most(
    scene: Scene,
) -> None:
    scene.trouble(hidden_for_a_while(scene))
    scene.drop("a")
    scene.run(until=lambda: scene.waited() > 10 * MINUTES)
    closed = scene.house.gate.closed()
    assert closed is not None
    assert closed.code == "permission"
    assert "s3:GetObject" in (closed.hint or "")
    assert scene.row("a").state is State.COMPLETING
    assert scene.bytes_received() <= 2 * len(LARGE)
    scene.rescan()
    scene.run()
    assert scene.row("a").state is State.DONE
    assert scene.objects() == scene.files
    assert scene.script.writes()[scene.prefix + "a"] == 1


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["put", "multipart"])
@pytest.mark.parametrize("after_upload", ["delete", "move"])
def test_a_file_is_not_put_away_before_its_object_may_be_looked_at(
    make_scene: Callable[..., Scene], place: Path, after_upload: str, data: bytes
) -> None:
    sent = place / "sent"
    sent.mkdir()
    move_to = None if after_upload == "delete" else bytes(sent)
    policy = DisposalPolicy(delete=move_to is None, move_to=move_to, min_age_s=0.0)
    scene = make_scene(disposal=policy)
    lost = KINDS["answer lost after the effect"](operation="PutObject", times=1)  # it would be a proof
    scene.trouble(lost, hidden_for_a_while(scene))
    scene.drop("a", data)
    scene.run(until=lambda: scene.waited() > 14 * MINUTES)
    assert scene.requests("PutObject" if data == SMALL else "CompleteMultipartUpload")
    assert [path.read_bytes() for path in scene.root.iterdir()] == [data]
    scene.run()
    assert scene.row("a").state is State.DONE
    assert not list(scene.root.iterdir())
    assert scene.objects() == {"a": data}
    assert [path.read_bytes() for path in sent.iterdir()] == ([] if move_to is None else [data])


def test_when_it_may_be_looked_at_again_no_upload_is_left_open(scene: Scene) -> None:
    scene.trouble(hidden_for_a_while(scene))
    scene.drop("a")
    scene.arrives()


def test_a_part_whose_etag_was_recorded_wrong_is_compared_and_not_sent_again(scene: Scene) -> None:
    scene.trouble(KINDS["wrong ETag"](operation="UploadPart", part=2, times=1))
    scene.drop("a")
    scene.arrives()
    codes = [record.code for record in scene.requests("CompleteMultipartUpload")]
    assert codes == ["InvalidPart", ""]
    assert scene.bytes_received() == len(LARGE)


def test_of_a_rejected_list_only_the_part_that_differs_at_the_store_is_sent_again(scene: Scene) -> None:
    """Somebody with the same credentials put other bytes into part 2, behind our back."""

    def meddle(record: Record) -> Fault:
        client = scene.line.s3._clients.current()
        where = {"Bucket": record.bucket, "Key": record.key, "UploadId": record.upload_id}
        algorithm = str(scene.row("a").algorithm).upper()
        client.upload_part(**where, PartNumber=2, Body=LARGE[:PART], ChecksumAlgorithm=algorithm)
        return Fault()

    scene.trouble(Rule(fault=meddle, operation="CompleteMultipartUpload", times=1))
    scene.drop("a")
    scene.arrives()
    codes = [record.code for record in scene.requests("CompleteMultipartUpload")]
    sent = [record.part_number for record in scene.requests("UploadPart")]
    assert codes == ["InvalidPart", ""]
    assert sent == [1, 2, 3, 2, 2]  # the fourth is the other one's
    assert len(scene.requests("CreateMultipartUpload")) == 1


@pytest.mark.parametrize("code", ["InvalidPart", "InvalidPartOrder"])
def test_a_list_that_is_rejected_after_it_was_compared_twice_means_a_new_upload(
    scene: Scene, code: str
) -> None:
    def of_the_first_upload(record: Record) -> bool:
        return record.upload_id == scene.requests("UploadPart")[0].upload_id

    rejected = Fault(status=400, code=code)
    scene.trouble(Rule(fault=rejected, operation="CompleteMultipartUpload", where=of_the_first_upload))
    scene.drop("a")
    scene.arrives()
    assert sum("compared again" in why for why in scene.told("a")) == 2
    assert len(scene.requests("CreateMultipartUpload")) == 2
    assert scene.bytes_received() == 2 * len(LARGE)


def test_a_store_that_never_takes_a_list_of_parts_parks_the_file_and_is_not_sent_it_for_ever(
    scene: Scene,
) -> None:
    scene.trouble(
        Rule(fault=Fault(status=400, code="InvalidPart"), operation="CompleteMultipartUpload", key="*/bad")
    )
    scene.drop("bad")
    scene.drop("other")
    scene.run()
    assert "InvalidPart" in (scene.row("bad").parked_reason or "")
    assert "destination.checksum" in (scene.row("bad").hint or "")
    assert scene.objects() == {"other": LARGE}
    assert scene.bytes_received() == (3 + 1) * len(LARGE)
    assert not scene.uploads()


def test_another_write_that_raced_ours_means_a_new_upload_with_all_parts(scene: Scene) -> None:
    conflict = Fault(status=409, code="ConditionalRequestConflict")
    scene.trouble(Rule(fault=conflict, operation="CompleteMultipartUpload", times=1))
    scene.drop("a")
    scene.arrives()
    assert len(scene.requests("CreateMultipartUpload")) == 2
    assert scene.bytes_received() == 2 * len(LARGE)


def test_a_strangers_object_that_came_between_is_kept_and_the_file_parked(scene: Scene) -> None:
    def stranger(record: Record) -> Fault:
        scene.put_by_a_stranger("a", b"theirs")
        return Fault()

    scene.trouble(Rule(fault=stranger, operation="CompleteMultipartUpload", times=1))
    scene.drop("a")
    scene.run()
    assert "another object" in (scene.row("a").parked_reason or "")
    assert scene.objects() == {"a": b"theirs"}
    assert not scene.uploads()


def test_etags_that_are_no_md5_are_no_obstacle_and_no_proof(scene: Scene) -> None:
    odd = KINDS["wrong ETag"](operation=("PutObject", "CompleteMultipartUpload", "HeadObject"))
    scene.trouble(odd)
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives(proof=ProofKind.CHECKSUM)


def test_etags_that_are_no_md5_prove_size_only_where_there_is_no_checksum(scene: Scene) -> None:
    scene.store.habits.ignores_checksums = True
    odd = KINDS["wrong ETag"](operation=("PutObject", "CompleteMultipartUpload", "HeadObject"))
    scene.trouble(odd)
    scene.drop("large", LARGE)
    scene.arrives(proof=ProofKind.SIZE)


# -- stores that look at less than S3 does


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["one put", "parts"])
def test_where_conditions_are_ignored_a_strangers_object_that_was_there_before_is_kept_all_the_same(
    make_scene: Callable[..., Scene], data: bytes
) -> None:
    """It is seen by the HEAD before; of small files that is asked of those that a new ledger's first scan finds."""
    scene = make_scene()
    scene.store.habits.ignores_conditions = True
    scene.put_by_a_stranger("a", b"theirs")
    scene.drop("a", data)
    scene.run()
    assert "another object" in (scene.row("a").parked_reason or "")
    assert scene.objects() == {"a": b"theirs"}
    assert (scene.root / "a").read_bytes() == data
    assert not scene.uploads()
    scene.is_sound()


def test_where_conditions_are_ignored_a_strangers_object_that_comes_between_is_replaced_and_ours_is_proven(
    scene: Scene,
) -> None:
    """Nothing but the condition could have kept it: that is what the doctor warns of."""
    scene.store.habits.ignores_conditions = True

    def stranger(record: Record) -> Fault:
        scene.put_by_a_stranger("a", b"theirs")
        return Fault()

    scene.trouble(Rule(fault=stranger, operation="CompleteMultipartUpload", times=1))
    scene.drop("a")
    scene.rescan()
    scene.run()
    assert scene.objects() == scene.files
    row = scene.row("a")
    assert row.state is State.DONE
    assert row.proof is not None
    assert row.proof.kind is ProofKind.CHECKSUM
    assert not scene.uploads()
    scene.is_sound()


def test_where_conditions_are_ignored_a_strangers_object_that_comes_after_a_lost_complete_is_never_called_ours(
    scene: Scene,
) -> None:
    scene.store.habits.ignores_conditions = True

    def stranger(record: Record) -> Fault:
        scene.put_by_a_stranger("a", LARGE[::-1])
        return Fault(drop=True)

    scene.trouble(Rule(fault=stranger, operation="CompleteMultipartUpload", when="after", times=1))
    scene.drop("a")
    scene.run()
    assert "another object" in (scene.row("a").parked_reason or "")
    assert scene.row("a").proof is None
    assert scene.objects() == {"a": LARGE[::-1]}
    scene.is_sound()


GOES = [DisposalPolicy(delete=True), DisposalPolicy(move_to=b"/nowhere, and never asked for")]


@pytest.mark.parametrize("policy", GOES, ids=["delete", "move"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["one put", "parts"])
def test_where_neither_checksums_nor_md5_are_looked_at_what_a_line_bent_is_proven_by_size_and_the_file_stays(
    make_scene: Callable[..., Scene], data: bytes, policy: DisposalPolicy
) -> None:
    """The one way to a wrong object that is known: nothing is destroyed on the strength of it."""
    scene = make_scene(disposal=policy)
    scene.store.habits = Habits(ignores_checksums=True, ignores_md5=True, ignores_conditions=True)
    scene.trouble(KINDS["flipped bit"]())
    scene.drop("a", data)
    scene.rescan()
    scene.run()
    (stored,) = scene.objects().values()
    assert stored != data
    assert len(stored) == len(data)
    row = scene.row("a")
    assert row.state is State.DONE
    assert row.proof is not None
    assert row.proof.kind is ProofKind.SIZE
    assert (scene.root / "a").read_bytes() == data
    assert any("only the size of its object is proven" in line for line in scene.told("a"))
    scene.is_sound()


def test_where_neither_checksums_nor_md5_are_looked_at_etags_that_are_our_md5_still_prove_what_is_there(
    scene: Scene,
) -> None:
    scene.store.habits = Habits(ignores_checksums=True, ignores_md5=True, ignores_conditions=True)
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.run()
    assert {name: scene.row(name).proof.kind for name in scene.files} == {  # type: ignore[union-attr]
        "small": ProofKind.MD5,
        "large": ProofKind.MD5,
    }
    assert scene.objects() == scene.files


# -- this file cannot go like this


def test_an_empty_file_is_one_put(scene: Scene) -> None:
    scene.drop("empty", b"")
    scene.arrives()
    assert {record.operation for record in scene.requests()} == {"HeadObject", "PutObject"}


def test_a_file_that_is_too_large_for_the_store_is_parked_with_its_reason_and_others_go(scene: Scene) -> None:
    scene.trouble(
        Rule(
            fault=Fault(status=400, code="EntityTooLarge", message="Max 5 GiB"),
            operation="CompleteMultipartUpload",
            key="*/too large",
        )
    )
    scene.drop("too large", LARGE)
    scene.drop("other", LARGE)
    scene.run()
    assert "EntityTooLarge" in (scene.row("too large").parked_reason or "")
    assert scene.row("other").state is State.DONE
    assert scene.objects() == {"other": LARGE}
    assert not scene.uploads()


def test_parts_that_are_too_small_for_the_store_park_the_file_with_the_remedy_after_one_upload(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(part_size=PART - 1)
    scene.drop("a")
    scene.run()
    row = scene.row("a")
    assert "EntityTooSmall" in (row.parked_reason or "")
    assert "upload.part_size" in (row.hint or "")
    assert scene.bytes_received() == len(LARGE)
    assert not scene.uploads()


# -- wait


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (503, "SlowDown"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (502, "BadGateway"),
        (502, ""),
        (504, "GatewayTimeout"),
        (403, "SomethingThatNobodyKnows"),
    ],
)
def test_a_store_that_is_busy_for_long_is_asked_seldom_and_gets_everything_then(
    scene: Scene, status: int, code: str
) -> None:
    long = 30 * MINUTES
    scene.trouble(Rule(fault=Fault(status=status, code=code), where=until(scene, long)))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives()
    assert long < scene.waited() < long + 15 * MINUTES
    assert len(scene.requests()) < 250


@pytest.mark.parametrize("wish", [7, 120])
@pytest.mark.parametrize(("header", "units"), [("Retry-After", 1), ("x-amz-retry-after", 1000)])
def test_a_wish_to_be_left_alone_for_a_while_is_heard(
    scene: Scene, wish: int, header: str, units: int
) -> None:
    busy = Fault(status=503, code="SlowDown", headers={header: str(wish * units)})
    scene.trouble(Rule(fault=busy, operation="UploadPart", part=2, times=1))
    scene.drop("a")
    before = scene.waited()
    scene.arrives()
    assert scene.waited() - before >= wish


@pytest.mark.parametrize("name", ["301 to a portal", "302 to a portal", "307 to a portal", "HTML 200"])
def test_a_captive_portal_is_waited_out_and_never_followed(scene: Scene, name: str) -> None:
    scene.trouble(KINDS[name](operation=None, where=until(scene, 10 * MINUTES)))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives()
    assert len(scene.requests()) < 200
    assert not scene.requests("HeadBucket")  # which is how botocore would look for the way


@pytest.mark.parametrize("code", ["NoSuchBucket", "QuotaExceeded", "AccountProblem", "AllAccessDisabled"])
def test_a_bucket_that_refuses_everything_closes_the_gate_and_costs_no_file_an_attempt(
    scene: Scene, code: str
) -> None:
    scene.trouble(Rule(fault=Fault(status=403, code=code), where=until(scene, 15 * MINUTES)))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.run(until=lambda: scene.waited() > 10 * MINUTES)
    closed = scene.house.gate.closed()
    assert closed is not None
    assert (closed.code, "captures" in (closed.hint or "")) == ("bucket", True)
    assert [scene.row(name).attempts for name in scene.files] == [0, 0]
    assert len(scene.requests()) < 100
    scene.arrives()


# -- bytes that change on their way


def test_a_line_that_flips_bits_for_minutes_never_makes_a_wrong_object(scene: Scene) -> None:
    scene.trouble(KINDS["flipped bit"](where=until(scene, 10 * MINUTES)))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives()
    assert {record.code for record in scene.requests("UploadPart")} == {"BadDigest", ""}


def test_a_line_that_flips_bits_for_an_hour_is_told_and_tried_seldom_and_parks_nothing(scene: Scene) -> None:
    scene.trouble(KINDS["flipped bit"](where=until(scene, 60 * MINUTES)))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.run(until=lambda: scene.waited() > 55 * MINUTES)
    rows = [scene.row(name) for name in scene.files]
    assert [row.parked_reason for row in rows] == [None, None]
    assert all("look at the line" in (row.hint or "") for row in rows)
    bodies = [each for each in scene.requests() if each.operation in {"PutObject", "UploadPart"}]
    assert len(bodies) < 500  # of both files, in an hour
    assert not scene.objects()
    scene.arrives()


def test_a_line_that_flips_bits_is_noticed_by_md5_where_checksums_are_ignored(scene: Scene) -> None:
    scene.store.habits.ignores_checksums = True
    scene.drop("first", LARGE)
    scene.arrives(proof=ProofKind.MD5)
    scene.trouble(KINDS["flipped bit"](times=6))
    scene.drop("small", SMALL)
    scene.drop("large", LARGE)
    scene.arrives(proof=ProofKind.MD5)


def test_a_disk_that_reads_differently_the_second_time_never_makes_a_wrong_object(
    make_scene: Callable[..., Scene],
) -> None:
    from syncd.adapters.disk import LocalDisk

    class Rotten(LocalDisk):
        """Of each part, the reading that is sent differs from the one that was summed, a few times."""

        left = 4

        def open(self, root: bytes, path: bytes) -> Any:
            return RottenFile(self, super().open(root, path))

    class RottenFile:
        def __init__(self, disk: Rotten, file: Any) -> None:
            self._disk, self._file, self._seen = disk, file, set[int]()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def read_into(self, offset: int, buffer: memoryview) -> int:
            got = self._file.read_into(offset, buffer)
            if offset in self._seen and self._disk.left:
                self._disk.left -= 1
                buffer[0] ^= 1
            self._seen.add(offset)
            return int(got)

    disk = Rotten()
    scene = make_scene(disk=disk, buffer=PART - 2)
    scene.drop("a")
    scene.arrives()
    assert disk.left == 0
