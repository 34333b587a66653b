"""IAM policies as this store reads them: Effect, Action and Resource with wildcards, an explicit Deny wins.

Elements that it cannot judge (Condition, Principal, NotAction ...) are refused when the policy is read, never skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_ELEMENTS = {"Sid", "Effect", "Action", "Resource"}
_VERSIONS = {"2012-10-17", "2008-10-17"}


class MalformedPolicyError(ValueError):
    """The text is no policy that this store can judge; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule: what it allows or denies, on which resources."""

    allow: bool
    actions: tuple[re.Pattern[str], ...]
    resources: tuple[re.Pattern[str], ...]

    def covers(self, action: str, resource: str) -> bool:
        """Whether the rule speaks about this action on this resource."""
        return any(pattern.fullmatch(action) for pattern in self.actions) and any(
            pattern.fullmatch(resource) for pattern in self.resources
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What a role or a session may do: nothing but what a statement allows."""

    statements: tuple[Statement, ...]

    def allows(self, action: str, resource: str) -> bool:
        """Whether some statement allows it and none denies it."""
        verdicts = {each.allow for each in self.statements if each.covers(action, resource)}
        return verdicts == {True}


def allow(actions: Iterable[str], resources: Iterable[str]) -> Policy:
    """The policy of one statement that allows the actions on the resources."""
    return Policy((Statement(True, _patterns(list(actions), re.IGNORECASE), _patterns(list(resources), 0)),))


def parse(text: str) -> Policy:
    """Read a policy document. Raises MalformedPolicyError."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise MalformedPolicyError("the policy is not JSON") from error
    if not isinstance(document, dict) or set(document) - {"Version", "Id", "Statement"}:
        raise MalformedPolicyError("a policy is an object of Version, Id and Statement")
    if document.get("Version", "2008-10-17") not in _VERSIONS:
        raise MalformedPolicyError("unknown Version")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedPolicyError("Statement is missing")
    return Policy(tuple(_statement(each) for each in statements))


def _statement(raw: Any) -> Statement:
    if not isinstance(raw, dict):
        raise MalformedPolicyError("a statement is an object")
    if unknown := set(raw) - _ELEMENTS:
        raise MalformedPolicyError(f"this store cannot judge {', '.join(sorted(unknown))}")
    if raw.get("Effect") not in {"Allow", "Deny"}:
        raise MalformedPolicyError("Effect is Allow or Deny")
    return Statement(
        raw["Effect"] == "Allow",
        _patterns(_texts(raw, "Action"), re.IGNORECASE),
        _patterns(_texts(raw, "Resource"), 0),
    )


def _texts(raw: dict[str, Any], name: str) -> list[str]:
    found = raw.get(name)
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise MalformedPolicyError(f"{name} is a text or a list of texts")
    return texts


def _patterns(globs: list[str], flags: int) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(re.escape(glob).replace(r"\*", ".*").replace(r"\?", "."), flags | re.DOTALL)
        for glob in globs
    )
