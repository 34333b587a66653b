from __future__ import annotations

import errno
import ssl
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import NewConnectionError, ProtocolError

from syncd.adapters.s3.codes import BY_CODE, BY_OPERATION, BY_OPERATION_AND_STATUS, BY_STATUS, Meaning
from syncd.adapters.s3.faults import Asked, NotShown, Unsupported, read_answer, retry_after, translate
from syncd.adapters.s3.outages import LostAnswer, cause_in, translate_outage
from syncd.errors import (
    Changed,
    Conflict,
    LockedOut,
    ObjectExists,
    PartsRejected,
    Refused,
    Transient,
    UploadGone,
)

KINDS = {
    Meaning.BUSY: (Transient, None),
    Meaning.LOST: (LostAnswer, None),
    Meaning.CREDENTIALS: (LockedOut, "credentials"),
    Meaning.CLOCK: (LockedOut, "clock"),
    Meaning.PERMISSION: (LockedOut, "permission"),
    Meaning.BUCKET: (LockedOut, "bucket"),
    Meaning.REGION: (LockedOut, "region"),
    Meaning.UNSUPPORTED: (Unsupported, "bucket"),
    Meaning.GONE: (UploadGone, None),
    Meaning.PARTS: (PartsRejected, None),
    Meaning.EXISTS: (ObjectExists, None),
    Meaning.RACE: (Conflict, None),
    Meaning.REFUSED: (Refused, None),
    Meaning.NOT_SHOWN: (NotShown, None),
}


def asked(operation: str = "put") -> Asked:
    return Asked(operation=operation, bucket="captures", key="cam/a.bin")


def client_error(
    status: int, code: str = "", message: str = "words", headers: dict[str, str] | None = None, **details: str
) -> boto.ClientError:
    told = {"Code": code, "Message": message, **details}
    return boto.ClientError(
        {"Error": told, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}}, "Op"
    )


def kind_of(error: Exception, operation: str = "put", region: str = "us-east-1") -> Any:
    return translate(error, asked(operation), region=region)


def is_kind(fault: Any, meaning: Meaning) -> bool:
    kind, code = KINDS[meaning]
    return type(fault) is kind and (code is None or fault.code == code)


def test_every_meaning_has_a_kind() -> None:
    assert set(KINDS) == set(Meaning)


@pytest.mark.parametrize(("code", "meaning"), BY_CODE.items())
def test_each_code_of_the_table_becomes_its_kind(code: str, meaning: Meaning) -> None:
    headers = {"x-amz-bucket-region": "eu-west-1"} if meaning is Meaning.REGION else {}
    operation = "abort" if ("put", code) in BY_OPERATION else "put"
    fault = kind_of(client_error(400, code, headers=headers), operation)
    assert is_kind(fault, meaning), fault
    assert code in str(fault)
    assert "captures/cam/a.bin" in str(fault)


@pytest.mark.parametrize(("line", "meaning"), BY_OPERATION.items())
def test_each_exception_to_the_table_becomes_its_kind(line: tuple[str, Any], meaning: Meaning) -> None:
    operation, code = line
    assert is_kind(kind_of(client_error(400, code), operation), meaning)


@pytest.mark.parametrize(("line", "meaning"), BY_OPERATION_AND_STATUS.items())
def test_each_answer_without_a_code_becomes_its_kind_by_operation(
    line: tuple[str, Any], meaning: Meaning
) -> None:
    operation, status = line
    assert is_kind(kind_of(client_error(status, str(status)), operation), meaning)


@pytest.mark.parametrize(("status", "meaning"), BY_STATUS.items())
def test_each_status_of_the_table_becomes_its_kind(status: int, meaning: Meaning) -> None:
    assert is_kind(kind_of(client_error(status)), meaning)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, Transient) for status in (302, 400, 403, 404, 407, 418)],
        *[(status, LostAnswer) for status in (500, 502, 503, 504, 599)],
    ],
)
@pytest.mark.parametrize("code", ["", "NeverHeardOf"])
def test_what_the_table_does_not_know_is_waited_out(
    status: int, kind: type[BaseException], code: str
) -> None:
    assert type(kind_of(client_error(status, code))) is kind


def test_busy_is_certain_with_503_and_doubt_inside_another_5xx() -> None:
    assert type(kind_of(client_error(503, "SlowDown"))) is Transient
    assert type(kind_of(client_error(500, "SlowDown"))) is LostAnswer


