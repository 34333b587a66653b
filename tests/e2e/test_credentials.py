"""Credentials that end during an upload are renewed before; without the API the old ones serve, and without any it waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.rig import Rig, noise


@pytest.mark.torture
def test_sessions_much_shorter_than_the_upload_are_renewed_with_about_one_call_each(tmp_path: Path) -> None:
    with Rig(tmp_path, session_seconds=8) as rig:
        rig.pace.seconds = 1.2  # the store judges a request this late; the keeper renews 2.6 s before the end
        rig.drop("film", noise(160 << 20))
        rig.start()
        rig.wait(lambda: rig.arrived() == 1, seconds=90.0, what="the object")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
        sessions = {record.access_key for record in rig.successes("UploadPart")}
        assert len(sessions) >= 2, "the upload did not outlast its sessions"
        renewals = [event for event in rig.events if event["event"] == "credentials_renewed"]
        assert rig.endpoint.calls <= len(renewals) + 1
        failed = [
            record for record in rig.store.log if record.operation == "UploadPart" and record.status != 200
        ]
        assert len(failed) <= 1, [record.code for record in failed]


def test_the_api_may_go_away_while_the_credentials_last(tmp_path: Path) -> None:
    with Rig(tmp_path, session_seconds=900) as rig:
        rig.drop("first", b"abc")
        rig.start()
        rig.wait(lambda: rig.arrived() == 1, what="the first object")
        rig.endpoint.stop()
        rig.drop("second", b"abc")
        rig.wait(lambda: rig.arrived() == 2, what="the second object")


def test_without_the_api_at_the_start_it_waits_and_then_works(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.endpoint.stop()
        rig.drop("film", b"abc")
        rig.start()
        rig.wait(lambda: rig.has_told("credentials_renewal_failed"), what="a failed call")
        rig.wait(lambda: rig.has_told("destination_waits"), what="the waiting")
        assert not rig.store.log
        rig.endpoint.start()
        rig.wait(lambda: rig.arrived() == 1, seconds=90.0, what="the object")
        assert rig.stop() == 0
        assert not [event for event in rig.events if event["event"] == "transfer_parked"]


def test_a_store_that_drops_every_connection_for_a_while_costs_nothing_but_time(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        for number in range(10):
            rig.drop(f"film {number}", noise(1000 + number))
        rig.pace.down = True
        rig.start()
        rig.wait(lambda: len(rig.store.log) >= 5, what="some attempts")
        rig.pace.down = False
        rig.wait(lambda: rig.arrived() == 10, seconds=90.0, what="all objects")
        assert rig.stop() == 0
        rig.assert_everything_arrived_once()
