"""Faults by script: which request is hit, by operation, key, part, n-th call, probability and seed; and every kind by name.

One `Script` may serve store and credential API at once (`store.faults = endpoint.faults = script`): the API's requests
have the operation "Credentials". `told` is what it did, in order; with the seed in a test's message it is the whole story.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, Literal

from support.endpoint import OPERATION as CREDENTIALS

from syncd.demo.store import Fault, Record
from syncd.demo.store.faults import ALL

BODIES: Final = ("PutObject", "UploadPart")
WRITES: Final = ("PutObject", "CompleteMultipartUpload")
S3: Final = (
    *BODIES,
    "HeadObject",
    "CreateMultipartUpload",
    "ListParts",
    "ListMultipartUploads",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
)
WITH_UPLOAD: Final = ("UploadPart", "ListParts", "CompleteMultipartUpload")
WITH_ETAG: Final = (*BODIES, "HeadObject", "ListParts", "CompleteMultipartUpload")
VALIDATED: Final = (
    *BODIES,
    "CreateMultipartUpload",
    "ListParts",
    "ListMultipartUploads",
    "CompleteMultipartUpload",
)

HTML: Final = (
    b"<!doctype html><html><head><title>Log in</title></head><body>Welcome to the hotel.</body></html>"
)

_ERROR: Final = 400

Moment = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Hits the requests that match all of it. `nth` counts those that match the rest, from 1; `times` ends it.

    `key` is a glob; `operation` one name or several; `where` may ask for anything else. A rule for `after` sees only requests that took effect: carried out,
    and about to be answered with success.
    """

    fault: Fault | Callable[[Record], Fault]
    name: str = ""
    operation: str | tuple[str, ...] | None = None
    key: str | None = None
    part: int | None = None
    where: Callable[[Record], bool] | None = None
    nth: int | None = None
    probability: float = 1.0
    times: int | None = None
    when: Moment = "before"

    def matches(self, record: Record, when: Moment) -> bool:
        """Whether the request is of the kind; its number and its luck are not asked."""
        names = (self.operation,) if isinstance(self.operation, str) else self.operation
        return (
            when == self.when
            and (names is None or record.operation in names)
            and (self.key is None or fnmatchcase(record.key, self.key))
            and (self.part is None or record.part_number == self.part)
            and (self.where is None or self.where(record))
        )

    def ask(self, record: Record) -> Fault:
        """What shall happen to this request."""
        return self.fault(record) if callable(self.fault) else self.fault


@dataclass
class _Count:
    matched: int = 0
    hit: int = 0


@dataclass
class Script:
    """Implements `Faults`: the first rule that hits is obeyed. Without `on` nothing happens any more.

    `effects` are the requests that were carried out, whatever their client heard of it; `took_effect` is told of each.
    """

    rules: Iterable[Rule] = ()
    seed: int = 0
    on: bool = True
    told: list[str] = field(default_factory=list)
    requests: int = 0
    effects: list[Record] = field(default_factory=list)
    took_effect: Callable[[Record], None] = lambda record: None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)
        self._rules = [(rule, _Count()) for rule in self.rules]
        self._ended: set[str] = set()

    def add(self, *rules: Rule) -> None:
        """Further rules, behind the others."""
        with self._lock:
            self._rules += [(rule, _Count()) for rule in rules]

    @property
    def hits(self) -> int:
        """How often anything was made to happen."""
        return len(self.told)

    def unmet(self) -> list[str]:
        """The rules that have hit nothing so far, by what they were for."""
        return [f"{rule.name} {rule.operation}" for rule, count in self._rules if not count.hit]

    def before(self, record: Record) -> Fault | None:
        with self._lock:
            self.requests += 1
        fault = self._decide(record, "before")
        if fault is not None and fault.ends:
            self._ended.add(record.request_id)
        return fault

    def after(self, record: Record) -> Fault | None:
        if record.request_id in self._ended or record.status >= _ERROR:
            return None
        self.effects.append(replace(record))
        self.took_effect(record)
        return self._decide(record, "after")

    def writes(self) -> Counter[str]:
        """How often each key was written: by PutObject, or by a Complete that made the object."""
        return Counter(each.key for each in self.effects if each.operation in WRITES)

    def _decide(self, record: Record, when: Moment) -> Fault | None:
        with self._lock:
            rule = self._first_hit(record, when) if self.on else None
        if rule is None:
            return None
        fault = rule.ask(record)  # not under the lock: it may make requests of its own
        with self._lock:
            self.told.append(_line(self.requests, record, rule, fault))
        return fault

    def _first_hit(self, record: Record, when: Moment) -> Rule | None:
        for rule, count in self._rules:
            if rule.matches(record, when) and self._hits(rule, count):
                count.hit += 1
                return rule
        return None

    def _hits(self, rule: Rule, count: _Count) -> bool:
        count.matched += 1
        if rule.nth is not None and count.matched != rule.nth:
            return False
        if rule.times is not None and count.hit >= rule.times:
            return False
        return rule.probability >= 1.0 or self._random.random() < rule.probability


