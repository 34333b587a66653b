"""The XML that S3 and STS speak: documents written, and the two that are read, taken apart without any entities."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from syncd.demo.store.refusals import S3Error

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

Node = tuple[str, "str | int | Sequence[Node]"]


def document(root: str, children: Sequence[Node], *, namespace: str | None = S3_NAMESPACE) -> bytes:
    """An XML document of the children, each a name with a text, a number or children of its own."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    return f"{_DECLARATION}<{root}{attribute}>{_inner(children)}</{root}>".encode()


def element(name: str, text: str) -> bytes:
    """One element with a text, for a document that is being changed."""
    return _inner([(name, text)]).encode()


def read_document(content: bytes, root: str) -> ET.Element:
    """The root element, names without their namespace. Raises S3Error MalformedXML."""
    if b"<!" in content:
        raise malformed()
    try:
        element = ET.fromstring(content)  # noqa: S314 - no declaration can be in it
    except ET.ParseError:
        raise malformed() from None
    for each in element.iter():
        each.tag = each.tag.rpartition("}")[2]
    if element.tag != root:
        raise malformed()
    return element


def malformed() -> S3Error:
    """The document is not what the operation wants."""
    return S3Error(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def timestamp(seconds: float) -> str:
    """The time as S3's documents have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def quoted(etag: str) -> str:
    """An ETag as S3 shows it."""
    return f'"{etag}"'


def _inner(children: Sequence[Node]) -> str:
    return "".join(
        f"<{name}>{_text(value) if isinstance(value, str | int) else _inner(value)}</{name}>"
        for name, value in children
    )


def _text(value: str | int) -> str:
    escaped = escape(str(value), {'"': "&quot;"})
    return _CONTROL.sub(lambda match: f"&#x{ord(match.group()):x};", escaped)
