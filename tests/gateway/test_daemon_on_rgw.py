"""The daemon as a child process, with credentials of `credential-api serve`, on a gateway that enforces what they say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from support.child import until
from support.edge import sha256
from support.rig import noise
from support.site import NewSite, Site

pytestmark = pytest.mark.gateway

MIB = 1 << 20
FILM = noise(40 * MIB)
PARTS = 8


def goes_on(site: Site, key: str, before: dict[int, Any]) -> None:
    """The same upload gets the other parts, and those that were there stay as they arrived."""
    seen = before

    def is_done() -> bool:
        nonlocal seen
        seen = site.estate.parts(key) or seen
        return key in site.estate.object_keys()

    until(is_done, 90, "the object", site.edge.status)
    assert {number: seen.get(number) for number in before} == before
    assert [number for number in before if site.estate.sent(key)[number] > 1] == []
    assert sha256(site.estate.read(key)) == sha256(FILM)
    assert site.edge.wait_until_done("film")["proof"] == "md5"
    assert site.edge.status()["bytes"]["resent_total"] <= 2 * 5 * MIB


def test_a_device_that_is_switched_off_gets_no_more_sessions_until_it_is_switched_on(
    new_site: NewSite,
) -> None:
    site = new_site(session="6s")
    site.edge.start()
    site.edge.drop("before", b"before")
    site.edge.wait_until_done("before")
    site.api.write_entry("cam", enabled=False)
    until(
        lambda: site.edge.status()["credentials"]["state"] == "refused", 30, "the refusal", site.edge.status
    )
    site.edge.drop("meanwhile", b"meanwhile")
    status = site.edge.status()
    assert status["state"] == "blocked"
    assert any("switched off" in reason["text"] for reason in status["reasons"])
    assert site.edge.explain("meanwhile")["state"] != "done"
    site.api.write_entry("cam", enabled=True)
    key = site.edge.wait_until_done("meanwhile", 120)["key"]
    assert site.estate.read(key) == b"meanwhile"
    site.stop()


def test_files_of_every_size_arrive_whole_and_proved_over_tls_alone(new_site: NewSite) -> None:
    site = new_site()
    site.estate.require_tls()
    site.edge.start()
    files = {"empty": b"", "small": b"12345", "film": noise(23 * MIB), "second film": noise(11 * MIB, 2)}
    for name, data in files.items():
        site.edge.drop(name, data)
    for name, data in files.items():
        told = site.edge.wait_until_done(name)
        assert told["proof"] == "md5"
        assert sha256(site.estate.read(told["key"])) == sha256(data)
    status = site.edge.status()
    assert [reason["code"] for reason in status["reasons"]] == ["checksum_ignored"]
    assert (status["state"], status["counts"]["done"]) == ("idle", 4)
    site.stop()


def test_a_small_file_that_changed_replaces_its_own_object_and_no_other(new_site: NewSite) -> None:
    site = new_site()
    site.edge.start()
    key = site.edge.drop("notes", b"first")
    site.edge.wait_until_done("notes")
    site.edge.drop("notes", b"second")
    until(lambda: site.estate.read(key) == b"second", 30, "the second version", site.edge.status)
    site.estate.admin.put_object(Bucket=site.estate.bucket, Key="cam/taken", Body=b"a stranger's")
    site.edge.drop("taken", b"ours")
    until(lambda: site.edge.explain("taken")["parked_reason"], 30, "the refusal", site.edge.status)
    assert site.estate.read("cam/taken") == b"a stranger's"
    site.stop()


def test_sessions_of_seconds_are_renewed_in_mid_upload_and_no_part_is_sent_twice(new_site: NewSite) -> None:
    site = new_site(session="8s", rate="4MB/s")
    site.edge.start()
    key = site.edge.drop("film", FILM)
    site.edge.wait_until_done("film")
    assert len(site.edge.daemon.told("credentials_renewed")) >= 2
    assert site.estate.sent(key) == Counter(range(1, PARTS + 1))
    assert sha256(site.estate.read(key)) == sha256(FILM)
    assert site.edge.status()["bytes"]["resent_total"] == 0
    site.stop()


def test_a_session_that_ended_while_the_api_was_away_stops_the_upload_until_it_is_back(
    new_site: NewSite,
) -> None:
    site = new_site(session="6s", rate="3MB/s")
    site.edge.start()
    key = site.edge.drop("film", FILM)
    until(lambda: len(site.estate.parts(key)) >= 2, 30, "the first parts", site.edge.status)
    site.api.stop()
    until(lambda: site.edge.status()["credentials"]["state"] == "expired", 30, "the end", site.edge.status)
    before = site.estate.parts(key)
    assert site.edge.status()["state"] in {"waiting", "blocked"}
    assert site.edge.explain("film")["state"] == "uploading"
    assert len(before) < PARTS
    site.api.start()
    goes_on(site, key, before)
    site.stop()


def test_a_prefix_that_is_not_its_own_locks_the_device_out(new_site: NewSite) -> None:
    site = new_site(destination={"prefix": "other/"})
    site.edge.start()
    site.edge.drop("small", b"12345")
    site.edge.drop("film", FILM)
    until(lambda: site.edge.status()["state"] == "blocked", 30, "the lock-out", site.edge.status)
    assert [reason["code"] for reason in site.edge.status()["reasons"]] == ["permission"]
    assert site.estate.object_keys() == []
    site.stop()


def test_without_its_policy_the_role_locks_the_device_out_until_the_policy_is_back(new_site: NewSite) -> None:
    site = new_site(rate="4MB/s")
    site.edge.start()
    key = site.edge.drop("film", FILM)
    until(lambda: len(site.estate.parts(key)) >= 2, 30, "the first parts", site.edge.status)
    site.estate.forbid_uploads()
    until(lambda: site.edge.status()["state"] == "blocked", 30, "the lock-out", site.edge.status)
    before = site.estate.parts(key)
    [reason] = [each for each in site.edge.status()["reasons"] if each["code"] == "permission"]
    assert "AccessDenied" in reason["text"]
    site.estate.allow_uploads()
    goes_on(site, key, before)
    site.stop()


def test_gateway_and_storage_killed_in_mid_upload_lose_no_part_that_they_acknowledged(
    new_site: NewSite,
) -> None:
    site = new_site(rate="4MB/s")
    site.edge.start()
    key = site.edge.drop("film", FILM)
    until(lambda: len(site.estate.parts(key)) >= 3, 30, "the first parts", site.edge.status)
    before = site.estate.parts(key)
    site.estate.gateway.kill()
    until(lambda: site.edge.status()["state"] != "working", 60, "the daemon to notice", site.edge.status)
    site.estate.gateway.start()
    goes_on(site, key, before)
    site.stop()


def test_a_restarted_daemon_goes_on_under_another_session_with_the_upload_of_the_first(
    new_site: NewSite,
) -> None:
    site = new_site(rate="4MB/s")
    site.edge.start()
    key = site.edge.drop("film", FILM)
    until(lambda: len(site.estate.parts(key)) >= 3, 30, "the first parts", site.edge.status)
    site.edge.daemon.kill()
    before = site.estate.parts(key)
    site.edge.start()
    goes_on(site, key, before)
    assert len(site.api.server.told("credentials_issued")) == 2
    site.stop()