def _line(number: int, record: Record, rule: Rule, fault: Fault) -> str:
    part = "" if record.part_number is None else f"#{record.part_number}"
    return f"{number} {rule.when} {record.operation} {record.key}{part}: {rule.name or _words(fault)}"


def _words(fault: Fault) -> str:
    plain = Fault()
    said = {name: getattr(fault, name) for name in Fault.__dataclass_fields__}
    return " ".join(f"{name}={value!r:.40}" for name, value in said.items() if value != getattr(plain, name))


# -- every kind of trouble, by name: KINDS[name](**where) is a Rule; `where` are fields of Rule, and outdoes the kind's own

Kind = Callable[..., Rule]


def _kind(name: str, fault: Fault | Callable[[Record], Fault], **own: object) -> tuple[str, Kind]:
    def make(**where: object) -> Rule:
        return Rule(fault=fault, **{"name": name, "operation": S3} | own | where)  # type: ignore[arg-type]

    return name, make


def _error(status: int, code: str, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, code=code, message=f"scripted {code}", headers=named)


def _page(status: int, **headers: str) -> Fault:
    """What a captive portal or a proxy says."""
    return Fault(status=status, headers={"Content-Type": "text/html", **headers}, body=HTML, foreign=True)


def _half(record: Record) -> int:
    return record.length // 2


_INSIDE = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code><Message>scripted</Message></Error>'
_ELSEWHERE = "http://127.0.0.1:9/login"

