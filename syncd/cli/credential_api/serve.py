"""`syncd credential-api serve`: answer devices from this machine."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import Duration
from syncd.console.words import plain
from syncd.errors import ConfigError, Fatal
from syncd.signals import SIGNALS, hold_signals

if TYPE_CHECKING:
    from syncd.credential_api.devices import Devices
    from syncd.credential_api.issue import Role
    from syncd.credential_api.server import Address, Server
    from syncd.credential_api.tls import Certificate


def _option(name: str, **attributes: Any) -> Callable[[Any], Any]:
    """Each can be set in the environment too: SYNCD_API_ROLE_ARN."""
    variable = "SYNCD_API_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, **attributes)


_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("serve")
@_option(
    "--registry",
    type=_FILE,
    metavar="FILE",
    help="The devices, in YAML. Replace it by rename; changes are taken after a second.",
)
@_option("--table", metavar="NAME", help="The devices, in a DynamoDB table.")
@_option("--role-arn", required=True, metavar="ARN", help="The role whose sessions are handed out.")
@_option("--region", required=True, help="The region of bucket, STS and table.")
@_option(
    "--session", type=Duration(), default="1h", show_default=True, help="How long sessions live, 15m to 1h."
)
@_option("--sts-endpoint-url", metavar="URL", help="STS of a store of your own, instead of AWS.")
@_option("--s3-endpoint-url", metavar="URL", help="S3 for presigned URLs. [default: as --sts-endpoint-url]")
@_option(
    "--listen", default="127.0.0.1:8443", show_default=True, metavar="HOST:PORT", help="Where to listen."
)
@_option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate chain (PEM). Without it: loopback only.")
@_option("--tls-key", type=_FILE, metavar="FILE", help="The key that belongs to it, without a password.")
@_option("--path", default="/v1/credentials", show_default=True, help="The path of the API.")
@_option(
    "--burst", type=click.IntRange(1), default=30, show_default=True, help="Requests at once, per device."
)
@_option(
    "--every",
    type=Duration(),
    default="10s",
    show_default=True,
    help="After a burst: one more in each such span.",
)
def command(
    *,
    registry: Path | None,
    table: str | None,
    role_arn: str,
    region: str,
    session: timedelta,
    sts_endpoint_url: str | None,
    s3_endpoint_url: str | None,
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    path: str,
    burst: int,
    every: timedelta,
) -> int:
    """Answer devices from this machine.

    Knows them from exactly one of --registry and --table, and asks STS with the credentials that boto3 finds by itself (environment,
    profile, instance role). Logs JSON lines on stderr: who got what, for how long; never a token. Ends on SIGTERM.
    SIGHUP reads certificate and key again, for connections from then on: send it when they are renewed. If they cannot
    be used, the log says why and the old ones stay.
    """
    hold_signals()
    descriptors = _raise_descriptors()
    from syncd.credential_api.issue import Role  # noqa: PLC0415 - heavy, and not for --help
    from syncd.telemetry import logs  # noqa: PLC0415

    logs.configure("info", "json")
    if (registry is None) == (table is None):
        raise click.UsageError("exactly one of --registry and --table is needed")
    if not path.startswith("/") or path.endswith("/"):
        raise click.UsageError("--path must begin with / and not end with one")
    role = Role(arn=role_arn, region=region, session_seconds=round(session.total_seconds()))
    _check_role(role, own_endpoint=sts_endpoint_url is not None)
    from syncd.config.scalars import is_loopback  # noqa: PLC0415 - heavy, and not for --help

    address, certificate = _address(listen), _certificate(tls_cert, tls_key)
    if certificate is None and not is_loopback(address.host):
        raise click.UsageError(
            f"{address} can be reached from other machines, and there is no TLS: tokens would be readable on the way."
            " Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS"
        )
    from syncd.credential_api.local import BadSurroundings, local_application  # noqa: PLC0415
    from syncd.credential_api.server import Server, connections_for  # noqa: PLC0415

    try:
        application = local_application(
            devices=_devices(registry, table, region),
            role=role,
            path=path,
            sts_endpoint_url=sts_endpoint_url,
            s3_endpoint_url=s3_endpoint_url,
            burst=burst,
            every=every.total_seconds(),
        )
    except BadSurroundings as bad:
        raise ConfigError([f"syncd: {bad}"]) from None
    return _serve(Server(application, address, certificate, at_once=connections_for(descriptors)), path)


def _serve(server: Server, path: str) -> int:
    """Until a signal says so."""
    try:
        server.start()
    except OSError as trouble:
        raise Fatal(
            f"cannot listen there: {trouble.strerror or trouble}", hint="is --listen free, and ours?"
        ) from None
    click.echo(f"syncd credential-api listens on {plain(server.url + path)}")
    while signal.sigwait(SIGNALS) == signal.SIGHUP:
        _renew(server)  # the registry is read again by itself when it changes
    server.stop()
    return 0


def _renew(server: Server) -> None:
    import structlog  # noqa: PLC0415 - not for --help

    from syncd.credential_api.tls import BadCertificate  # noqa: PLC0415

    log = structlog.get_logger()
    try:
        if server.renew():
            log.info("certificate_loaded")
    except BadCertificate as bad:
        log.error("certificate_refused", reason=str(bad))  # noqa: TRY400 - an operator's mistake, not ours: no traceback


def _raise_descriptors() -> int:
    """As many as this process may have; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # there are systems that allow more than they can
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _check_role(role: Role, *, own_endpoint: bool) -> None:
    from syncd.credential_api.sts import role_problems  # noqa: PLC0415 - heavy, and not for --help

    if problems := role_problems(role, own_endpoint=own_endpoint):
        raise click.UsageError("; ".join(problems))


def _address(text: str) -> Address:
    from syncd.credential_api.server import Address  # noqa: PLC0415 - heavy, and not for --help

    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004
        raise click.UsageError(f"--listen {text!r} is none, expected HOST:PORT")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _certificate(chain: Path | None, key: Path | None) -> Certificate | None:
    if (chain is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    if chain is None or key is None:
        return None
    from syncd.credential_api.tls import BadCertificate, Certificate  # noqa: PLC0415 - not for --help

    found = Certificate(chain, key)
    try:
        found.context()
    except BadCertificate as bad:
        raise ConfigError([f"syncd: {bad}"]) from None
    return found


def _devices(registry: Path | None, table: str | None, region: str) -> Devices:
    if registry is None:
        from syncd.credential_api.local import local_table  # noqa: PLC0415 - heavy

        return local_table(table or "", region)
    from syncd.credential_api.devices import BadRegistration  # noqa: PLC0415 - not for --help
    from syncd.credential_api.registry import Registry  # noqa: PLC0415

    try:
        return Registry(registry)
    except BadRegistration as bad:
        raise ConfigError(bad.problems) from None
