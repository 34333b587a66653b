"""The status document in one sentence, the same on a terminal and on the page. Pure."""

from __future__ import annotations

from typing import Any

from syncd.console.words import bytes_text
from syncd.decide.words import files

Document = dict[str, Any]

_ASIDE = frozenset(
    {
        *("parked", "checksum_ignored", "reading_again", "ledger_begun_anew", "clock", "watch_degraded"),
        "page",
    }
)
"""Reasons that are worth knowing but do not keep anything waiting."""


def headline(document: Document) -> str:
    """State and reason in one sentence, with the numbers of the moment."""
    numbers = _numbers(document)
    return f"{opening(document)}{f': {numbers}' if numbers else ''}."


def opening(document: Document) -> str:
    """The sentence without its full stop and without numbers that run: it changes only when the news does."""
    device, state = document["device"], document["state"]
    if state == "stopped":
        return f"syncd on {device} is not running"
    if state == "paused":
        return f"syncd on {device} is {_reason(document)}"
    if state in {"waiting", "blocked"}:
        return f"syncd on {device} is {state}: {_reason(document)}"
    return f"syncd on {device} is {state}"


def weightiest(document: Document) -> dict[str, str | None] | None:
    """The reason that the sentence is about; None where there is none to tell."""
    reasons = document["reasons"]
    found = [reason for reason in reasons if reason["code"] not in _ASIDE] or reasons
    return found[0] if found else None


def _reason(document: Document) -> str:
    reason = weightiest(document)
    return pending(document) if reason is None else str(reason["text"]).rstrip(".")


def _numbers(document: Document) -> str:
    state = document["state"]
    if state in {"waiting", "blocked"}:
        return ""
    if state in {"stopped", "paused"}:
        return pending(document)
    if state == "working":
        return f"{document['transfers_total']} on their way, {pending(document)}"
    return _rest(document)


def pending(document: Document) -> str:
    """How much is still to be sent."""
    return f"{files(document['counts']['pending'])} pending ({bytes_text(document['bytes']['pending'])})"


def _rest(document: Document) -> str:
    counts = document["counts"]
    parked = f", {files(counts['parked'])} parked" if counts["parked"] else ""
    return f"{files(counts['done'])} uploaded, nothing pending{parked}"
