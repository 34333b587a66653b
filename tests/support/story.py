"""One story from everybody: status, page, metrics and log of a running daemon are compared, once they have settled.

With SYNCD_TEST_PAGE=1 every `Rig` has the page on and is compared so before it is stopped: in every scenario.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from support.visitor import Visitor

from syncd.console.headline import opening

PATIENCE_S = 20.0


def assert_one_story(status: Callable[[], dict[str, Any]], port: int, events: list[dict[str, Any]]) -> None:
    """They may be a second apart: the page is drawn once a second."""
    end = time.monotonic() + PATIENCE_S
    while differences := list(told_differently(status, Visitor(port), events)):
        assert time.monotonic() < end, differences


def told_differently(
    status: Callable[[], dict[str, Any]], visitor: Visitor, events: list[dict[str, Any]]
) -> list[str]:
    document, page = visitor.get("/status.json").document, html.unescape(visitor.get("/").text)
    families = text_string_to_metric_families(visitor.get("/metrics").text)
    metrics = {
        (each.name, *each.labels.values()): each.value for family in families for each in family.samples
    }
    told = status()
    sent = {each["path"] for each in events if each.get("event") == "transfer_done"}
    arrived = sum(told["counts"][state] for state in ("verified", "done", "superseded"))
    in_this_life = told["last_success_at"] is not None and told["last_success_at"] >= told["started_at"]
    agreements = {
        "status.json": lasting(told) == lasting(document),
        "the page's badge": f'<p class="badge">{told["state"]}</p>' in page,
        "the page's sentence": f"{opening(told)}." in page,
        "the page's reasons": all(
            text in page for each in told["reasons"] for text in (each["text"], each["hint"]) if text
        ),
        "the state in the metrics": {
            label for (name, *rest), on in metrics.items() if name == "syncd_state" and on for label in rest
        }
        == {told["state"]},
        "the files in the metrics": all(
            kind == "pending" or metrics["syncd_files", kind] == count
            for kind, count in told["counts"].items()
        ),
        "the reasons in the metrics": {
            label for name, *rest in metrics if name == "syncd_reason" for label in rest
        }
        == {each["code"] for each in told["reasons"]},
        "the log": len(sent) <= arrived and (sent or told["counts"]["verified"] or not in_this_life),
    }
    return [f"{what}: {lasting(told)}" for what, agrees in agreements.items() if not agrees]


def lasting(document: dict[str, Any]) -> dict[str, Any]:
    """What does not run from one second to the next."""
    return {
        **{key: document[key] for key in ("state", "counts", "device", "started_at")},
        "reasons": [(each["code"], each["hint"], each["since"]) for each in document["reasons"]],
        "transfers": [(each["path"], each["key"], each["size"]) for each in document["transfers"]],
        "folders": [(each["path"], each["state"], each["watch"]) for each in document["folders"]],
    }
