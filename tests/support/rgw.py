"""A real object gateway on loopback that enforces trust policy, role policy, session policy and expiry: one-node Ceph.

`rgw-cluster` beside this file starts and ends its processes; here it gets a place, free ports, and clients.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

SCRIPT = Path(__file__).with_name("rgw-cluster")
NEEDED = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool", "openssl", "curl")
REGION = "us-east-1"
_ACCESS = re.compile(
    r'beast: .*\] "(?P<method>[A-Z]+) [^ ?]*\??(?P<query>[^ ]*) HTTP/1.1" (?P<status>[0-9]+) '
)

# Botocore insists on 900 s for a session, and would add a checksum by aws-chunked, which this gateway refuses over https.
CONFIG = Config(
    parameter_validation=False,
    retries={"total_max_attempts": 1},
    proxies={},
    request_checksum_calculation="when_required",
    s3={"addressing_style": "path"},
)


def missing() -> list[str]:
    """The programs that the gateway needs and this machine lacks."""
    return [name for name in NEEDED if shutil.which(name) is None]


@dataclass(frozen=True, slots=True)
class Keys:
    """What requests are signed with: a user's keys, or a session's."""

    access: str
    secret: str
    token: str | None = None

    @staticmethod
    def of(assumed: dict[str, Any]) -> Keys:
        """Those of AssumeRole's answer, or of the credential API's."""
        given = assumed["Credentials"]
        return Keys(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


@dataclass(frozen=True, slots=True)
class Request:
    """A line of the gateway's access log."""

    method: str
    query: str
    status: int

    @property
    def part(self) -> int | None:
        """The number of the part that it brought, where it was accepted."""
        number = re.search(r"partNumber=([0-9]+)", self.query)
        return int(number[1]) if number and (self.method, self.status) == ("PUT", 200) else None


class Gateway:
    """The gateway between `start` and `wipe`, at `url` and `tls_url`.

    Users: `admin` makes roles and owns buckets, `issuer` may ask for sessions, `stranger` has no right at all.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._ports = dict(zip(("RGW_PORT", "RGW_TLS_PORT", "RGW_MON_PORT"), free_ports(3), strict=True))
        self._told: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['RGW_PORT']}"

    @property
    def tls_url(self) -> str:
        return f"https://localhost:{self._ports['RGW_TLS_PORT']}"

    @property
    def ca_file(self) -> str:
        return self._told["CA_BUNDLE"]

    @property
    def account(self) -> str:
        return self._told["ACCOUNT"]

    def start(self) -> None:
        """Again after `kill`: with all that was stored."""
        lines = self._run("start").splitlines()
        self._told = dict(line.split("=", 1) for line in lines)

    def kill(self) -> None:
        """kill -9 to the gateway and to its storage."""
        self._run("kill")

    def wipe(self) -> None:
        self._run("wipe")

    def _run(self, verb: str) -> str:
        settings = {name: str(port) for name, port in self._ports.items()} | {"RGW_DIR": str(self._place)}
        done = subprocess.run(
            [str(SCRIPT), verb],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def requests(self, bucket: str, key: str) -> list[Request]:
        """What the gateway itself noted of the requests for the object. A kill -9 may cost the last lines."""
        log = (self._place / "client.rgw.log").read_text(errors="replace")
        found = [_ACCESS.search(line) for line in log.splitlines() if f"/{bucket}/{key}" in line]
        return [
            Request(each["method"], each["query"], int(each["status"])) for each in found if each is not None
        ]

    def keys(self, user: str) -> Keys:
        name = user.upper()
        return Keys(self._told[f"{name}_ACCESS_KEY"], self._told[f"{name}_SECRET_KEY"])

    def client(self, service: str, keys: Keys, *, tls: bool = False) -> Any:
        """A plain boto3 client that repeats nothing."""
        session = boto3.session.Session(
            aws_access_key_id=keys.access,
            aws_secret_access_key=keys.secret,
            aws_session_token=keys.token,
            region_name=REGION,
        )
        return session.client(
            service,  # type: ignore[call-overload]  # the stubs want a literal
            endpoint_url=self.tls_url if tls else self.url,
            verify=self.ca_file if tls else None,
            config=CONFIG,
        )


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, below those that connections are given: a killed gateway finds its own free again."""
    found: list[int] = []
    while len(found) < number:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
