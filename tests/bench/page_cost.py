"""What fifty open pages cost an upload: a program, not a test.

    .venv/bin/python tests/bench/page_cost.py [--pairs 7] [--gib 4] [--clients 50]

One daemon sends sparse files to the null sink, by turns alone and while so many clients each ask for `/` and `/status.json`
every two seconds, which is more than an open page asks for (`/` only). Pairs lie side by side and take turns in going first; what
counts is the median of their ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.rig import Rig
from support.sink import Sink
from support.visitor import free_port

GIB = 1 << 30
EVERY_S = 2.0
PLACES = ("/", "/status.json")


async def poll(port: int, start_s: float) -> None:
    """One client: a connection that stays, each place once in every two seconds."""
    await asyncio.sleep(start_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        began = time.monotonic()
        for place in PLACES:
            writer.write(f"GET {place} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            assert head.startswith("HTTP/1.1 200"), head
            length = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
            await reader.readexactly(length)
        await asyncio.sleep(max(EVERY_S - (time.monotonic() - began), 0.0))


async def poll_all(port: int, clients: int) -> None:
    await asyncio.gather(*(poll(port, EVERY_S * number / clients) for number in range(clients)))


@contextlib.contextmanager
def looked_at(port: int, clients: int) -> Iterator[None]:
    """So many clients ask, in a process of their own."""
    command = [sys.executable, __file__, "--port", str(port), "--clients", str(clients)]
    child = subprocess.Popen(command)
    try:
        time.sleep(EVERY_S + 1.0)  # until all of them have asked
        assert child.poll() is None
        yield
        assert child.poll() is None, "the clients gave up"
    finally:
        child.kill()
        child.wait()


def send(rig: Rig, sink: Sink, size: int) -> tuple[float, float]:
    """A sparse file from its appearance to its end at the sink: seconds, and the daemon's own seconds of CPU."""
    before = sink.counts()["large"]
    hidden = rig.inbox / f".{before}.partial"
    with hidden.open("wb") as file:
        file.truncate(size)
    cpu, began = cpu_s(rig.pid()), time.monotonic()
    hidden.rename(rig.inbox / f"{before}.raw")
    rig.wait(lambda: sink.counts()["large"] > before, 600, what="the upload")
    return time.monotonic() - began, cpu_s(rig.pid()) - cpu


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def measure(pairs: int, size: int, clients: int) -> None:
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as place,
        Sink() as sink,
        Rig(Path(place), part_size="16MiB", listen=port) as rig,
    ):
        rig.config.write_text(rig.config.read_text().replace(rig.store.url, sink.url))
        rig.start()
        send(rig, sink, size)
        ratios = [pair(rig, sink, size, port, clients, number) for number in range(pairs)]
        assert rig.stop() == 0
    time_s, cpu = (statistics.median(each) for each in zip(*ratios, strict=True))
    said = f"{time_s:.3f} times as long, {cpu:.3f} times the CPU"
    print(f"median of {pairs} pairs with {clients} clients: {said}")  # noqa: T201 - what it is for


def pair(rig: Rig, sink: Sink, size: int, port: int, clients: int, number: int) -> tuple[float, float]:
    took: dict[bool, tuple[float, float]] = {}
    for watched in (False, True) if number % 2 else (True, False):
        with looked_at(port, clients) if watched else contextlib.nullcontext():
            took[watched] = send(rig, sink, size)
    alone, seen = took[False], took[True]
    print(  # noqa: T201 - what it is for
        f"alone {alone[0]:.2f} s (CPU {alone[1]:.2f} s), looked at {seen[0]:.2f} s (CPU {seen[1]:.2f} s): {seen[0] / alone[0]:.3f}",
        flush=True,
    )
    return seen[0] / alone[0], seen[1] / alone[1]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pairs", type=int, default=7)
    arguments.add_argument("--gib", type=float, default=4.0)
    arguments.add_argument("--clients", type=int, default=50)
    arguments.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.port is not None:
        asyncio.run(poll_all(asked.port, asked.clients))
    else:
        measure(asked.pairs, int(asked.gib * GIB), asked.clients)


if __name__ == "__main__":
    main()
