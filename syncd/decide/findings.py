"""What a check of `syncd doctor` may say: the checks, the verdicts, and a finding with its remedy.

Refuses to find anything out: `decide.doctor` judges, `decide.troubles` has the words.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # it works, and is worth a look
    FAIL = "fail"  # something cannot work as things stand
    SKIPPED = "skipped"  # what it needs is not there


class Check(enum.StrEnum):
    """What is looked at, in this order; those of the folders come once for each."""

    CONFIGURATION = "configuration"
    USER = "user"
    API_NAME = "api DNS"
    API_LINE = "api TLS"
    API_ANSWER = "api answer"
    CREDENTIALS = "credentials"
    PROXY = "proxy"
    STORE_NAME = "store DNS"
    STORE_LINE = "store TLS"
    REGION = "region"
    BUCKET = "bucket"
    PREFIX = "prefix"
    PUT = "put"
    CHECKSUM = "checksum"
    CONDITION = "condition"
    PROOF = "proof"
    CREATE = "create upload"
    PART = "upload part"
    LIST = "list parts"
    COMPLETE = "complete"
    ABORT = "abort upload"
    STALE = "stale uploads"
    CLOCK = "clock"
    WATCHES = "watches"
    DESCRIPTORS = "descriptors"
    LEDGER = "ledger"
    LEDGER_SPACE = "ledger space"
    FOLDER = "folder"
    FOLDER_SPACE = "folder space"
    WRITERS = "open writers"
    DISPOSAL = "after_upload"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `hint`: what an operator can do, one sentence; None where there is nothing to do."""

    check: Check
    verdict: Verdict
    text: str
    hint: str | None = None


def well(check: Check, text: str) -> Finding:
    """All is as it should be."""
    return Finding(check, Verdict.OK, text)


def skipped(checks: Iterable[Check], why: str) -> list[Finding]:
    """What was not looked at, and why not."""
    return [Finding(check, Verdict.SKIPPED, why) for check in checks]


def without(checks: Iterable[Check], needed: Check) -> list[Finding]:
    """What was not looked at, because this check failed."""
    return skipped(checks, f"needs {needed}")


def passed(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
