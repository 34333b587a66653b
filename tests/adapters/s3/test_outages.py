"""Answers that no honest store gives, and none at all: what the wire can do to us."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from syncd.adapters.s3.outages import LostAnswer
from syncd.adapters.s3.store import S3Store
from syncd.errors import (
    Doubtful,
    Transient,
)

from .conftest import Reply, ScriptedServer, error
from .operations import (
    ALL,
    EMPTY,
    HTML,
    PORTAL,
    UNVALIDATED,
    raised,
    xml,
)


@pytest.mark.parametrize("reply", [PORTAL, EMPTY], ids=["html", "empty"])
@pytest.mark.parametrize("operation", UNVALIDATED)
def test_a_200_that_is_no_answer_of_s3_is_no_success(
    server: ScriptedServer, store: S3Store, operation: str, reply: Reply
) -> None:
    server.script(reply)
    kind = Doubtful if operation in {"put", "complete"} else Transient
    assert isinstance(raised(store, operation), kind)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("operation", ALL)
def test_a_redirect_is_waited_out_and_never_followed(
    server: ScriptedServer, store: S3Store, operation: str, status: int
) -> None:
    server.script(Reply(status, HTML, {"Location": f"{server.url}/login"}))
    assert type(raised(store, operation)) is Transient
    assert len(server.seen) == 1


@pytest.mark.parametrize("operation", ALL)
def test_a_redirect_to_another_region_names_it_and_is_never_followed(
    server: ScriptedServer, store: S3Store, operation: str
) -> None:
    server.script(error(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"))
    fault = raised(store, operation)
    assert fault.code == "region"
    assert "eu-west-1" in fault.hint
    assert len(server.seen) == 1


@pytest.mark.parametrize("operation", ALL)
def test_a_connection_closed_instead_of_an_answer_is_a_lost_answer(
    server: ScriptedServer, store: S3Store, operation: str
) -> None:
    server.script(Reply(drop=True))
    kind = Doubtful if operation in {"put", "complete"} else LostAnswer
    assert type(raised(store, operation)) is kind
    assert len(server.seen) == 1


@pytest.mark.parametrize("operation", ALL)
def test_garbage_instead_of_http_is_a_lost_answer(
    server: ScriptedServer, store: S3Store, operation: str
) -> None:
    server.script(Reply(raw=b"\x00\x01\x02 nonsense\r\n\r\n"))
    kind = Doubtful if operation in {"put", "complete"} else LostAnswer
    assert type(raised(store, operation)) is kind


@pytest.mark.parametrize("operation", ["create", "list_parts", "complete", "list_uploads"])
def test_truncated_xml_is_a_lost_answer(server: ScriptedServer, store: S3Store, operation: str) -> None:
    server.script(xml("<InitiateMultipartUploadResult><Bucket>capt"))
    kind = Doubtful if operation == "complete" else LostAnswer
    assert type(raised(store, operation)) is kind


@pytest.mark.parametrize("operation", ["put", "upload_part", "complete"])
def test_silence_ends_with_the_read_timeout(
    server: ScriptedServer, make_store: Callable[..., S3Store], operation: str
) -> None:
    store = make_store(read_timeout=0.2)
    server.script(Reply(hang=True))
    fault = raised(store, operation)
    if operation == "upload_part":
        assert fault.unreachable
    else:
        assert type(fault) is Doubtful


def test_nobody_listening_is_unreachable_and_names_host_and_port(make_store: Callable[..., S3Store]) -> None:
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
def test_a_server_that_breaks_down_over_a_put_or_complete_leaves_doubt(
    server: ScriptedServer, store: S3Store, operation: str, status: int
) -> None:
    server.script(Reply(status, HTML))
    assert type(raised(store, operation)) is Doubtful


@pytest.mark.parametrize("operation", ["put", "complete"])
def test_a_server_that_refuses_for_now_leaves_none(
    server: ScriptedServer, store: S3Store, operation: str
) -> None:
    server.script(error(503, "SlowDown", Retry_After="3"))
    fault = raised(store, operation)
    assert type(fault) is Transient
    assert fault.retry_after == 3
