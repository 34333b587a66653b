"""What Prometheus collects: readable by its own parser, the same as the status, and all that alerts and dashboard ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.moments import CREDENTIALS, INBOX, NOW, counts, readings
from support.visitor import Visitor

from syncd.console.facts import CredentialFacts, Readings
from syncd.console.page.metrics import FAMILIES, exposition, metrics_table
from syncd.model import State, Totals

DOCS = Path(__file__).parents[3] / "docs"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(made: Readings) -> Samples:
    families = list(text_string_to_metric_families(exposition(made).decode()))
    found = [sample for family in families for sample in family.samples]
    read = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}
    assert len(read) == len(found), "a sample came twice"
    return read


def value(read: Samples, name: str, **labels: str) -> float | None:
    return read.get((name, frozenset(labels.items())))


def test_every_family_has_its_help_and_its_kind_and_a_name_as_prometheus_wants_it() -> None:
    text = exposition(readings()).decode()
    for family in FAMILIES:
        assert f"# HELP {family.name} {family.help}\n" in text
        assert f"# TYPE {family.name} {family.kind}\n" in text
        assert re.fullmatch(r"syncd_[a-z]+(_[a-z]+)*", family.name)
        assert family.help.endswith(".")
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


def test_the_numbers_are_those_of_the_facts() -> None:
    made = readings(
        counts=counts(parked=2, settled=4, done=9),
        totals=Totals(sent_bytes=5000, resent_bytes=70, possible_orphans=1, last_success_at=NOW - 33),
        bodies={"acknowledged": 8, "network": 2},
        retries={"store": 3},
        transfers_total=4,
    )
    read = samples(made)
    assert value(read, "syncd_info", version="1.2.3", device="cam") == 1
    assert value(read, "syncd_last_success_age_seconds") == 33
    assert value(read, "syncd_oldest_pending_age_seconds") == 30
    assert value(read, "syncd_pending_bytes") == 400
    assert value(read, "syncd_pending_files") == 4
    assert value(read, "syncd_sent_bytes_total") == 5000
    assert value(read, "syncd_resent_bytes_total") == 70
    assert value(read, "syncd_parts_total", outcome="acknowledged") == 8
    assert value(read, "syncd_parts_total", outcome="network") == 2
    assert value(read, "syncd_retries_total", kind="store") == 3
    assert value(read, "syncd_credentials_remaining_seconds") == 600.5
    assert value(read, "syncd_clock_offset_seconds") == 0.5
    assert value(read, "syncd_ledger_size_bytes") == 4096
    assert value(read, "syncd_files", state="done") == 9
    assert value(read, "syncd_files", state="parked") == 2
    assert value(read, "syncd_reason", code="parked") == 1
    assert value(read, "syncd_folder_scan_duration_seconds", folder="inbox") == 0.25
    assert value(read, "syncd_folder_watches", folder="inbox") == 7
    assert value(read, "syncd_folder_free_bytes", folder="inbox") == 10**9
    assert value(read, "syncd_folder_ok", folder="inbox") == 1
    assert value(read, "syncd_healthy") == 1


def test_what_is_not_known_has_no_sample() -> None:
    nothing = readings(
        credentials=CredentialFacts(source="api"),
        totals=Totals(),
        counts=counts(),
        folders=(),
        started_at=None,
    )
    names = {name for name, _ in samples(nothing)}
    absent = {
        "syncd_last_success_age_seconds",
        "syncd_oldest_pending_age_seconds",
        "syncd_start_time_seconds",
    }
    absent |= {"syncd_credentials_remaining_seconds", "syncd_clock_offset_seconds", "syncd_folder_ok"}
    assert names & absent == set()


def test_credentials_that_have_ended_have_nothing_left() -> None:
    from dataclasses import replace

    read = samples(readings(credentials=replace(CREDENTIALS, expires_at=NOW - 5, state="expired")))
    assert value(read, "syncd_credentials_remaining_seconds") == 0


def test_a_hostile_folder_name_stays_one_label() -> None:
    from dataclasses import replace

    name = 'a"} 1\nsyncd_healthy 0 \\'
    read = samples(readings(folders=(replace(INBOX, name=name),)))
    assert value(read, "syncd_folder_files", folder=name) == 3
    assert value(read, "syncd_healthy") == 1


def test_it_is_served_as_prometheus_wants_it(visitor: Visitor) -> None:
    said = visitor.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain; version=")
    assert said.body == exposition(readings())


def test_the_page_about_metrics_is_the_collector() -> None:
    page = (DOCS / "metrics.md").read_text("utf-8")
    table = re.search(r"^\| Metric \| Kind .*?\n(?=\n)", page, re.DOTALL | re.MULTILINE)
    assert table is not None
    assert table[0] == metrics_table(), "put what metrics_table() gives into docs/metrics.md"


def asked_by_alerts() -> Iterator[str]:
    for group in yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
            yield rule["expr"]
            yield from rule["annotations"].values()


def asked_by_dashboard() -> Iterator[str]:
    board = json.loads((DOCS / "grafana.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query")


LABELS: dict[str, set[str]] = {
    "state": {*("idle", "working", "waiting", "blocked", "paused", "stopped", "parked"), *State},
}


@pytest.mark.parametrize("source", [asked_by_alerts, asked_by_dashboard])
def test_every_metric_that_is_asked_for_exists_with_its_labels(source: Any) -> None:
    known = {family.name: {*family.labels, "instance"} for family in FAMILIES}
    asked = 0
    for text in source():
        for name, labels in re.findall(r"\b(syncd_[a-z_]+)(?:\{([^}]*)\})?", text):
            asked += 1
            assert name in known, f"{name} in {text}"
            for label, _, given in re.findall(r'(\w+)(=~?|!=)"([^"]*)"', labels):
                assert label in known[name], text
                assert label not in LABELS or given in LABELS[label], text
    assert asked > 10


def test_the_lists_of_the_issue_are_there() -> None:
    """What an operator was promised to find."""
    wanted = {
        *("syncd_last_success_age_seconds", "syncd_oldest_pending_age_seconds", "syncd_pending_bytes"),
        *("syncd_sent_bytes_total", "syncd_resent_bytes_total", "syncd_parts_total", "syncd_retries_total"),
        *("syncd_credentials_remaining_seconds", "syncd_clock_offset_seconds", "syncd_ledger_size_bytes"),
        *("syncd_folder_scan_duration_seconds", "syncd_folder_watches", "syncd_folder_free_bytes"),
    }
    assert wanted <= {family.name for family in FAMILIES}
