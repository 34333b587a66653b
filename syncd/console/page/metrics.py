"""What Prometheus collects: a table of families, each read from the same facts as the status. No global registry.

What is not known has no sample. Counters of bytes live as long as the ledger, the others as long as the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from syncd.console.facts import FolderFacts, Readings
from syncd.console.page.health import unwell
from syncd.console.status import STATES, remaining_s, status_document

Sample = tuple[tuple[str, ...], float | None]
Values = Callable[[Readings], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its labels' names, and how it is read off."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Values

    @property
    def kind(self) -> str:
        """As Prometheus calls it; the name says which."""
        return "counter" if self.name.endswith("_total") else "gauge"


def _one(read: Callable[[Readings], float | None]) -> Values:
    return lambda facts: [((), read(facts))]


def _per_folder(read: Callable[[FolderFacts, float], float | None]) -> Values:
    return lambda facts: [((each.name,), read(each, facts.status.now)) for each in facts.status.folders]


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else max(now - at, 0.0)


def _states(facts: Readings) -> Iterator[Sample]:
    state = status_document(facts.status)["state"]
    return (((each,), float(each == state)) for each in STATES)


def _reasons(facts: Readings) -> Iterator[Sample]:
    return (
        ((code,), 1.0) for code in {each["code"] or "" for each in status_document(facts.status)["reasons"]}
    )


def _files(facts: Readings) -> Iterator[Sample]:
    counts = facts.status.counts
    yield from (((state.value,), float(count)) for state, count in counts.by_state.items())
    yield ("parked",), float(counts.parked)


FAMILIES = (
    Family(
        "syncd_info",
        "Always 1: which syncd this is.",
        ("version", "device"),
        lambda facts: [((facts.status.version, facts.status.device), 1.0)],
    ),
    Family(
        "syncd_healthy",
        "1 while /healthz says yes: something got on within 10 minutes, or nothing is to do.",
        (),
        _one(lambda facts: float(unwell(facts, status_document(facts.status)) is None)),
    ),
    Family("syncd_state", "1 for the state that the whole is in, 0 for the others.", ("state",), _states),
    Family("syncd_reason", "1 for each reason that the status names.", ("code",), _reasons),
    Family(
        "syncd_start_time_seconds",
        "When the daemon was started, in seconds since the epoch by its own clock.",
        (),
        _one(lambda facts: facts.status.started_at),
    ),
    Family(
        "syncd_last_success_age_seconds",
        "How long ago a file was last proven to be stored; absent if none ever was.",
        (),
        _one(lambda facts: _ago(facts.status.totals.last_success_at, facts.status.now)),
    ),
    Family(
        "syncd_oldest_pending_age_seconds",
        "How long ago the oldest file that is neither proven nor parked was met; absent if there is none.",
        (),
        _one(lambda facts: _ago(facts.status.counts.oldest_pending_at, facts.status.now)),
    ),
    Family(
        "syncd_files", "Files by state; those that are parked are counted there only.", ("state",), _files
    ),
    Family(
        "syncd_pending_files",
        "Files before done and not parked; those that are proven and wait for after_upload count here, without bytes and without an age.",
        (),
        _one(lambda facts: facts.status.counts.pending),
    ),
    Family(
        "syncd_pending_bytes",
        "Bytes of pending files that are still to be sent.",
        (),
        _one(lambda facts: facts.status.counts.pending_bytes),
    ),
    Family(
        "syncd_sent_bytes_total",
        "Bytes that the destination acknowledged, over the life of the ledger.",
        (),
        _one(lambda facts: facts.status.totals.sent_bytes),
    ),
    Family(
        "syncd_resent_bytes_total",
        "Bytes that were sent in vain and had to go again, over the life of the ledger.",
        (),
        _one(lambda facts: facts.status.totals.resent_bytes),
    ),
    Family(
        "syncd_parts_total",
        "Parts, and files that go in one piece, by how they ended: acknowledged, or why not.",
        ("outcome",),
        lambda facts: [((outcome,), float(count)) for outcome, count in sorted(facts.bodies.items())],
    ),
    Family(
        "syncd_retries_total",
        "Requests to the destination that were made again within seconds, by the kind of failure.",
        ("kind",),
        lambda facts: [((kind,), float(count)) for kind, count in sorted(facts.retries.items())],
    ),
    Family("syncd_transfers", "Files on their way.", (), _one(lambda facts: facts.status.transfers_total)),
    Family(
        "syncd_possible_orphans",
        "Uploads that crashes may have left open at the destination.",
        (),
        _one(lambda facts: facts.status.totals.possible_orphans),
    ),
    Family(
        "syncd_credentials_remaining_seconds",
        "How long the credentials in use are still valid, 0 when they have ended; absent without any.",
        (),
        _one(lambda facts: remaining_s(facts.status)),
    ),
    Family(
        "syncd_clock_offset_seconds",
        "By how much this machine's clock is ahead of the servers'; absent until one has told the time.",
        (),
        _one(lambda facts: facts.status.credentials.clock_offset_s),
    ),
    Family(
        "syncd_ledger_size_bytes", "Size of the ledger's file.", (), _one(lambda facts: facts.ledger_bytes)
    ),
    Family(
        "syncd_folder_ok",
        "1 while the folder is there and can be seen whole.",
        ("folder",),
        _per_folder(lambda folder, _: float(folder.state in {"ok", "scanning"})),
    ),
    Family(
        "syncd_folder_files",
        "Files of the folder that the ledger stands for.",
        ("folder",),
        _per_folder(lambda folder, _: folder.files),
    ),
    Family(
        "syncd_folder_free_bytes",
        "Free bytes on the folder's file system.",
        ("folder",),
        _per_folder(lambda folder, _: folder.free_bytes),
    ),
    Family(
        "syncd_folder_scan_duration_seconds",
        "How long the last whole scan took; absent before the first.",
        ("folder",),
        _per_folder(lambda folder, _: folder.scan_s),
    ),
    Family(
        "syncd_folder_scan_age_seconds",
        "How long ago the last whole scan ended; absent before the first.",
        ("folder",),
        _per_folder(lambda folder, now: _ago(folder.last_scan_at, now)),
    ),
    Family(
        "syncd_folder_watches",
        "Directories of the folder that the kernel watches.",
        ("folder",),
        _per_folder(lambda folder, _: folder.watches),
    ),
)


class ReadingsCollector(Collector):
    """All families, of one moment."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Called by the library."""
        for family in FAMILIES:
            made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            metric = made(family.name, family.help, labels=family.labels)
            for labels, value in family.values(self._readings):
                if value is not None:
                    metric.add_metric(labels, value)
            yield metric


def exposition(readings: Readings) -> bytes:
    """The text that /metrics answers with."""
    return generate_latest(ReadingsCollector(readings))


def metrics_table() -> str:
    """Every family with its kind, labels and meaning, as a Markdown table."""
    rows = [
        f"| `{family.name}` | {family.kind} | {', '.join(f'`{label}`' for label in family.labels)} | {family.help} |"
        for family in FAMILIES
    ]
    return "\n".join(["| Metric | Kind | Labels | Meaning |", "| --- | --- | --- | --- |", *rows, ""])
