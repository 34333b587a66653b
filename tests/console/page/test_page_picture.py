"""The page as HTML: it says what the status says, no name in it can do harm, and it needs no script and nothing from elsewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.moments import INBOX, NOW, MadeUp, counts, readings
from support.visitor import Visitor

from syncd.console.facts import Closed, ParkedFacts, Readings, TransferFacts
from syncd.console.page import chart
from syncd.console.page.history import Leaf, page_of
from syncd.console.page.picture import drawn, static
from syncd.console.status import status_document
from syncd.console.words import plain, shell_word
from syncd.model import Happening, Happenings, Pause, State

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus=alert(1) autofocus '",
    "{{ 7 * 7 }}{% raw %}",
    "cam\u202egpj.exe",
    "\u2066\u2069\u200f\u061c",
    "line\nbreak\r\t\x1b[2J\x07",
    "</textarea></style></title><svg/onload=alert(1)>",
    "&lt;b&gt;&#0;",
    "\x00\x7f\x9b31m",
]


class Reader(HTMLParser):
    """The tags with their attributes, the text, and what is in the element with an id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(made: Readings, *lines: Happening, leaf: Leaf | None = None) -> str:
    found = page_of(leaf or Leaf(), Happenings(lines=lines, looked_at=None))
    return drawn(made, status_document(made.status), found)


def full_of(name: str) -> str:
    """The page with this text wherever text of others can stand."""
    raw = name.encode("utf-8", "surrogatepass")
    made = readings(
        device=name,
        counts=counts(parked=1, uploading=1),
        closed=Closed(code="network", text=name, hint=name, since=NOW),
        folders=(replace(INBOX, name=name, path=name, state="blocked", reason=name, hint=name),),
        transfers_total=1,
        transfers=(
            TransferFacts(
                path=name, key=name, size=100, sent=25, parts_done=1, parts_total=4, bytes_per_s=5.0
            ),
        ),
        parked=(ParkedFacts(path=raw, reason=name, hint=name),),
        ledger_full=name,
    )
    line = Happening(id=1, at=NOW, state=State.DONE, why=name, folder=raw, path=raw)
    return page(made, line, leaf=Leaf(word=name))


EVERYWHERE = 10


def harmless(text: str) -> None:
    """Only our own tags and attributes, and no character that is not shown as what it is."""
    read = Reader(text)
    assert not read.open
    ours = {(tag, name) for tag, attributes in Reader(full_of("name")).tags for name in attributes}
    ours.add(("div", "data-live"))  # where nothing is searched for
    assert {(tag, name) for tag, attributes in read.tags for name in attributes} <= ours
    assert [tag for tag, _ in read.tags if tag == "script"] == ["script"]
    everything = "".join(read.words) + "".join(
        value or "" for _, each in read.tags for value in each.values()
    )
    assert all(letter.isprintable() or letter == "\n" for letter in everything)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    text = full_of(name)
    harmless(text)
    shown = " ".join(plain(name).split())
    assert Reader(text).text.count(shown) > EVERYWHERE


@given(st.text(st.characters(codec=None), max_size=20))
def test_so_is_any_name(name: str) -> None:
    harmless(full_of(name))


@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name))
def test_the_command_to_copy_names_the_very_file(name: bytes) -> None:
    word = shell_word(b"/" + name)
    assert plain(word) == word
    if word.startswith("$'"):
        inner = re.sub(
            rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), word[2:-1].encode("ascii")
        )
        assert inner == b"/" + name
        assert "'" not in word[2:-1]
    else:
        assert [part.encode() for part in shlex.split(word)] == [b"/" + name]


@pytest.mark.parametrize(
    "name", [b"a b", b"it's", b"x\xff\x1b\n\\n$(reboot)'", "\u202e\u00e9".encode(), b"'\\'"]
)
def test_a_shell_agrees(name: bytes) -> None:
    said = subprocess.run(["bash", "-c", f"printf %s {shell_word(name)}"], capture_output=True, check=True)
    assert said.stdout == name


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    read = Reader(full_of("name"))
    for tag, attributes in read.tags:
        assert tag not in {"style", "iframe", "object", "base"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href", "action"):
            address = attributes.get(name) or ""
            assert not re.match(r"[a-z]+:|//", address) or address == "data:,", address
    assert [attributes for tag, attributes in read.tags if tag == "script"] == [
        {"src": "page.js", "defer": None}
    ]
    for name in ("page.css", "page.js"):
        assert b"://" not in static(name)
        assert b"@import" not in static(name)
        assert not re.search(rb"innerHTML\s*=[^=]|insertAdjacent|eval|document\.write", static(name))


def test_it_can_be_read_aloud_and_walked_by_keyboard() -> None:
    read = Reader(full_of("name"))
    named = {attributes["id"] for _, attributes in read.tags if "id" in attributes}
    for tag, attributes in read.tags:
        for title in (attributes.get("aria-labelledby") or "").split():
            assert title in named
        if tag in {"section", "nav", "progress", "table", "svg"}:
            assert attributes.get("aria-label") or attributes.get("aria-labelledby")
        assert "tabindex" not in attributes
    assert [tag for tag, _ in read.tags if tag in {"main", "footer", "h1"}] == ["main", "h1", "footer"]
    spoken = [(tag, attributes.get("id")) for tag, attributes in read.tags if "aria-live" in attributes]
    assert spoken == [("h1", "sentence")], "numbers that run are not read aloud"
    assert ("label", {"for": "q"}) in read.tags
    assert dict(read.tags)["html"] == {"lang": "en"}


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({}, "syncd on cam is idle."),
        ({"transfers_total": 1, "in_hand": 1, "counts": counts(uploading=1)}, "syncd on cam is working."),
        ({"paused": Pause(since=NOW)}, "syncd on cam is paused"),
        (
            {"closed": Closed(code="permission", text="s3:PutObject is denied", hint="allow it", since=NOW)},
            "syncd on cam is blocked: s3:PutObject is denied.",
        ),
        ({"counts": counts(discovered=2)}, "syncd on cam is waiting: 2 files not known to be finished yet."),
    ],
)
def test_the_sentence_and_what_to_do_stand_at_the_top(known: dict[str, Any], sentence: str) -> None:
    made = readings(**known)
    read = Reader(page(made))
    assert sentence in read.text
    reasons = status_document(made.status)["reasons"]
    if reasons and reasons[0]["hint"]:
        assert read.text.index(reasons[0]["hint"]) < read.text.index("Pending")
    assert ("header", "news " + made_state(made)) in [
        (tag, attributes.get("class")) for tag, attributes in read.tags
    ]


