"""Who may ask the page, for what, and what goes with every answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import FakeClock
from support.moments import MadeUp, readings
from support.visitor import Visitor

from syncd.console.page.guard import names_of, refusal
from syncd.errors import LedgerFailure
from syncd.model import Pause

PLACES = ["/", "/?q=a", "/status.json", "/metrics", "/healthz", "/page.css", "/page.js"]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_answers_reading_and_nothing_else(visitor: Visitor, place: str) -> None:
    got = visitor.get(place)
    assert got.status == 200
    head = visitor.get(place, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "RETRY"):
        refused = visitor.get(place, method)
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "place", ["/retry", "/pause", "/page.html", "/static/page.css", "/../page.css", "/x"]
)
def test_there_is_nothing_else(visitor: Visitor, place: str) -> None:
    assert visitor.get(place).status == 404
    assert visitor.get(place, "POST").status == 405


def test_only_by_this_machines_own_name(visitor: Visitor) -> None:
    port = visitor.port
    for good in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert visitor.get("/", Host=good).status == 200
    bad = [
        "evil.example",
        f"evil.example:{port}",
        "localhost",
        f"localhost:{port + 1}",
        f"127.0.0.1.nip.io:{port}",
        "",
    ]
    for name in bad:
        for place in PLACES:
            assert visitor.get(place, Host=name).status == 421, name


def test_at_port_80_the_port_may_be_left_out() -> None:
    assert {"localhost", "localhost:80", "127.0.0.1", "[::1]"} <= names_of("localhost", 80)
    assert "localhost" not in names_of("localhost", 8080)
    assert "127.9.9.9:81" in names_of("127.9.9.9", 81)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_page_may_link_here_and_ask_for_nothing(visitor: Visitor, site: str) -> None:
    for place in ("/status.json", "/metrics", "/page.js", "/healthz"):
        assert visitor.get(place, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert visitor.get(place, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 403
    assert visitor.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors").status == 403
    assert visitor.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
    for own in ("same-origin", "none"):
        assert visitor.get("/status.json", Sec_Fetch_Site=own, Sec_Fetch_Mode="cors").status == 200


NAMES = names_of("127.0.0.1", 8384)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "get"]) | st.text(),
    st.sampled_from([*NAMES, "LOCALHOST:8384", "evil:8384", None]) | st.text(),
    st.sampled_from(["same-origin", "none", "same-site", "cross-site", None]) | st.text(),
)
def test_whatever_comes_only_reading_by_our_name_is_let_in(
    method: str, host: str | None, site: str | None
) -> None:
    refused = refusal(method=method, path="/status.json", host=host, site=site, mode="navigate", names=NAMES)
    ours = host is not None and host.lower() in NAMES
    reads, foreign = method in {"GET", "HEAD"}, site in {"same-site", "cross-site"}
    assert (refused is None) is (ours and reads and not foreign)


def test_every_answer_says_what_a_browser_may_do_with_it(visitor: Visitor, view: MadeUp) -> None:
    view.failure = LedgerFailure("no")
    answers = [visitor.get(place) for place in [*PLACES, "/nothing"]]
    answers += [visitor.get("/", "POST"), visitor.get("/", Host="evil.example")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
        assert "set-cookie" not in answer.headers
    kept = {answer.headers["cache-control"] for answer in answers}
    assert kept == {"no-store", "no-cache"}


@pytest.mark.parametrize("place", ["/page.css", "/page.js"])
def test_what_never_changes_is_sent_once(visitor: Visitor, place: str) -> None:
    tag = visitor.get(place).headers["etag"]
    again = visitor.get(place, If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert visitor.get(place, If_None_Match='"another"').status == 200


@pytest.mark.parametrize("address", ["/?before=-1", "/?before=x", "/?after=1e3", "/?before=" + "9" * 19])
def test_an_address_that_no_page_gave_is_refused(visitor: Visitor, address: str) -> None:
    assert visitor.get(address).status == 400


def test_a_failing_ledger_is_told_and_so_is_a_failure_of_ours(
    visitor: Visitor, view: MadeUp, clock: FakeClock
) -> None:
    view.failure = LedgerFailure("the disk is gone", hint="plug it in")
    for place in ("/", "/status.json", "/metrics", "/healthz"):
        said = visitor.get(place)
        assert (said.status, said.text) == (
            503,
            "syncd cannot tell now: the disk is gone\nhint: plug it in\n",
        )
    view.failure = ZeroDivisionError("a secret of ours")
    said = visitor.get("/")
    assert (said.status, said.text) == (500, "syncd could not answer; its log says why\n")
    view.failure = None
    assert visitor.get("/").status == 200


def test_health_is_a_yes_or_a_no_with_the_reason(visitor: Visitor, view: MadeUp, clock: FakeClock) -> None:
    said = visitor.get("/healthz")
    assert (said.status, said.document) == (200, {"ok": True, "state": "idle", "reason": None})
    view.now = readings(round_s=700.0, paused=Pause(since=0.0))
    clock.advance(2)
    said = visitor.get("/healthz")
    assert said.status == 503
    assert said.document == {
        "ok": False,
        "state": "paused",
        "reason": "the daemon has not come round for 11 min 40 s",
    }
