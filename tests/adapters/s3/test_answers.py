"""What S3 can answer, good and bad, and what becomes of it."""

from __future__ import annotations

import pytest

from syncd.adapters.s3.outages import LostAnswer
from syncd.adapters.s3.store import S3Store
from syncd.errors import (
    ChecksumIgnored,
    Conflict,
    Doubtful,
    LockedOut,
    ObjectExists,
    PartsRejected,
    Refused,
    Transient,
    UploadGone,
)
from syncd.model import Algorithm, Condition

from .conftest import BytesBody, Reply, ScriptedServer, error, target
from .operations import (
    COMPLETED,
    CREATED,
    FIRST,
    complete,
    raised,
    xml,
)


def test_an_error_inside_a_200_is_an_error(server: ScriptedServer, store: S3Store) -> None:
    server.script(xml("<Error><Code>InternalError</Code><Message>sorry</Message></Error>"))
    assert type(raised(store, "complete")) is Doubtful
    server.script(xml("<Error><Code>NoSuchUpload</Code><Message>sorry</Message></Error>"))
    assert type(raised(store, "complete")) is UploadGone


def test_an_error_after_whitespace_inside_a_200_is_an_error(server: ScriptedServer, store: S3Store) -> None:
    server.script(Reply(200, b'<?xml version="1.0"?>\n   \n  <Error><Code>InternalError</Code></Error>'))
    assert type(raised(store, "complete")) is Doubtful


@pytest.mark.parametrize("etag", ["", "abc", '""', "&quot;&quot;"])
def test_an_empty_or_unquoted_etag_in_a_complete_answer_is_doubt(
    server: ScriptedServer, store: S3Store, etag: str | None
) -> None:
    server.script(xml(COMPLETED.format(etag=etag)))
    assert type(raised(store, "complete")) is Doubtful


def test_a_complete_answer_for_another_key_is_doubt(server: ScriptedServer, store: S3Store) -> None:
    server.script(xml(COMPLETED.format(etag='"e-1"').replace("cam/a.bin", "cam/b.bin")))
    assert type(raised(store, "complete")) is Doubtful


def test_a_complete_answer_may_echo_the_key_encoded(server: ScriptedServer, store: S3Store) -> None:
    server.script(xml(COMPLETED.format(etag='"e-1"').replace("cam/a.bin", "cam%2Fa.bin")))
    assert complete(store).etag == '"e-1"'


def test_whitespace_that_keeps_a_slow_complete_alive_is_accepted(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(Reply(200, b'<?xml version="1.0"?>\n     \n' + COMPLETED.format(etag='"e-1"').encode()))
    assert complete(store).etag == '"e-1"'


@pytest.mark.parametrize("etag", [None, "", "bare"])
def test_a_part_without_a_proper_etag_is_sent_again(
    server: ScriptedServer, store: S3Store, etag: str | None
) -> None:
    server.script(Reply(200, headers={"ETag": etag} if etag is not None else {}))
    assert isinstance(raised(store, "upload_part"), Transient)


def test_a_create_answer_without_upload_id_is_a_lost_answer(server: ScriptedServer, store: S3Store) -> None:
    server.script(xml(CREATED.replace("U1", "")))
    assert type(raised(store, "create")) is LostAnswer


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_amz_checksum_algorithm": "CRC32"},
        {"x_amz_checksum_algorithm": "CRC32", "x_amz_checksum_type": "COMPOSITE"},
        {"x_amz_checksum_algorithm": "CRC64NVME", "x_amz_checksum_type": "FULL_OBJECT"},
    ],
)
def test_a_create_that_does_not_promise_our_checksum_is_aborted(
    server: ScriptedServer, store: S3Store, headers: dict[str, str]
) -> None:
    server.script(xml(CREATED, **headers), Reply(204))
    assert type(raised(store, "create")) is ChecksumIgnored
    assert server.seen[1].line.startswith("DELETE /captures/cam/a.bin?uploadId=U1")


