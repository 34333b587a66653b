"""The store as a process of its own, so that it can be killed: prints one JSON line, ends with its parent."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from syncd.demo.store import Store

_LOOK_AT_PARENT = 0.25


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or the parent's death."""
    options = _read(arguments)
    parent = os.getppid()
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    store = Store(
        options.dir,
        bucket=options.bucket,
        min_part_size=options.min_part_size,
        min_session_seconds=options.min_session,
        role_may=options.role_may,
        port=options.port,
        journal=options.dir / "requests.jsonl",
    )
    with store:
        sys.stdout.write(json.dumps(_introduction(store)) + "\n")
        sys.stdout.flush()
        while not done.wait(_LOOK_AT_PARENT) and os.getppid() == parent:
            pass
    return 0


def _read(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m syncd.demo.store", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--bucket", default="captures")
    parser.add_argument("--min-part-size", type=int, default=5 << 20, help="bytes, all parts but the last")
    parser.add_argument("--min-session", type=int, default=900, help="shortest session in seconds")
    parser.add_argument("--role-may", action="append", default=[], help="a further action of the role")
    return parser.parse_args(arguments)


def _introduction(store: Store) -> dict[str, str | int]:
    return {
        "url": store.url,
        "access_key": store.access_key,
        "secret_key": store.secret_key,
        "role_arn": store.role_arn,
        "bucket": store.bucket,
        "region": store.region,
        "pid": os.getpid(),
    }


if __name__ == "__main__":
    sys.exit(main())
