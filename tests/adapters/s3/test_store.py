"""Answers that no honest store gives: what the wire can do to us, one test each."""

from __future__ import annotations

import socket

import pytest

from syncd.errors import (
    Changed,
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
from syncd.adapters.s3.outages import LostAnswer
from syncd.model import Algorithm, Condition, Part

from .conftest import BytesBody, Reply, error, target

PLAIN = Condition()
FIRST = Condition(if_none_match=True)
HTML = b"<html><head><title>Welcome</title></head><body>Please accept our terms</body></html>"
PORTAL = Reply(200, HTML, {"Content-Type": "text/html"})
EMPTY = Reply(200)
TARGET = target()
BODY = BytesBody(b"hello")
SUM = BODY.checksum
PARTS = [Part(number=1, size=5, etag='"e1"', checksum=SUM)]


def xml(body: str, **headers: str) -> Reply:
    return Reply(
        200, b'<?xml version="1.0"?>' + body.encode(), {n.replace("_", "-"): v for n, v in headers.items()}
    )


CREATED = (
    "<InitiateMultipartUploadResult><Bucket>captures</Bucket><Key>cam/a.bin</Key><UploadId>U1</UploadId>"
    "</InitiateMultipartUploadResult>"
)
COMPLETED = (
    "<CompleteMultipartUploadResult><Bucket>captures</Bucket><Key>cam/a.bin</Key><ETag>{etag}</ETag>"
    "</CompleteMultipartUploadResult>"
)
OK_PUT = Reply(200, headers={"ETag": '"e"', "x-amz-checksum-crc32": SUM})


def complete(store, condition=PLAIN):
    return store.complete(TARGET, "U1", PARTS, size=5, checksum=SUM, condition=condition)


def call(store, operation, condition=PLAIN):
    return {
        "put": lambda: store.put(TARGET, BODY, condition),
        "create": lambda: store.create(TARGET),
        "upload_part": lambda: store.upload_part(TARGET, "U1", 1, BODY),
        "list_parts": lambda: list(store.list_parts(TARGET, "U1")),
        "complete": lambda: complete(store, condition),
        "abort": lambda: store.abort("captures", "cam/a.bin", "U1"),
        "head": lambda: store.head("captures", "cam/a.bin"),
        "list_uploads": lambda: store.list_uploads("captures", "cam/a.bin"),
    }[operation]()


ALL = ["put", "create", "upload_part", "list_parts", "complete", "abort", "head", "list_uploads"]
UNVALIDATED = [operation for operation in ALL if operation != "abort"]  # a 2xx is all that abort promises


def raised(store, operation, condition=PLAIN):
    with pytest.raises(Exception) as caught:
        call(store, operation, condition)
    return caught.value


@pytest.mark.parametrize("reply", [PORTAL, EMPTY], ids=["html", "empty"])
@pytest.mark.parametrize("operation", UNVALIDATED)
def test_a_200_that_is_no_answer_of_s3_is_no_success(server, store, operation, reply):
    server.script(reply)
    kind = Doubtful if operation in {"put", "complete"} else Transient
    assert isinstance(raised(store, operation), kind)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("operation", ALL)
def test_a_redirect_is_waited_out_and_never_followed(server, store, operation, status):
    server.script(Reply(status, HTML, {"Location": f"{server.url}/login"}))
    assert type(raised(store, operation)) is Transient
    assert len(server.seen) == 1


@pytest.mark.parametrize("operation", ALL)
def test_a_redirect_to_another_region_names_it_and_is_never_followed(server, store, operation):
    server.script(error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"))
    fault = raised(store, operation)
    assert fault.code == "region"
    assert "eu-west-1" in fault.hint
    assert len(server.seen) == 1


@pytest.mark.parametrize("operation", ALL)
def test_a_connection_closed_instead_of_an_answer_is_a_lost_answer(server, store, operation):
    server.script(Reply(drop=True))
    kind = Doubtful if operation in {"put", "complete"} else LostAnswer
    assert type(raised(store, operation)) is kind
    assert len(server.seen) == 1


@pytest.mark.parametrize("operation", ALL)
def test_garbage_instead_of_http_is_a_lost_answer(server, store, operation):
    server.script(Reply(raw=b"\x00\x01\x02 nonsense\r\n\r\n"))
    kind = Doubtful if operation in {"put", "complete"} else LostAnswer
    assert type(raised(store, operation)) is kind


@pytest.mark.parametrize("operation", ["create", "list_parts", "complete", "list_uploads"])
def test_truncated_xml_is_a_lost_answer(server, store, operation):
    server.script(xml("<InitiateMultipartUploadResult><Bucket>capt"))
    kind = Doubtful if operation == "complete" else LostAnswer
    assert type(raised(store, operation)) is kind


@pytest.mark.parametrize("operation", ["put", "upload_part", "complete"])
def test_silence_ends_with_the_read_timeout(server, make_store, operation):
    store = make_store(read_timeout=0.2)
    server.script(Reply(hang=True))
    fault = raised(store, operation)
    if operation == "upload_part":
        assert fault.unreachable
    else:
        assert type(fault) is Doubtful


def test_nobody_listening_is_unreachable_and_names_host_and_port(make_store):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = make_store(endpoint_url=f"http://127.0.0.1:{port}")
    for operation in ALL:
        fault = raised(store, operation)
        assert type(fault) is Transient
        assert fault.unreachable
        assert f"127.0.0.1:{port}" in str(fault)


@pytest.mark.parametrize("operation", ["put", "complete"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_breaks_down_over_a_put_or_complete_leaves_doubt(server, store, operation, status):
    server.script(Reply(status, HTML))
    assert type(raised(store, operation)) is Doubtful


@pytest.mark.parametrize("operation", ["put", "complete"])
def test_a_server_that_refuses_for_now_leaves_none(server, store, operation):
    server.script(error(503, "SlowDown", Retry_After="3"))
    fault = raised(store, operation)
    assert type(fault) is Transient
    assert fault.retry_after == 3


def test_an_error_inside_a_200_is_an_error(server, store):
    server.script(xml("<Error><Code>InternalError</Code><Message>sorry</Message></Error>"))
    assert type(raised(store, "complete")) is Doubtful
    server.script(xml("<Error><Code>NoSuchUpload</Code><Message>sorry</Message></Error>"))
    assert type(raised(store, "complete")) is UploadGone


def test_an_error_after_whitespace_inside_a_200_is_an_error(server, store):
    server.script(Reply(200, b'<?xml version="1.0"?>\n   \n  <Error><Code>InternalError</Code></Error>'))
    assert type(raised(store, "complete")) is Doubtful


@pytest.mark.parametrize("etag", ["", "abc", '""', "&quot;&quot;"])
def test_an_empty_or_unquoted_etag_in_a_complete_answer_is_doubt(server, store, etag):
    server.script(xml(COMPLETED.format(etag=etag)))
    assert type(raised(store, "complete")) is Doubtful


def test_a_complete_answer_for_another_key_is_doubt(server, store):
    server.script(xml(COMPLETED.format(etag='"e-1"').replace("cam/a.bin", "cam/b.bin")))
    assert type(raised(store, "complete")) is Doubtful


def test_a_complete_answer_may_echo_the_key_encoded(server, store):
    server.script(xml(COMPLETED.format(etag='"e-1"').replace("cam/a.bin", "cam%2Fa.bin")))
    assert complete(store).etag == '"e-1"'


def test_whitespace_that_keeps_a_slow_complete_alive_is_accepted(server, store):
    server.script(Reply(200, b'<?xml version="1.0"?>\n     \n' + COMPLETED.format(etag='"e-1"').encode()))
    assert complete(store).etag == '"e-1"'


@pytest.mark.parametrize("etag", [None, "", "bare"])
def test_a_part_without_a_proper_etag_is_sent_again(server, store, etag):
    server.script(Reply(200, headers={"ETag": etag} if etag is not None else {}))
    assert isinstance(raised(store, "upload_part"), Transient)


def test_a_create_answer_without_upload_id_is_a_lost_answer(server, store):
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
def test_a_create_that_does_not_promise_our_checksum_is_aborted(server, store, headers):
    server.script(xml(CREATED, **headers), Reply(204))
    assert type(raised(store, "create")) is ChecksumIgnored
    assert server.seen[1].line.startswith("DELETE /captures/cam/a.bin?uploadId=U1")


def test_a_failing_abort_does_not_hide_the_ignored_checksum(server, store):
    server.script(xml(CREATED), error(403, "AccessDenied"))
    assert type(raised(store, "create")) is ChecksumIgnored
    assert len(server.seen) == 2


@pytest.mark.parametrize("operation", ["put", "upload_part"])
def test_a_body_whose_sum_is_not_echoed_is_told_with_the_etag(server, store, operation):
    server.script(Reply(200, headers={"ETag": '"e"'}))
    fault = raised(store, operation)
    assert type(fault) is ChecksumIgnored
    assert fault.etag == '"e"'


def test_another_sum_than_ours_is_not_taken(server, store):
    server.script(Reply(200, headers={"ETag": '"e"', "x-amz-checksum-crc32": "AAAAAA=="}))
    assert type(raised(store, "put")) is Doubtful
    assert isinstance(raised(store, "upload_part"), Transient)


@pytest.mark.parametrize("operation", ["put", "create"])
def test_a_store_that_knows_no_checksums_is_told_apart(server, store, operation):
    server.script(error(501, "NotImplemented", "A header you provided implies functionality..."))
    assert type(raised(store, operation)) is ChecksumIgnored


def test_without_a_checksum_not_implemented_locks_the_destination(server, store):
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
        (400, "EntityTooSmall", PartsRejected),
        (400, "BadDigest", PartsRejected),
        (400, "EntityTooLarge", Refused),
    ],
)
def test_complete_refused(server, store, status, code, kind):
    server.script(error(status, code))
    assert type(raised(store, "complete")) is kind


def test_if_match_on_a_missing_key_is_a_failed_condition_for_put_and_doubt_for_complete(server, store):
    server.script(error(404, "NoSuchKey"))
    ours = Condition(if_match='"old"')
    assert type(raised(store, "put", ours)) is ObjectExists
    assert type(raised(store, "complete", ours)) is Doubtful
    server.script(error(404, "NoSuchUpload"))
    assert type(raised(store, "complete", ours)) is UploadGone


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
@pytest.mark.parametrize("operation", ["upload_part", "list_parts"])
def test_an_upload_that_is_gone_by_either_name(server, store, operation, code):
    server.script(error(404, code))
    assert type(raised(store, operation)) is UploadGone


@pytest.mark.parametrize("code", ["NoSuchUpload", "NoSuchKey"])
def test_aborting_what_is_gone_is_done(server, store, code):
    server.script(error(404, code))
    store.abort("captures", "cam/a.bin", "U1")


@pytest.mark.parametrize("status", [403, 404])
def test_head_shows_nothing_for_missing_and_for_forbidden(server, store, status):
    server.script(Reply(status))
    assert store.head("captures", "cam/a.bin") is None


def test_a_head_400_is_about_credentials(server, store):
    server.script(Reply(400))
    assert raised(store, "head").code == "credentials"


def test_head_reads_token_sums_and_what_the_etag_is(server, store):
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
def test_an_etag_under_kms_or_a_customers_key_is_no_md5(server, store, header):
    server.script(Reply(200, headers={"ETag": '"e"', **header}))
    assert not store.head("captures", "cam/a.bin").etag_is_md5


@pytest.mark.parametrize("status", [403, 405, 501])
def test_uploads_that_we_may_not_list_are_unknown(server, store, status):
    server.script(Reply(status))
    assert store.list_uploads("captures", "cam/a.bin") is None
    server.script(error(403, "AccessDenied"))
    assert store.list_uploads("captures", "cam/a.bin") is None


def test_uploads_are_listed_over_all_pages_for_exactly_this_key(server, store):
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
def test_a_listing_that_stands_still_ends(server, store, operation):
    server.script(
        xml(
            "<R><Bucket>captures</Bucket><Key>cam/a.bin</Key><IsTruncated>true</IsTruncated>"
            "<NextKeyMarker>cam/a.bin</NextKeyMarker><NextUploadIdMarker>U1</NextUploadIdMarker></R>"
        )
    )
    assert isinstance(raised(store, operation), Transient)
    assert len(server.seen) <= 2


def test_a_listed_part_without_a_number_is_no_part(server, store):
    server.script(
        xml('<R><Bucket>captures</Bucket><Key>cam/a.bin</Key><Part><ETag>"e"</ETag><Size>5</Size></Part></R>')
    )
    assert type(raised(store, "list_parts")) is LostAnswer


# What goes over the wire


def test_a_put_carries_sum_condition_token_and_type_and_nothing_that_botocore_computed(server, store):
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


def test_md5_goes_as_content_md5_and_none_as_nothing(server, store):
    server.script(Reply(200, headers={"ETag": '"e"'}))
    body = BytesBody(b"hello", Algorithm.MD5)
    part = store.upload_part(target(Algorithm.MD5), "U1", 1, body)
    assert server.seen[0].headers["content-md5"] == body.checksum == part.checksum
    nothing = store.upload_part(target(Algorithm.NONE), "U1", 1, BytesBody(b"hello", Algorithm.NONE))
    assert nothing.checksum is None
    assert not [name for name in server.seen[1].headers if "checksum" in name or "md5" in name]


def test_create_asks_for_algorithm_and_type(server, store):
    server.script(xml(CREATED, x_amz_checksum_algorithm="SHA256", x_amz_checksum_type="COMPOSITE"))
    assert store.create(target(Algorithm.SHA256)) == "U1"
    sent = server.seen[0].headers
    assert (sent["x-amz-checksum-algorithm"], sent["x-amz-checksum-type"]) == ("SHA256", "COMPOSITE")
    server.script(xml(CREATED))
    assert store.create(target(Algorithm.MD5)) == "U1"
    assert not [name for name in server.seen[1].headers if "checksum" in name]


def test_complete_carries_every_parts_sum_the_whole_sum_its_type_and_the_size(server, store):
    server.script(xml(COMPLETED.format(etag='"e-1"')))
    complete(store, FIRST)
    sent = server.seen[0]
    assert f"<ChecksumCRC32>{SUM}</ChecksumCRC32>" in sent.body.decode()
    assert sent.headers["x-amz-checksum-crc32"] == SUM
    assert sent.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert sent.headers["x-amz-mp-object-size"] == "5"
    assert sent.headers["if-none-match"] == "*"


def test_a_composite_complete_carries_the_parts_sums_and_the_type_only(server, store):
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


# Bodies


def test_a_body_is_read_in_mebibytes_and_arrives_whole(server, store):
    body = BytesBody(bytes(range(256)) * 4096 * 3 + b"tail", Algorithm.NONE)
    server.script(Reply(200, headers={"ETag": '"e"'}))
    store.upload_part(target(Algorithm.NONE), "U1", 1, body)
    assert server.seen[0].body == body.data
    assert [size for _, size in body.asked] == [1 << 20, 1 << 20, 1 << 20, 4]


def test_an_answer_before_the_body_is_heard_and_nothing_is_sent(server, store):
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
    server, make_store, operation
):
    store = make_store()
    server.script(OK_PUT)
    changed = Changed("other bytes")
    body = BytesBody(bytes(3 << 20), fail_at=1 << 20, failure=changed)
    with pytest.raises(Changed) as caught:
        if operation == "put":
            store.put(TARGET, body, PLAIN)
        else:
            store.upload_part(TARGET, "U1", 1, body)
    assert caught.value is changed
    store.put(TARGET, BODY, PLAIN)
    assert server.connections == 2
    assert [seen.whole for seen in server.seen] == [False, True]


def test_a_put_that_broke_off_before_its_last_byte_leaves_no_doubt(server, store):
    server.script(Reply(raw=b"", before_body=True))
    with pytest.raises(LostAnswer):
        store.put(TARGET, BytesBody(bytes(16 << 20)), PLAIN)


def test_an_empty_object_is_put_with_its_length(server, store):
    body = BytesBody(b"")
    server.script(Reply(200, headers={"ETag": '"e"', "x-amz-checksum-crc32": body.checksum}))
    store.put(TARGET, body, FIRST)
    assert server.seen[0].headers["content-length"] == "0"


def test_a_key_that_s3_cannot_express_refuses_the_file(store):
    with pytest.raises(Refused):
        store.put(target(key="bad\udcff"), BODY, PLAIN)
