"""syncd beside the clients that others use, in one run: seconds of CPU, seconds, and memory. A program, not a test.

    .venv/bin/python tests/bench/peers.py [--rounds 5] [--gib 4] [--files 1000]

Every client sends the same sparse file, and the same small files, to the same null sink on this machine (http: no TLS, no
disk, no network), in 16 MiB parts with 4 in flight, by turns. What is printed is the median of each and its ratio to boto3 in
the same run; machines are noisy, ratios last. CPU is user and system time of the client's processes, start-up included, less
what the same client takes for one empty file: that stands in a column of its own. Clients that are not on the PATH
(aws, rclone, s5cmd) are left out and named.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.rig import Rig
from support.sink import Sink

GIB = 1 << 30
PART = 16 << 20
SMALL = 64 << 10
BUCKET = "captures"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIABENCH", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}

BOTO3 = f"""
import pathlib, sys
import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from concurrent.futures import ThreadPoolExecutor
url, folder = sys.argv[1:]
config = Config(s3={{"addressing_style": "path"}}, max_pool_connections=8)
client = boto3.client("s3", endpoint_url=url, config=config)
how = TransferConfig(multipart_threshold={PART}, multipart_chunksize={PART}, max_concurrency=4)
def send(path):
    client.upload_file(str(path), "{BUCKET}", f"boto3/{{path.name}}", Config=how)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(send, sorted(pathlib.Path(folder).iterdir())))
"""


@dataclass(frozen=True)
class Cost:
    """What one run of a client took."""

    cpu_s: float
    seconds: float
    peak_mib: float


def measure(command: list[str], env: dict[str, str]) -> Cost:
    """Run it to its end; the CPU of it and of its children. Raises if it does not succeed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            raise RuntimeError(f"{command[0]}: exit {child.returncode}: {said.read()[-2000:].decode()}")
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1024)


def clients(url: str, place: Path) -> dict[str, Callable[[Path], Cost]]:
    """By name: send a folder. `place`: for their configurations."""
    env = {"PATH": os.environ["PATH"], "HOME": str(place), "AWS_CONFIG_FILE": str(place / "aws"), **KEYS}
    (place / "aws").write_text(
        "[default]\ns3 =\n  addressing_style = path\n  max_concurrent_requests = 4\n"
        f"  multipart_threshold = {PART}\n  multipart_chunksize = {PART}\n"
    )
    remote = (
        f":s3,provider=Other,env_auth=true,endpoint='{url}',no_check_bucket=true,no_head=true:{BUCKET}/rclone"
    )
    part_mb = str(PART >> 20)
    commands: dict[str, Callable[[Path], list[str]]] = {
        "boto3": lambda folder: [sys.executable, "-c", BOTO3, url, str(folder)],
        "aws": lambda folder: [
            *("aws", "--endpoint-url", url, "s3", "cp", "--recursive", "--only-show-errors"),
            *(str(folder), f"s3://{BUCKET}/aws/"),
        ],
        "rclone": lambda folder: [
            *("rclone", "copy", "--no-traverse", "--no-check-dest", "--transfers", "4"),
            *("--s3-upload-concurrency", "4", "--s3-chunk-size", f"{part_mb}Mi", "--s3-upload-cutoff"),
            *(f"{part_mb}Mi", str(folder), remote),
        ],
        "s5cmd": lambda folder: [
            *("s5cmd", "--endpoint-url", url, "cp", "--concurrency", "4", "--part-size", part_mb),
            *(f"{folder}/*", f"s3://{BUCKET}/s5cmd/"),
        ],
    }
    there = {name: make for name, make in commands.items() if name == "boto3" or shutil.which(name)}
    say("left out, not on the PATH: " + (", ".join(sorted(commands.keys() - there.keys())) or "none"))
    return {
        "syncd": lambda folder: send_by_syncd(url, folder),
        **{
            name: lambda folder, make=make: measure(make(folder), env)  # type: ignore[misc]
            for name, make in there.items()
        },
    }


def send_by_syncd(url: str, folder: Path) -> Cost:
    """`syncd run --once` over a folder, with a ledger that knows nothing; credentials from an API as ever."""
    with tempfile.TemporaryDirectory() as place, Rig(Path(place) / "rig", part_size="16MiB") as rig:
        text = rig.config.read_text().replace(rig.store.url, url).replace(str(rig.inbox), str(folder))
        rig.config.write_text(text)
        return measure(rig.command("run", "--once"), dict(os.environ))


def folders(place: Path, size: int, files: int) -> dict[str, Path]:
    """One empty file; one large; many small."""
    made = {name: place / name for name in ("start", "large", "small")}
    for folder in made.values():
        folder.mkdir()
    (made["start"] / "empty.raw").touch()
    with (made["large"] / "film.raw").open("wb") as file:
        file.truncate(size)
    for number in range(files):
        (made["small"] / f"{number:06}.raw").write_bytes(os.urandom(SMALL))
    return made


def compare(rounds: int, size: int, files: int) -> None:
    with tempfile.TemporaryDirectory() as name, Sink() as sink:
        place = Path(name)
        ways, made = clients(sink.url, place), folders(place, size, files)
        costs: dict[tuple[str, str], list[Cost]] = {(way, what): [] for way in ways for what in made}
        for number in range(rounds):
            order = list(ways) if number % 2 else list(reversed(ways))
            for way in order:
                for what, folder in made.items():
                    costs[way, what].append(ways[way](folder))
            say(f"round {number + 1} of {rounds}")
        table(list(ways), costs, size, files)


def table(ways: list[str], costs: dict[tuple[str, str], list[Cost]], size: int, files: int) -> None:
    def median(way: str, what: str, of: Callable[[Cost], float]) -> float:
        return statistics.median(of(cost) for cost in costs[way, what])

    def cpu(way: str, what: str) -> float:
        return median(way, what, lambda cost: cost.cpu_s) - median(way, "start", lambda cost: cost.cpu_s)

    say(
        f"{'':8}{'start':>8}  {'CPU s/GiB':>9} {'ratio':>6} {'MiB/s':>7} {'MiB':>5}  {'ms/file':>8} {'ratio':>6} {'files/s':>8}"
    )
    for way in ways:
        per_gib, per_file = cpu(way, "large") / (size / GIB), cpu(way, "small") / files * 1000
        pace = size / (1 << 20) / median(way, "large", lambda cost: cost.seconds)
        rate = files / median(way, "small", lambda cost: cost.seconds)
        large = f"{per_gib:9.2f} {cpu(way, 'large') / cpu('boto3', 'large'):6.2f} {pace:7.0f}"
        memory = median(way, "large", lambda cost: cost.peak_mib)
        small = f"{per_file:8.2f} {cpu(way, 'small') / cpu('boto3', 'small'):6.2f} {rate:8.0f}"
        say(f"{way:8}{median(way, 'start', lambda cost: cost.cpu_s):8.2f}  {large} {memory:5.0f}  {small}")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what it is for


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--gib", type=float, default=4.0)
    arguments.add_argument("--files", type=int, default=1000)
    asked = arguments.parse_args()
    compare(asked.rounds, int(asked.gib * GIB), asked.files)


if __name__ == "__main__":
    main()
