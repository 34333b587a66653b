"""The YAML file of devices: what it may say, what it must not, and how changes of it arrive."""

from __future__ import annotations

import errno
import hmac
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.credential_api.devices import BadRegistration, Device, digest_of, new_token, overlaps
from syncd.credential_api.registry import Registry, parse_registry

A, B = digest_of("a"), digest_of("b")
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts a registry in place, by rename."""

    def put(text: str) -> Path:
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        return fresh.replace(tmp_path / "devices.yaml")

    return put


def one(fields: str) -> str:
    return f'devices:\n  cam-07: {{token_sha256: "{A}", bucket: captures, {fields}}}\n'


def test_a_device_has_sensible_defaults(write: Write) -> None:
    device = Registry(write(one(""))).by_digest(A)
    assert device == Device(name="cam-07", bucket="captures", prefix="cam-07/")


def test_everything_can_be_said(write: Write) -> None:
    text = f"""
defaults: {{bucket: captures}}
devices:
  cam-07:
    token_sha256: ["{A}", "{B.upper()}"]   # rotation
    prefix: site-1/cam-07/
    enabled: false
    expires: 2027-01-15T09:00:00+01:00
    list_uploads: true
    tagging: true
    kms_key_arn: arn:aws:kms:eu-central-1:123456789012:key/abc