def test_a_failing_abort_does_not_hide_the_ignored_checksum(server: ScriptedServer, store: S3Store) -> None:
    server.script(xml(CREATED), error(403, "AccessDenied"))
    assert type(raised(store, "create")) is ChecksumIgnored
    assert len(server.seen) == 2


@pytest.mark.parametrize("operation", ["put", "upload_part"])
def test_a_body_whose_sum_is_not_echoed_is_told_with_the_etag(
    server: ScriptedServer, store: S3Store, operation: str
) -> None:
    server.script(Reply(200, headers={"ETag": '"e"'}))
    fault = raised(store, operation)
    assert type(fault) is ChecksumIgnored
    assert fault.etag == '"e"'


def test_another_sum_than_ours_is_not_taken(server: ScriptedServer, store: S3Store) -> None:
    server.script(Reply(200, headers={"ETag": '"e"', "x-amz-checksum-crc32": "AAAAAA=="}))
    assert type(raised(store, "put")) is Doubtful
    assert isinstance(raised(store, "upload_part"), Transient)


@pytest.mark.parametrize("operation", ["put", "create"])
def test_a_store_that_knows_no_checksums_is_told_apart(
    server: ScriptedServer, store: S3Store, operation: str
) -> None:
    server.script(error(501, "NotImplemented", "A header you provided implies functionality..."))
    assert type(raised(store, operation)) is ChecksumIgnored


def test_without_a_checksum_not_implemented_locks_the_destination(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(error(501, "NotImplemented"))
    with pytest.raises(LockedOut) as caught:
        store.put(target(Algorithm.MD5), BytesBody(b"x", Algorithm.MD5), FIRST)
    assert caught.value.code == "bucket"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (412, "PreconditionFailed", ObjectExists),
        (409, "ConditionalRequestConflict", Conflict),
        (409, "OperationAborted", Conflict),
        (404, "NoSuchUpload", UploadGone),
        (404, "NoSuchKey", UploadGone),
        (400, "InvalidPart", PartsRejected),
        (400, "InvalidPartOrder", PartsRejected),
        (400, "EntityTooSmall", Refused),
        (400, "BadDigest", PartsRejected),
        (400, "EntityTooLarge", Refused),
    ],
)
def test_complete_refused(
    server: ScriptedServer, store: S3Store, status: int, code: str, kind: type[BaseException]
) -> None:
    server.script(error(status, code))
    assert type(raised(store, "complete")) is kind


def test_if_match_on_a_missing_key_is_a_failed_condition_for_put_and_doubt_for_complete(
    server: ScriptedServer, store: S3Store
) -> None:
    server.script(error(404, "NoSuchKey"))
    ours = Condition(if_match='"old"')
    assert type(raised(store, "put", ours)) is ObjectExists
    assert type(raised(store, "complete", ours)) is Doubtful
    server.script(error(404, "NoSuchUpload"))
    assert type(raised(store, "complete", ours)) is UploadGone


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
@pytest.mark.parametrize("operation", ["upload_part", "list_parts"])
def test_an_upload_that_is_gone_by_either_name(
    server: ScriptedServer, store: S3Store, operation: str, code: str
) -> None:
    server.script(error(404, code))
    assert type(raised(store, operation)) is UploadGone


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
def test_aborting_what_is_gone_is_done(server: ScriptedServer, store: S3Store, code: str) -> None:
    server.script(error(404, code))
    store.abort("captures", "cam/a.bin", "U1")


@pytest.mark.parametrize("status", [403, 404])
def test_head_shows_nothing_for_missing_and_for_forbidden(
    server: ScriptedServer, store: S3Store, status: int
) -> None:
    server.script(Reply(status))
    assert store.head("captures", "cam/a.bin") is None