KINDS: Final[dict[str, Kind]] = dict(
    [
        _kind("503 SlowDown", _error(503, "SlowDown")),
        _kind(
            "503 SlowDown after a part of the body",
            lambda r: Fault(status=503, code="SlowDown", take=_half(r)),
        ),
        _kind("429 with Retry-After", _error(429, "TooManyRequests", Retry_After="2")),
        _kind("500 InternalError", _error(500, "InternalError")),
        _kind("500 after the effect", _error(500, "InternalError"), when="after"),
        _kind("403 AccessDenied", _error(403, "AccessDenied")),
        _kind("400 ExpiredToken", _error(400, "ExpiredToken")),
        _kind("403 InvalidAccessKeyId", _error(403, "InvalidAccessKeyId")),
        _kind("403 RequestTimeTooSkewed", _error(403, "RequestTimeTooSkewed")),
        _kind("404 NoSuchBucket", _error(404, "NoSuchBucket")),
        _kind("reset before the body", Fault(reset=True)),
        _kind("reset during the body", lambda r: Fault(reset=True, take=_half(r)), operation=BODIES),
        _kind("reset after the body", Fault(reset=True, take=ALL), operation=BODIES),
        _kind("closed before the body", Fault(drop=True)),
        _kind("black hole before the body", Fault(hang=True)),
        _kind("black hole during the body", lambda r: Fault(hang=True, take=_half(r)), operation=BODIES),
        _kind("never an answer, no effect", Fault(hang=True, take=ALL)),
        _kind("never an answer, with effect", Fault(hang=True), when="after"),
        _kind("answer lost after the effect", Fault(drop=True), when="after"),
        _kind("reset after the effect", Fault(reset=True), when="after"),
        _kind(
            "answer broken off after the effect", Fault(truncate=20), when="after", operation=VALIDATED[2:]
        ),
        _kind(
            "200 with an error body", Fault(status=200, body=_INSIDE), operation=("CompleteMultipartUpload",)
        ),
        _kind(
            "200 with an error body after the effect",
            Fault(status=200, body=_INSIDE),
            operation=("CompleteMultipartUpload",),
            when="after",
        ),
        _kind("empty 200", Fault(status=200, body=b""), operation=VALIDATED),
        _kind("empty 200 after the effect", Fault(status=200, body=b""), operation=VALIDATED, when="after"),
        _kind("HTML 200", _page(200), operation=VALIDATED),
        _kind("301 to a portal", _page(301, Location=_ELSEWHERE)),
        _kind("302 to a portal", _page(302, Location=_ELSEWHERE)),
        _kind("307 to a portal", _page(307, Location=_ELSEWHERE)),
        _kind("dripping Complete", Fault(drip=0.8), operation=("CompleteMultipartUpload",), when="after"),
        _kind("throttled body", lambda r: Fault(pace=max(r.length, 1) / 0.3), operation=BODIES),
        _kind(
            "wrong ETag", Fault(etag='"00000000000000000000000000000000"'), operation=WITH_ETAG, when="after"
        ),
        _kind("empty ETag", Fault(etag=""), operation=WITH_ETAG, when="after"),
        _kind("bare ETag", Fault(etag="bare"), operation=WITH_ETAG, when="after"),
        _kind("flipped bit", lambda r: Fault(flip=4 * r.length), operation=BODIES),
        _kind("upload aborted behind our back", Fault(abort=True), operation=WITH_UPLOAD),
    ]
)


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _set(expiration: object) -> Fault:
    keys = {
        "AccessKeyId": "ASIASCRIPTED",
        "SecretAccessKey": "scripted-canary-secret",
        "SessionToken": "scripted-canary",
    }
    return Fault(status=200, body=_json({"Credentials": keys | {"Expiration": expiration}}))


def _api(name: str, fault: Fault | Callable[[Record], Fault], **own: object) -> tuple[str, Kind]:
    return _kind(name, fault, **{"operation": CREDENTIALS} | own)


API_KINDS: Final[dict[str, Kind]] = dict(
    [
        _api("API 401", _error(401, "unauthorized")),
        _api("API 403", _error(403, "forbidden")),
        _api("API 429 with Retry-After", _error(429, "slow_down", Retry_After="2")),
        _api("API 500", _error(500, "internal")),
        _api("API 503", _error(503, "unavailable", Retry_After="1")),
        _api("API reset", Fault(reset=True)),
        _api("API closed", Fault(drop=True)),
        _api("API black hole", Fault(hang=True)),
        _api("API answer lost", Fault(drop=True), when="after"),
        _api("API answer broken off", Fault(truncate=20), when="after"),
        _api("API drips", Fault(drip=0.8), when="after"),
        _api("API empty 200", Fault(status=200, body=b"")),
        _api("API HTML 200", _page(200)),
        _api("API 302", _page(302, Location=_ELSEWHERE)),
        _api("API garbage", Fault(status=200, body=_json({"Credentials": {"AccessKeyId": 7}}))),
        _api("API 100 MB", Fault(status=200, body=b" " * 65536, repeat=1600)),
        _api("API set that has expired", _set("2001-01-01T00:00:00+00:00")),
        _api("API expiry without a zone", _set("2999-01-01T00:00:00")),
    ]
)
