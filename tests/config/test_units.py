from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.units import duration_text, parse_duration, parse_rate, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("1B", 1),
        ("2kB", 2000),
        ("16KiB", 16 * 1024),
        ("16MiB", 16 * 2**20),
        ("16 MiB", 16 * 2**20),
        ("2MB", 2_000_000),
        ("1.5GiB", 3 * 2**29),
        ("5TiB", 5 * 2**40),
        ("0.5kB", 500),
    ],
)
def test_a_size_with_a_unit_is_its_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "16",
        "MiB",
        "16mib",
        "16M",
        "16Mb",
        "-1B",
        "1e3B",
        "0.3B",
        "1.5B",
        "1_000B",
        "16MiB ",
        "16\nMiB",
        "٣B",
        "1.B",
        "9" * 19 + "B",
    ],
)
def test_a_size_that_leaves_a_doubt_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|whole"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("500ms", 0.5),
        ("0.5s", 0.5),
        ("10s", 10),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1d2h3m4s5ms", 93784.005),
        ("90m", 5400),
    ],
)
def test_a_duration_with_a_unit_is_its_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        "10S",
        "10sec",
        "-1s",
        "1m1h",
        "1s1s",
        "1h 30m",
        "10s\n",
        "1e3s",
        "36501d",
        "9" * 18 + "d",
        "0.0000001s",
        "٣s",
    ],
)
def test_a_duration_that_leaves_a_doubt_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|than"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=2**59))
def test_a_size_reads_back_from_its_text(size: int) -> None:
    assert parse_size(size_text(size)) == size


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)))
def test_a_duration_reads_back_from_its_text(span: timedelta) -> None:
    assert parse_duration(duration_text(span)) == span


def test_texts_are_the_ones_a_person_would_write() -> None:
    assert [size_text(size) for size in (0, 16 * 2**20, 2_000_000, 1537, 5 * 2**30)] == [
        "0B",
        "16MiB",
        "2MB",
        "1537B",
        "5GiB",
    ]
    spans = (
        timedelta(0),
        timedelta(seconds=120),
        timedelta(minutes=90),
        timedelta(milliseconds=1500),
        timedelta(days=1),
    )
    assert [duration_text(span) for span in spans] == ["0s", "2m", "1h30m", "1s500ms", "1d"]


@pytest.mark.parametrize(("text", "rate"), [("2MB/s", 2_000_000), ("500KiB/s", 512_000), ("1.5 kB/s", 1500)])
def test_a_rate_is_bytes_per_second(text: str, rate: int) -> None:
    assert parse_rate(text) == rate