def test_a_head_400_is_about_credentials(server: ScriptedServer, store: S3Store) -> None:
    server.script(Reply(400))
    assert raised(store, "head").code == "credentials"


def test_head_reads_token_sums_and_what_the_etag_is(server: ScriptedServer, store: S3Store) -> None:
    reply = Reply(
        200, headers={"ETag": '"e-2"', "x-amz-meta-Syncd-Upload": "T", "x-amz-checksum-sha256": "abc=-2"}
    )
    server.script(reply)
    found = store.head("captures", "cam/a.bin")
    assert (found.etag, found.token, found.size) == ('"e-2"', "T", 0)
    assert found.checksums == {Algorithm.SHA256: "abc=-2"}
    assert found.etag_is_md5
    assert server.seen[0].headers["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.parametrize(
    "header",
    [
        {"x-amz-server-side-encryption": "aws:kms"},
        {"x-amz-server-side-encryption": "aws:kms:dsse"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ],
)
def test_an_etag_under_kms_or_a_customers_key_is_no_md5(
    server: ScriptedServer, store: S3Store, header: dict[str, str]
) -> None:
    server.script(Reply(200, headers={"ETag": '"e"', **header}))
    assert not store.head("captures", "cam/a.bin").etag_is_md5


@pytest.mark.parametrize("status", [403, 405, 501])
def test_uploads_that_we_may_not_list_are_unknown(
    server: ScriptedServer, store: S3Store, status: int
) -> None:
    server.script(Reply(status))
    assert store.list_uploads("captures", "cam/a.bin") is None
    server.script(error(403, "AccessDenied"))
    assert store.list_uploads("captures", "cam/a.bin") is None


def test_uploads_are_listed_over_all_pages_for_exactly_this_key(
    server: ScriptedServer, store: S3Store
) -> None:
    def page(more: str, *uploads: tuple[str, str]) -> Reply:
        listed = "".join(
            f"<Upload><Key>{key}</Key><UploadId>{upload}</UploadId><Initiated>2026-11-24T12:00:00Z</Initiated></Upload>"
            for key, upload in uploads
        )
        return xml(
            f"<ListMultipartUploadsResult><Bucket>captures</Bucket>{more}{listed}</ListMultipartUploadsResult>"
        )

    first = "<IsTruncated>true</IsTruncated><NextKeyMarker>cam/a.bin</NextKeyMarker><NextUploadIdMarker>U1</NextUploadIdMarker>"
    then = "<IsTruncated>true</IsTruncated><NextKeyMarker>cam/a.bin2</NextKeyMarker><NextUploadIdMarker>X</NextUploadIdMarker>"
    server.script(page(first, ("cam/a.bin", "U1")), page(then, ("cam/a.bin", "U2"), ("cam/a.bin2", "X")))
    assert store.list_uploads("captures", "cam/a.bin") == [("U1", 1795521600.0), ("U2", 1795521600.0)]
    assert "upload-id-marker=U1" in server.seen[1].line
    assert len(server.seen) == 2


@pytest.mark.parametrize("operation", ["list_parts", "list_uploads"])
def test_a_listing_that_stands_still_ends(server: ScriptedServer, store: S3Store, operation: str) -> None:
    server.script(
        xml(
            "<R><Bucket>captures</Bucket><Key>cam/a.bin</Key><IsTruncated>true</IsTruncated>"
            "<NextKeyMarker>cam/a.bin</NextKeyMarker><NextUploadIdMarker>U1</NextUploadIdMarker></R>"
        )
    )
    assert isinstance(raised(store, operation), Transient)
    assert len(server.seen) <= 2


def test_a_listed_part_without_a_number_is_no_part(server: ScriptedServer, store: S3Store) -> None:
    server.script(
        xml('<R><Bucket>captures</Bucket><Key>cam/a.bin</Key><Part><ETag>"e"</ETag><Size>5</Size></Part></R>')
    )
    assert type(raised(store, "list_parts")) is LostAnswer
