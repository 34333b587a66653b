"""What goes over the wire, and how bodies get there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from syncd.adapters.s3.client import Clients, Settings
from syncd.adapters.s3.outages import LostAnswer
from syncd.adapters.s3.store import S3Store
from syncd.errors import (
    Changed,
    LockedOut,
    ObjectExists,
    Refused,
    SyncdError,
)
from syncd.model import Algorithm, Condition, Part

from .conftest import BytesBody, FakeCredentials, Reply, ScriptedServer, credential_set, error, target
from .operations import (
    ALL,
    BODY,
    COMPLETED,
    CREATED,
    FIRST,
    OK_PUT,
    PLAIN,
    SUM,
    TARGET,
    call,
    complete,
    raised,
    xml,
)


def test_a_put_carries_sum_condition_token_and_type_and_nothing_that_botocore_computed(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(OK_PUT)
    plan = target()
    stored = store.put(plan, BODY, FIRST)
    assert (stored.etag, stored.checksum) == ('"e"', SUM)
    sent = server.seen[0]
    assert sent.body == b"hello"
    assert sent.headers["x-amz-checksum-crc32"] == SUM
    assert sent.headers["if-none-match"] == "*"
    assert sent.headers["x-amz-meta-syncd-upload"] == "the-token"
    assert sent.headers["x-amz-meta-syncd-device"] == "cam"
    assert sent.headers["content-length"] == "5"
    assert sent.headers["expect"] == "100-continue"
    for never in ("content-md5", "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "transfer-encoding"):
        assert never not in sent.headers


@pytest.mark.parametrize("operation", ALL)
def test_every_request_names_the_owner_that_the_bucket_must_have(
    server: ScriptedServer, owned: S3Store, operation: str
) -> None:
    server.script(Reply(403, b"<Error><Code>AccessDenied</Code></Error>"))
    with contextlib.suppress(SyncdError):
        call(owned, operation, PLAIN, BODY)
    assert server.seen
    assert {seen.headers["x-amz-expected-bucket-owner"] for seen in server.seen} == {"111122223333"}


def test_a_refusal_may_mean_that_the_bucket_has_another_owner(server: ScriptedServer, owned: S3Store) -> None:
    server.script(Reply(403, b"<Error><Code>AccessDenied</Code></Error>"))
    assert "not account 111122223333's" in (raised(owned, "create").hint or "")


@pytest.fixture(scope="module")
def owned(_one_server: ScriptedServer) -> Iterator[S3Store]:
    settings = Settings(endpoint_url=_one_server.url, expected_bucket_owner="111122223333")
    store = S3Store(Clients(settings, FakeCredentials([credential_set()])))
    yield store
    store.close()


def test_md5_goes_as_content_md5_and_none_as_nothing(server: ScriptedServer, store: S3Store) -> None:
    server.script(Reply(200, headers={"ETag": '"e"'}))
    body = BytesBody(b"hello", Algorithm.MD5)
    part = store.upload_part(target(Algorithm.MD5), "U1", 1, body)
    assert server.seen[0].headers["content-md5"] == body.checksum == part.checksum
    nothing = store.upload_part(target(Algorithm.NONE), "U1", 1, BytesBody(b"hello", Algorithm.NONE))
    assert nothing.checksum is None
    assert not [name for name in server.seen[1].headers if "checksum" in name or "md5" in name]


def test_create_asks_for_algorithm_and_type(server: ScriptedServer, store: S3Store) -> None:
    server.script(xml(CREATED, x_amz_checksum_algorithm="SHA256", x_amz_checksum_type="COMPOSITE"))
    assert store.create(target(Algorithm.SHA256)) == "U1"
    sent = server.seen[0].headers
    assert (sent["x-amz-checksum-algorithm"], sent["x-amz-checksum-type"]) == ("SHA256", "COMPOSITE")
    server.script(xml(CREATED))
    assert store.create(target(Algorithm.MD5)) == "U1"
    assert not [name for name in server.seen[1].headers if "checksum" in name]


def test_complete_carries_every_parts_sum_the_whole_sum_its_type_and_the_size(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(xml(COMPLETED.format(etag='"e-1"')))
    complete(store, FIRST)
    sent = server.seen[0]
    assert f"<ChecksumCRC32>{SUM}</ChecksumCRC32>" in sent.body.decode()
    assert sent.headers["x-amz-checksum-crc32"] == SUM
    assert sent.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert sent.headers["x-amz-mp-object-size"] == "5"
    assert sent.headers["if-none-match"] == "*"


def test_a_composite_complete_carries_the_parts_sums_and_the_type_only(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(xml(COMPLETED.format(etag='"e-1"')))
    part = Part(number=1, size=5, etag='"e1"', checksum="abc=")
    store.complete(
        target(Algorithm.SHA256),
        "U1",
        [part],
        size=5,
        checksum="xyz=-1",
        condition=Condition(if_match='"old"'),
    )
    sent = server.seen[0]
    assert "<ChecksumSHA256>abc=</ChecksumSHA256>" in sent.body.decode()
    assert "x-amz-checksum-sha256" not in sent.headers
    assert sent.headers["x-amz-checksum-type"] == "COMPOSITE"
    assert sent.headers["if-match"] == '"old"'


def test_a_put_whose_condition_failed_is_asked_for_once_more_with_the_bare_etag(
    server: ScriptedServer, store: S3Store
) -> None:
    """Ceph compares it with the quotes."""
    server.script(error(412, "PreconditionFailed"), Reply(200, headers={"ETag": '"e"'}))
    body = BytesBody(b"data", Algorithm.NONE)
    assert store.put(target(Algorithm.NONE), body, Condition(if_match='"old"')).etag == '"e"'
    assert [sent.headers["if-match"] for sent in server.seen] == ['"old"', "old"]
    assert [sent.body for sent in server.seen] == [b"data", b"data"]


def test_no_condition_is_ever_left_out(server: ScriptedServer, store: S3Store) -> None:
    server.script(error(412, "PreconditionFailed"))
    body = BytesBody(b"data", Algorithm.NONE)
    for condition, sent in ((Condition(if_match='"old"'), 2), (Condition(if_none_match=True), 1)):
        server.seen.clear()
        with pytest.raises(ObjectExists):
            store.put(target(Algorithm.NONE), body, condition)
        assert len(server.seen) == sent
        assert all("if-match" in each.headers or each.headers["if-none-match"] == "*" for each in server.seen)


def test_a_body_is_read_in_mebibytes_and_arrives_whole(server: ScriptedServer, store: S3Store) -> None:
    body = BytesBody(bytes(range(256)) * 4096 * 3 + b"tail", Algorithm.NONE)
    server.script(Reply(200, headers={"ETag": '"e"'}))
    store.upload_part(target(Algorithm.NONE), "U1", 1, body)
    assert server.seen[0].body == body.data
    assert [size for _, size in body.asked] == [1 << 20, 1 << 20, 1 << 20, 4]


def test_an_answer_before_the_body_is_heard_and_nothing_is_sent(
    server: ScriptedServer, store: S3Store
) -> None:
    reply = error(400, "ExpiredToken")
    reply.before_body = True
    reply.headers["Connection"] = "close"
    server.script(reply)
    with pytest.raises(LockedOut) as caught:
        store.upload_part(TARGET, "U1", 1, BytesBody(bytes(3 << 20)))
    assert caught.value.code == "credentials"
    assert server.seen[0].body == b""


@pytest.mark.parametrize("operation", ["put", "upload_part"])
def test_a_file_that_changes_while_it_is_sent_comes_out_as_changed_and_the_connection_is_dropped(
    server: ScriptedServer, make_store: Callable[..., S3Store], operation: str
) -> None:
    store = make_store()
    server.script(OK_PUT)
    changed = Changed("other bytes")
    body = BytesBody(bytes(3 << 20), fail_at=1 << 20, failure=changed)
    assert raised(store, operation, body=body) is changed
    store.put(TARGET, BODY, PLAIN)
    assert server.connections == 2
    assert [seen.whole for seen in server.seen] == [False, True]


def test_a_put_that_broke_off_before_its_last_byte_leaves_no_doubt(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(Reply(raw=b"", before_body=True))
    with pytest.raises(LostAnswer):
        store.put(TARGET, BytesBody(bytes(16 << 20)), PLAIN)


def test_an_empty_object_is_put_with_its_length(server: ScriptedServer, store: S3Store) -> None:
    body = BytesBody(b"")
    server.script(Reply(200, headers={"ETag": '"e"', "x-amz-checksum-crc32": body.checksum}))
    store.put(TARGET, body, FIRST)
    assert server.seen[0].headers["content-length"] == "0"


def test_a_key_that_s3_cannot_express_refuses_the_file(store: S3Store) -> None:
    with pytest.raises(Refused):
        store.put(target(key="bad\udcff"), BODY, PLAIN)