def test_conditions_matter_only_where_conditions_are_sent() -> None:
    assert type(kind_of(client_error(412, "PreconditionFailed"), "upload_part")) is Transient
    assert type(kind_of(client_error(409), "create")) is Transient


def test_an_answer_without_a_code_hints_at_a_stranger_in_between() -> None:
    assert "captive portal" in (kind_of(client_error(200)).hint or "")
    assert kind_of(client_error(400, "SlowDown")).hint is None


@pytest.mark.parametrize(
    "error",
    [
        client_error(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-1"}),
        client_error(307, "", headers={"x-amz-bucket-region": "eu-west-1"}),
        client_error(400, "AuthorizationHeaderMalformed", Region="eu-west-1"),
        client_error(400, "IllegalLocationConstraintException", headers={"x-amz-bucket-region": "eu-west-1"}),
    ],
)
def test_a_wrong_region_names_the_right_one(error: Exception) -> None:
    fault = kind_of(error)
    assert isinstance(fault, LockedOut)
    assert fault.code == "region"
    assert "set destination.region to eu-west-1" in (fault.hint or "")


def test_head_in_a_wrong_region_is_told_by_the_header() -> None:
    error = client_error(400, "400", headers={"x-amz-bucket-region": "eu-west-1"})
    assert kind_of(error, "head").code == "region"
    same = client_error(400, "400", headers={"x-amz-bucket-region": "us-east-1"})
    assert kind_of(same, "head").code == "credentials"


def test_a_malformed_authorization_without_another_region_is_about_credentials() -> None:
    assert (
        kind_of(client_error(400, "AuthorizationHeaderMalformed", Region="us-east-1")).code == "credentials"
    )


def test_a_wrong_clock_names_both_times() -> None:
    fault = kind_of(
        client_error(
            403, "RequestTimeTooSkewed", RequestTime="20261124T100000Z", ServerTime="2026-11-24T12:00:00Z"
        )
    )
    assert "20261124T100000Z" in fault.hint
    assert "2026-11-24T12:00:00Z" in fault.hint
    sparse = kind_of(client_error(403, "RequestTimeTooSkewed", headers={"date": "Tue, 24 Nov 2026"}))
    assert "Tue, 24 Nov 2026" in sparse.hint


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("put", "s3:PutObject"),
        ("create", "s3:PutObject"),
        ("upload_part", "s3:PutObject"),
        ("complete", "s3:PutObject"),
        ("list_parts", "s3:ListMultipartUploadParts"),
        ("abort", "s3:AbortMultipartUpload"),
    ],
)
def test_a_denied_action_is_named_with_the_object(operation: str, action: str) -> None:
    fault = kind_of(client_error(403, "AccessDenied"), operation)
    assert f"lack {action} on s3://captures/cam/a.bin" in fault.hint


def test_a_missing_bucket_is_named() -> None:
    assert "there is no bucket captures" in kind_of(client_error(404, "NoSuchBucket")).hint


def test_an_invalid_argument_refuses_the_file_only_when_it_is_the_key() -> None:
    assert type(kind_of(client_error(400, "InvalidArgument", ArgumentName="key"))) is Refused
    assert type(kind_of(client_error(400, "InvalidArgument"))) is Transient


@pytest.mark.parametrize("code", ["InvalidRequest", "InvalidArgument"])
def test_a_checksum_algorithm_that_the_store_does_not_know_is_unsupported(code: str) -> None:
    words = "Checksum algorithm provided is unsupported."
    assert type(kind_of(client_error(400, code, words), "create")) is Unsupported
    assert type(kind_of(client_error(400, code, words), "upload_part")) is Transient


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": 403}},
        {
            "Error": {"Code": {"nested": "x"}, "Message": ["a", "b"]},
            "ResponseMetadata": {"HTTPHeaders": None},
        },
    ],
)
def test_a_sparse_or_strange_error_never_raises_and_is_transient(response: dict[str, Any]) -> None:
    fault = kind_of(boto.ClientError(response, "Op"))
    assert type(fault) is Transient
    assert "no S3 error code" in str(fault)


