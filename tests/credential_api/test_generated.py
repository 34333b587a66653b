"""Two thousand generated requests against the real server: no 5xx, no traceback, no secret, always the contract's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from support.serving import Serving

TOKEN = "tok-CANARY-of-cam-07"
NAMES = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PATHS = ("/v1/credentials", "/v1/credentials/presign")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path, "--session", "60s", "--burst", "1000000") as serving:
        yield serving


methods = st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "TRACE"]) | st.text(
    NAMES, min_size=1, max_size=8
)
targets = st.sampled_from(PATHS) | st.builds(
    lambda base, rest: base + rest,
    st.sampled_from(["", "/", *PATHS]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
)
values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)
authorization = st.sampled_from([f"Bearer {TOKEN}", TOKEN, f"bearer   {TOKEN}", "", "Bearer x"]) | values
known = st.sampled_from(
    [
        *(
            "Content-Type: application/json",
            "Expect: 100-continue",
            "Cookie: a=b",
            "X-Forwarded-For: 1.2.3.4",
        ),
        *("Accept-Encoding: gzip", "Range: bytes=0-1", "If-None-Match: *", "Content-Encoding: gzip"),
        *("Upgrade: h2c", "X-HTTP-Method-Override: PUT", "Connection: keep-alive, upgrade", "Host: [::1"),
        *(
            "Host: a b",
            "Transfer-Encoding: gzip",
            "Authorization: Bearer twice",
            "Origin: null",
            "TE: trailers",
        ),
    ]
)
headers = st.lists(
    known | st.builds("{}: {}".format, st.text(NAMES, min_size=1, max_size=12), values), max_size=5
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {"device": st.sampled_from(["cam-07", "cam-08"]) | anything},
    optional={
        "path": st.sampled_from(["a/b.mp4", "../x"]) | anything,
        "size": st.integers() | anything,
        "content_type": st.sampled_from(["video/mp4", "a\r\nb"]) | anything,
    },
)
plausible = st.builds(
    lambda path, size: {"device": "cam-07", "path": path, "size": size},
    st.text(max_size=20),
    st.integers(0, 6 << 30),
)
bodies = st.binary(max_size=60) | (fields | plausible | anything).map(lambda each: json.dumps(each).encode())


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    body = draw(bodies | st.just(b"") | st.integers(4090, 9000).map(lambda size: b"x" * size))
    lines = [f"{draw(methods)} {draw(targets)} HTTP/{draw(st.sampled_from(['1.0', '1.1']))}"]
    # Expect without a body is forbidden to clients, and waitress waits half a minute for the body that is announced so.
    lines += [each for each in draw(headers) if body or not each.lower().startswith("expect")]
    lines.append("Host: localhost")
    if token := draw(authorization):
        lines.append(f"Authorization: {token}")
    chunked = draw(st.booleans()) and body
    lines += [
        "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def judge(serving: Serving, request: bytes) -> int:
    status, headers, body = serving.raw(request)
    assert status < 500, (status, body)
    assert b"Traceback" not in body
    assert TOKEN.encode() not in body
    assert status == 204 or headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert "date" in headers
    if body:
        document = json.loads(body)
        assert status == 200 or set(document["error"]) == {"code", "message"}
    return status


@pytest.mark.parametrize("number", [200, pytest.param(2000, marks=pytest.mark.torture)])
def test_requests_of_any_kind_are_answered_and_tell_no_secret(serving: Serving, number: int) -> None:
    seen: dict[int, int] = {}

    @settings(
        max_examples=number,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def ask(request: bytes) -> None:
        status = judge(serving, request)
        event(str(status))
        seen[status] = seen.get(status, 0) + 1

    ask()
    assert sum(seen.values()) >= 0.95 * number, seen
    assert {200, 400, 401, 404, 405} <= seen.keys(), seen
    assert serving.stop() == 0
    log = serving.log
    assert "Traceback" not in log
    assert "exception" not in log
    assert not [secret for secret in [*serving.secrets(), "CANARY"] if secret in log]
    assert all(
        each["event"] in {"refused", "credentials_issued", "upload_presigned"} for each in serving.events()
    )