"""
    registry = Registry(write(text))
    assert registry.by_digest(A) == registry.by_digest(B)
    assert registry.by_digest(A) == Device(
        name="cam-07",
        bucket="captures",
        prefix="site-1/cam-07/",
        enabled=False,
        expires_at=1_800_000_000.0,
        list_uploads=True,
        tagging=True,
        kms_key_arn="arn:aws:kms:eu-central-1:123456789012:key/abc",
    )


@pytest.mark.parametrize("digest", ["", "x", B, A[:-1], A.upper(), "a"])
def test_what_is_no_digest_of_a_device_finds_none(write: Write, digest: str) -> None:
    assert Registry(write(one(""))).by_digest(digest) is None


@pytest.mark.parametrize("text", ["devices:\n", "devices: {}\n", "devices: {}\ndefaults: {bucket: b-1}\n"])
def test_a_registry_may_be_empty(write: Write, text: str) -> None:
    assert Registry(write(text)).by_digest(A) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *(
            (text, "expected the keys devices")
            for text in ("", "# nothing yet", "defaults: {bucket: b-1}", "0")
        ),
        ("devices: [a]", "devices: expected one key for each device"),
        ("devices: []", "devices: expected one key for each device"),
        ("devices: {cam-07: {bucket: {{ bucket }}}}", ":1: cannot be read as YAML: a key is no text"),
        ("devices: !!map x", "cannot be read as YAML"),
        ("devices: {a: !!bool x}", "cannot be read as YAML"),
        ("devices: {a: !!timestamp x}", "cannot be read as YAML"),
        *(
            (
                f"defaults: {{bucket: {bucket}}}\ndevices: {{}}",
                "defaults.bucket is wrong, expected text, in quotes",
            )
            for bucket in ("123", "", "[a]")
        ),
        ("- a", "expected the keys devices"),
        ("device: {}", "expected the keys devices"),
        ("defaults: {prefix: x/}\ndevices: {}", "defaults: expected {bucket: NAME}"),
        ("devices: {a: {", "cannot be read as YAML"),
        ("a: !!python/object:os.system {}", "cannot be read as YAML"),
        ("devices: {cam-07: 7}", "devices.cam-07: expected keys such as token_sha256 and bucket"),
        ("devices: {no: {}}", "devices.False: the name is no text, expected it in quotes"),
        (f'devices: {{cam-07: {{token_sha256: "{A}"}}}}', "devices.cam-07: bucket is missing"),
        ("devices: {cam-07: {bucket: captures}}", "expected the SHA-256 of the token as 64 hex digits"),
        ("devices: {cam-07: {bucket: captures, token_sha256: []}}", "64 hex digits"),
        ("devices: {cam-07: {bucket: captures, token_sha256: abc}}", "64 hex digits"),
        ("devices: {cam-07: {bucket: captures, token_sha256: [7]}}", "64 hex digits"),
        (f'devices: {{"a b": {{token_sha256: "{A}", bucket: captures}}}}', "devices.a b: the name is none"),
        (one("tokens: x"), "tokens is no key of a device, expected one of token_sha256"),
        (one("enabled: 1"), "enabled is wrong, expected true or false"),
        (one("tagging: null"), "tagging is wrong, expected true or false"),
        (one("expires: 2027-01-01"), "expected a time with its zone such as 2027-01-01T00:00:00Z"),
        (one("expires: 2027-01-01T00:00:00"), "expected a time with its zone"),
        (one("expires: soon"), "expected a time with its zone"),
        (one("expires: 7"), "expires is wrong, expected text, in quotes"),
        *(
            (one(f'prefix: "{prefix}"'), "prefix is none")
            for prefix in ("x", "/x/", "x//", "../", "x/*/", "$/", "/")
        ),
        (one("kms_key_arn: abc"), "kms_key_arn is none"),
        (
            one("kms_key_arn: arn:aws:kms:eu-central-1:123456789012:alias/reef"),
            "an alias will not do: in a policy's Resource its ARN means the alias",
        ),
        (one("bucket: Up"), "bucket is given twice"),
        (one("").replace("captures", "Up"), "bucket is none"),
        (
            one("") + f'  cam-07: {{token_sha256: "{B}", bucket: captures}}',
            ":3: cannot be read as YAML: cam-07 is given twice",
        ),
        (
            one("") + f'  cam-08: {{token_sha256: "{A}", bucket: captures}}',
            "devices.cam-08: has a token that cam-07 has too",
        ),
        (
            one("") + f'  cam-08: {{token_sha256: "{B}", bucket: captures, prefix: cam-07/x/}}',
            "devices.cam-08: its prefix cam-07/x/ lies in that of cam-07 (cam-07/)",
        ),
        (
            one("") + f'  cam-08: {{token_sha256: "{B}", bucket: captures, prefix: cam-07/}}',
            "lies in that of cam-07",
        ),
    ],
)
def test_a_mistake_is_told_with_file_device_and_what_was_expected(write: Write, text: str, says: str) -> None:
    with pytest.raises(BadRegistration) as bad:
        Registry(write(text))
    told = "\n".join(bad.value.problems)
    assert says in told
    assert "devices.yaml" in told
    assert A not in told


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    with pytest.raises(BadRegistration) as bad:
        Registry(write("devices: {a: {bucket: 7}, b: {x: 1, y: 2}, c: 3}"))
    assert len(bad.value.problems) == 4


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path, write: Write) -> None:
    with pytest.raises(BadRegistration, match="No such file"):
        Registry(tmp_path / "none")
    path = write("")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRegistration, match="not UTF-8"):
        Registry(path)


def test_the_same_prefix_in_another_bucket_is_another_place(write: Write) -> None:
    other = f'  cam-08: {{token_sha256: "{B}", bucket: others, prefix: cam-07/}}'
    assert Registry(write(one("") + other)).by_digest(B) is not None


@given(st.lists(st.lists(st.sampled_from("ab-0"), min_size=1, max_size=4), max_size=8))
def test_overlaps_are_found_exactly_where_there_are_some(prefixes: list[list[str]]) -> None:
    devices = [
        Device(name=str(n), bucket="b", prefix="/".join(each) + "/") for n, each in enumerate(prefixes)
    ]
    overlapping = any(
        one is not other and one.prefix.startswith(other.prefix) for one in devices for other in devices
    )
    assert bool(list(overlaps(devices))) == overlapping


class Watched:
    """A registry, the file that it watches, and clocks that a test sets; the wall is far ahead of what is written."""

    def __init__(self, write: Write, text: str) -> None:
        self.path = write(text)
        self.now = 0.0
        self.age: float | None = None
        self.registry = Registry(self.path, wall=self._wall, monotonic=lambda: self.now)

    def _wall(self) -> float:
        return time.time() + 60 if self.age is None else self.path.stat().st_mtime + self.age

    def device(self) -> Device | None:
        return self.registry.by_digest(A)

    def enabled(self) -> bool | None:
        device = self.device()
        return None if device is None else device.enabled


def test_a_changed_file_counts_from_the_next_request_on(write: Write) -> None:
    watched = Watched(write, one(""))
    write(one("enabled: false"))
    assert watched.enabled() is False
    write("devices: {}")
    assert [watched.device() for _ in range(5)] == [None] * 5
    assert watched.registry.parses == 3


def test_a_file_that_was_written_in_place_counts_too(write: Write) -> None:
    watched = Watched(write, one(""))
    before = watched.path.stat()
    watched.path.write_text(one("").replace("captures", "captured"))
    os.utime(watched.path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    device = watched.device()
    assert device is not None
    assert device.bucket == "captured"


def test_a_change_shows_even_where_size_and_time_of_writing_are_those_of_before(write: Write) -> None:
    watched = Watched(write, one(""))
    before = watched.path.stat()
    while watched.path.stat().st_ctime_ns == before.st_ctime_ns:
        watched.path.write_text(one("").replace("captures", "captured"))
        os.utime(watched.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    device = watched.device()
    assert device is not None
    assert device.bucket == "captured"


def test_what_is_still_being_written_is_left_until_it_has_rested(write: Write) -> None:
    watched = Watched(write, one(""))
    watched.path.write_text("devices:\n")
    for watched.age in (0.0, 0.9, -0.2):
        assert watched.device() is not None
    watched.path.write_text(one("enabled: false"))
    watched.age = 0.5
    assert watched.enabled() is True
    watched.age = 1.1
    assert watched.enabled() is False


def test_a_time_of_writing_that_is_yet_to_come_does_not_keep_a_file_out(write: Write) -> None:
    watched = Watched(write, one(""))
    write(one("enabled: false"))
    watched.age = -3600.0
    assert watched.enabled() is False


def test_what_changes_while_it_is_read_is_not_believed(
    write: Write, monkeypatch: pytest.MonkeyPatch, events: list[Any]
) -> None:
    watched = Watched(write, one(""))
    write(one("tagging: true"))
    original = Path.read_text

    def read_text(self: Path, **options: Any) -> str:
        text = original(self, **options)
        write(one("enabled: false"))
        return text

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", read_text)
        device = watched.device()
        assert device is not None
        assert not device.tagging
        with pytest.raises(BadRegistration, match="changed while it was read"):
            Registry(watched.path)
    assert [event["event"] for event in events] == ["registry_refused"]
    assert watched.enabled() is False


@pytest.mark.parametrize("broken", ["devices: {", "devices: 7", "", "defaults: {bucket: captures}", None])
def test_a_broken_file_is_logged_once_and_the_old_one_goes_on(
    write: Write, events: list[Any], broken: str | None
) -> None:
    watched = Watched(write, one(""))
    if broken is None:
        watched.path.unlink()
    else:
        write(broken)
    for watched.now in range(0, 60, 3):
        assert watched.device() is not None
    assert [event["event"] for event in events] == ["registry_refused"]
    assert 10 <= watched.registry.parses <= 14
    write(one("enabled: false"))
    assert watched.enabled() is False


@pytest.mark.parametrize("trouble", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_trouble_with_reading_passes_though_the_file_stays_as_it_is(
    write: Write, monkeypatch: pytest.MonkeyPatch, events: list[Any], trouble: Exception
) -> None:
    watched = Watched(write, one(""))
    write(one("enabled: false"))

    def read_text(*_: Any, **__: Any) -> str:
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", read_text)
        assert watched.enabled() is True
    assert [event["event"] for event in events] == ["registry_refused"]
    assert watched.enabled() is True
    watched.now = 5.0
    assert watched.enabled() is False


def fleet(size: int) -> str:
    lines = (f'  d{n}: {{token_sha256: "{digest_of(str(n))}", bucket: captures}}\n' for n in range(size))
    return "devices:\n" + "".join(lines)


def test_ten_thousand_devices_answer_as_fast_as_ten(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compared: list[None] = []
    original = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append(None)
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    digests = [digest_of(str(n)) for n in range(10)] * 100
    took = {}
    for size in (10, 10_000):
        registry = Registry(write(fleet(size)))
        compared.clear()
        begun = time.perf_counter()
        assert all(registry.by_digest(digest) is not None for digest in digests)
        took[size] = time.perf_counter() - begun
        assert registry.parses == 1
        assert len(compared) == len(digests)
    with capsys.disabled():
        sys.stdout.write(f"\n10,000 devices take {took[10_000] / took[10]:.2f} times as long as 10\n")
    assert took[10_000] < 20 * took[10]


def test_tokens_are_long_random_and_fit_into_a_header() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) > 40 and token.isascii() and " " not in token for token in tokens)


@given(st.text(max_size=200))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    with suppress(BadRegistration):
        parse_registry(text, Path("devices.yaml"))