def test_only_code_and_message_are_told_and_the_message_is_one_short_line() -> None:
    error = client_error(
        403,
        "SignatureDoesNotMatch",
        "We\nsay\x1b[31m no " + "x" * 1000,
        StringToSign="canary-string",
        AWSAccessKeyId="AKIACANARY",
    )
    told = f"{kind_of(error)}{kind_of(error).hint}"
    assert "canary" not in told
    assert "AKIA" not in told
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 600


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "100000"}, 900),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}, 30),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 -0000", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}, None),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"x-amz-retry-after": "100000000"}, 900),
        ({"x-amz-retry-after": "-1500"}, None),
        ({"x-amz-retry-after": "1.5"}, None),
        ({"x-amz-retry-after": "1500", "retry-after": "7"}, 7),
        ({"x-amz-retry-after": "9000", "retry-after": "7"}, 9),
        ({"x-amz-retry-after": "1500", "retry-after": "soon"}, 1.5),
    ],
)
def test_retry_after_is_read_and_capped_and_nonsense_ignored(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds


def test_the_servers_wish_travels_with_the_failure() -> None:
    assert kind_of(client_error(503, "SlowDown", headers={"retry-after": "5"})).retry_after == 5
    assert kind_of(client_error(429, headers={"retry-after": "5"})).retry_after == 5


URL = "https://store.example:9000/captures/cam/a.bin"


def outage(error: Exception) -> Any:
    return translate_outage(error, "put of s3://captures/cam/a.bin")


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url=URL, error=NewConnectionError(None, "no")),
        boto.ConnectTimeoutError(endpoint_url=URL, error="late"),
        boto.ProxyConnectionError(proxy_url="http://user:canary@store.example:9000", error="no"),
    ],
)
def test_where_no_connection_came_about_nothing_was_sent(error: Exception) -> None:
    fault = outage(error)
    assert type(fault) is Transient
    assert fault.unreachable
    assert "store.example:9000" in str(fault)
    assert "canary" not in str(fault)


def test_silence_is_a_lost_answer_of_an_unreachable_store() -> None:
    fault = outage(boto.ReadTimeoutError(endpoint_url=URL, error="late"))
    assert type(fault) is LostAnswer
    assert fault.unreachable


@pytest.mark.parametrize(
    ("within", "unreachable"),
    [
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), False),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), False),
        (TimeoutError("timed out"), True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), True),
    ],
)
def test_a_broken_connection_is_a_lost_answer_and_unreachable_where_the_network_is_down(
    within: OSError, unreachable: bool
) -> None:
    error = boto.ConnectionClosedError(
        endpoint_url=URL, error=ProtocolError("Connection aborted.", within), request=None
    )
    fault = outage(error)
    assert type(fault) is LostAnswer
    assert fault.unreachable is unreachable
    assert str(within.strerror or "timed out") in str(fault)


def test_a_certificate_that_does_not_hold_locks_the_destination_and_names_the_host() -> None:
    broken = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    fault = outage(boto.SSLError(endpoint_url=URL, error=broken))
    assert fault.code == "tls"
    assert "store.example:9000" in (fault.hint or "")
    assert "self-signed" in str(fault)


def test_another_protocol_on_the_port_locks_too_but_a_broken_tls_connection_does_not() -> None:
    wrong = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert outage(boto.SSLError(endpoint_url=URL, error=wrong)).code == "tls"
    cut = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    assert type(outage(boto.SSLError(endpoint_url=URL, error=cut))) is LostAnswer


def test_garbage_instead_of_xml_is_a_lost_answer() -> None:
    assert type(outage(ResponseParserError("invalid XML"))) is LostAnswer


def test_what_s3_cannot_express_refuses_the_file_but_a_bad_bucket_name_locks() -> None:
    assert type(outage(boto.ParamValidationError(report="Invalid length for parameter Key"))) is Refused
    assert type(outage(UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"))) is Refused
    assert outage(boto.ParamValidationError(report='Invalid bucket name "x y"')).code == "bucket"


def test_an_unknown_exception_is_a_lost_answer_with_its_name() -> None:
    fault = outage(RuntimeError("who knows"))
    assert type(fault) is LostAnswer
    assert "RuntimeError: who knows" in str(fault)


def test_a_cause_is_found_in_what_botocore_wraps_but_not_in_the_surroundings() -> None:
    changed = Changed("other bytes")
    assert cause_in(boto.HTTPClientError(error=changed), Changed) is changed
    later = boto.ReadTimeoutError(endpoint_url=URL, error="late")
    later.__context__ = changed  # raised while the other was being handled
    assert cause_in(later, Changed) is None


def test_the_answer_is_read_without_the_numbers_that_botocore_makes_up() -> None:
    assert read_answer(client_error(404, "404")).code == ""