def made_state(made: Readings) -> str:
    return str(status_document(made.status)["state"])


def test_a_transfer_has_a_bar_and_its_numbers_in_words() -> None:
    flying = TransferFacts(
        path="/srv/inbox/film",
        key="k",
        size=2_000_000,
        sent=500_000,
        parts_done=1,
        parts_total=4,
        bytes_per_s=5e4,
    )
    read = Reader(page(readings(transfers_total=60, transfers=(flying,))))
    assert "25 % of 2.0 MB 1/4 parts 50.0 kB/s 30 s left" in read.text
    assert "and 59 more" in read.text
    bar = next(attributes for tag, attributes in read.tags if tag == "progress")
    assert bar == {"max": "100", "value": "25", "aria-labelledby": "path-1"}


def test_a_parked_file_has_its_reason_its_hint_and_the_command() -> None:
    parked = ParkedFacts(path=b"/srv/inbox/two words", reason="its key is taken", hint="mend the template")
    read = Reader(page(readings(counts=counts(parked=70), parked=(parked,))))
    assert "its key is taken What to do mend the template" in read.text
    assert "syncd retry '/srv/inbox/two words'" in read.text
    assert "and 69 more" in read.text


def test_the_hour_is_a_sentence_and_sixty_bars() -> None:
    hour = (0,) * 30 + (60_000_000, 0, 1) + (0,) * 26 + (30_000_000,)
    assert chart.sentence(hour) == "90.0 MB in the last hour; 1.0 MB/s at best, 29 min ago."
    drawing = Reader(chart.bars(hour))
    bars = [attributes for tag, attributes in drawing.tags if tag == "rect"]
    assert [(bar["x"], bar["height"]) for bar in bars] == [("301", "96"), ("321", "2"), ("591", "48")]
    assert chart.sentence((0,) * 60) == "Nothing was sent in the last hour."
    assert "rect" not in chart.bars((0,) * 60)


def test_no_secret_has_a_way_in() -> None:
    """What the page is made of knows none: no field of the facts is a set of credentials, a token or a header."""
    from dataclasses import fields

    from syncd.console import facts
    from syncd.telemetry.redact import is_secret_name

    kinds = [facts.Readings, facts.StatusFacts, facts.CredentialFacts, facts.FolderFacts, facts.TransferFacts]
    names = [field.name for kind in [*kinds, facts.ParkedFacts, Happening] for field in fields(kind)]
    assert [name for name in names if is_secret_name(name)] == []


def links(text: str) -> dict[str, str]:
    return {
        str(attributes["rel"]): str(attributes["href"])
        for tag, attributes in Reader(text).tags
        if tag == "a" and attributes.get("rel")
    }


def clips(text: str) -> list[str]:
    return re.findall(r"clip-\d{4}", text)


def test_one_leafs_through_all_of_history_and_back(visitor: Visitor, view: MadeUp) -> None:
    view.tell(*(b"clip-%04d" % number for number in range(250)))
    seen: list[str] = []
    addresses, address = list[str](), "/"
    while True:
        text = visitor.get(address).text
        seen += clips(text)
        addresses.append(address)
        if "next" not in links(text):
            break
        address = "/" + links(text)["next"].partition("#")[0]
    assert seen == [f"clip-{number:04d}" for number in range(249, -1, -1)]
    back = "/" + links(visitor.get(addresses[-1]).text)["prev"].partition("#")[0]
    middle = visitor.get(back).text
    assert clips(middle) == seen[100:200] == clips(visitor.get(addresses[1]).text)
    assert clips(visitor.get("/" + links(middle)["next"].partition("#")[0]).text) == seen[200:]
    newest = visitor.get("/" + links(middle)["prev"].partition("#")[0]).text
    assert clips(newest) == seen[:100]
    assert "prev" not in links(newest)


def test_a_search_keeps_its_word_while_one_leafs(visitor: Visitor, view: MadeUp) -> None:
    view.tell(*(b"%s-%d" % (b"a&b" if number % 2 else b"other", number) for number in range(500)))
    text = visitor.get("/?q=a%26b").text
    assert "other" not in text
    assert 'value="a&amp;b"' in text
    assert links(text)["next"].startswith("?q=a%26b&before=")
    older = visitor.get("/" + links(text)["next"].partition("#")[0]).text
    assert "other" not in older
    assert "No path with this in it" in visitor.get("/?q=nowhere").text


def test_what_is_searched_is_left_alone_by_the_script(visitor: Visitor, view: MadeUp) -> None:
    """A page that refreshes itself must not take away what somebody looks at."""
    view.tell(b"one")
    assert '<div id="lines" data-live>' in visitor.get("/").text
    assert '<div id="lines">' in visitor.get("/?q=one").text
