"""What a fault does to a request and to its answer, for every server of the demo."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace

from syncd.demo.loopback import Answer, Body, DroppedError, HungError, ResetError
from syncd.demo.store.documents import element
from syncd.demo.store.faults import Fault

Hook = Callable[[int, memoryview], None]

_ETAG = re.compile(rb"<ETag>[^<]*</ETag>")
_DECLARATION = re.compile(rb"<\?xml[^>]*\?>\s*")
_PATIENCE = b" " * 8192  # what a slow Complete sends while it works
_STEPS_PER_S = 20


def befall(fault: Fault, body: Body, stopping: threading.Event) -> None:
    """All of it that comes before an answer. Raises DroppedError, HungError or ResetError where none goes out."""
    _burden(fault, body, stopping)
    if fault.delay and stopping.wait(fault.delay):
        raise DroppedError
    if fault.take is not None:
        for _ in body.blocks(fault.take):
            pass
    if fault.hang:
        raise HungError
    if fault.reset:
        raise ResetError
    if fault.drop:
        raise DroppedError


def dress(fault: Fault, answer: Answer, *, patient: bool = False) -> Answer:
    """The answer as it goes out. `patient`: dripping, it is whitespace before the document, as S3 does for Complete."""
    if fault.etag is not None:
        answer = _with_etag(answer, fault.etag)
    if fault.drip is not None and patient and answer.body:
        answer = replace(answer, body=_with_patience(answer.body))
    if fault.drip is not None:
        answer = replace(answer, drip=fault.drip)
    return answer if fault.truncate is None else replace(answer, truncate=fault.truncate)


def _burden(fault: Fault, body: Body, stopping: threading.Event) -> None:
    if fault.pace is not None:
        body.step = max(1, int(fault.pace / _STEPS_PER_S))
        body.hooks.append(_pacer(fault.pace, stopping))
    if fault.flip is not None and body.length:
        body.hooks.append(_flipper(fault.flip % (8 * body.length)))


def _pacer(pace: float, stopping: threading.Event) -> Hook:
    def wait(_offset: int, block: memoryview) -> None:
        if stopping.wait(len(block) / pace):
            raise DroppedError

    return wait


def _flipper(bit: int) -> Hook:
    place, mask = bit // 8, 1 << bit % 8

    def flip(offset: int, block: memoryview) -> None:
        if offset <= place < offset + len(block):
            block[place - offset] ^= mask

    return flip


def _with_etag(answer: Answer, etag: str) -> Answer:
    headers = {name: etag if name.lower() == "etag" else text for name, text in answer.headers.items()}
    shown = element("ETag", etag)
    return replace(answer, headers=headers, body=_ETAG.sub(lambda _: shown, answer.body))


def _with_patience(body: bytes) -> bytes:
    declared = _DECLARATION.match(body)
    cut = declared.end() if declared else 0
    return body[:cut] + _PATIENCE + body[cut:]
