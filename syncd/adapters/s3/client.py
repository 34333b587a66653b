"""The botocore client behind the store: one attempt, explicit settings, nothing taken from the surroundings.

The session is bare: no AWS_* or proxy variables, no ~/.aws, no CA bundle from the environment can bend where the
files go or whom we trust. Every request is signed with the newest credential set, without a network call. Redirects
are never followed (botocore recurses without end on a 30x that names no region), retries are not botocore's business.
"""

from __future__ import annotations

import functools
import ipaddress
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.configprovider import (
    BOTOCORE_DEFAUT_SESSION_VARIABLES,
    ConfigValueStore,
    ConstantProvider,
)
from botocore.credentials import CredentialProvider, CredentialResolver, ReadOnlyCredentials
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.loaders import Loader

from syncd.adapters.s3.timing import SIGNER, Timing
from syncd.errors import LockedOut
from syncd.ports import Credentials

_DEFAULT_REGION = "us-east-1"
# Where the systems that we know keep the authorities that their owners believe. botocore brings a list of its own, to
# which nobody who runs a CA for the house can add.
SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the destination. `region` None: what the credentials say, else us-east-1. Times in seconds."""

    region: str | None = None
    endpoint_url: str | None = None
    addressing_style: str = "auto"
    ca_file: str | None = None
    proxy: str | None = None
    expected_bucket_owner: str | None = None
    connect_timeout: float = 30.0
    read_timeout: float = 120.0
    connections: int = 10


class _Snapshot(BotocoreCredentials):
    """What botocore signs with: our current set, asked for anew at each request."""

    def __init__(self, credentials: Credentials) -> None:
        # No call to the parent's: there are no fixed keys to keep.
        self._credentials = credentials
        self.method = "syncd"
        self.account_id = None

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """The set of this moment. Raises LockedOut while there is none."""
        now = self._credentials.current()
        return ReadOnlyCredentials(now.access_key, now.secret_key, now.session_token)


class _Provider(CredentialProvider):
    """Hands the session our credentials instead of any that lie about."""

    METHOD = "syncd"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> BotocoreCredentials:
        """Our credentials."""
        return _Snapshot(self._credentials)


def bare_session(credentials: Credentials) -> botocore.session.Session:
    """A session with botocore's built-in defaults and our credentials, deaf to environment and home directory."""
    session = botocore.session.Session()
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    session.register_component("data_loader", loader)
    session.register_component("config_store", ConfigValueStore(mapping=_constant_defaults()))
    session.register_component("credential_provider", CredentialResolver([_Provider(credentials)]))
    return session


def _constant_defaults() -> dict[str, ConstantProvider]:
    files_of_the_user = {"config_file": None, "credentials_file": None}
    defaults = {name: row[2] for name, row in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    return {name: ConstantProvider(value) for name, value in (defaults | files_of_the_user).items()}


class Clients:
    """The client for the region of the moment, built when first needed, shared by all threads."""

    def __init__(self, settings: Settings, credentials: Credentials, timing: Timing | None = None) -> None:
        """`timing` None: signed by the local clock, whatever the answers say."""
        self.settings = settings
        self.sign_bodies = _must_sign_bodies(settings)
        self._credentials = credentials
        self._timing = timing
        self._lock = threading.Lock()
        self._by_region: dict[str, Any] = {}

    def region(self) -> str:
        """The configured region, else the credentials', else us-east-1. Raises LockedOut without credentials."""
        return self.settings.region or self._credentials.current().region or _DEFAULT_REGION

    def secrets(self) -> tuple[str, ...]:
        """What a store might repeat of that which requests are signed with."""
        try:
            held = self._credentials.current()
        except LockedOut:
            return ()
        return tuple(filter(None, (held.secret_key, held.session_token)))

    def current(self) -> Any:
        """The S3 client. Raises LockedOut for settings that no client can be built with."""
        region = self.region()
        client = self._by_region.get(region)
        if client is not None:
            return client
        with self._lock:
            if region not in self._by_region:
                self._by_region[region] = self._build(region)
            return self._by_region[region]

    def address(self, bucket: str, key: str) -> str:
        """The URL that a request about this object goes to, as botocore makes it; nothing is sent. Raises LockedOut."""
        seen: list[str] = []

        def see(params: Mapping[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            seen.append(params["url"])
            return AWSResponse(params["url"], 200, HTTPHeaders(), None), {}  # instead of sending anything

        client = _build(self.settings, self.region(), self._credentials)
        try:
            client.meta.events.register_first("before-call.s3.HeadObject", see)
            client.head_object(Bucket=bucket, Key=key)
        finally:
            client.close()
        return seen[0]

    def close(self) -> None:
        """Let go of every connection that no request is using; a later call opens new ones."""
        with self._lock:
            clients = list(self._by_region.values())
            self._by_region.clear()
        for client in clients:
            client.close()

    def _build(self, region: str) -> Any:
        client = _build(self.settings, region, self._credentials)
        if self._timing is not None:
            self._timing.register(client)
        return client


def _build(settings: Settings, region: str, credentials: Credentials) -> Any:
    _check_ca_file(settings.ca_file)
    try:
        client: Any = bare_session(credentials).create_client(
            "s3",
            region_name=region,
            endpoint_url=settings.endpoint_url,
            verify=settings.ca_file or system_store(),
            config=_config(settings),
        )
    except ValueError as error:  # an endpoint or a region that cannot be one
        raise LockedOut(
            f"no S3 client can be made for region {region} and endpoint {settings.endpoint_url}: {error}",
            code="bucket",
            hint="check destination.endpoint_url and destination.region",
        ) from error
    if settings.expected_bucket_owner is not None:
        name_owner = functools.partial(_name_owner, settings.expected_bucket_owner)
        client.meta.events.register("before-parameter-build.s3", name_owner)
    client.meta.events.register("choose-signer.s3", _own_signer)
    client.meta.events.register("before-call.s3", _never_redirect)
    return client


def system_store() -> str | bool:
    """The authorities that this machine believes, in one file; True (botocore's own ones) where it keeps none."""
    known = (ssl.get_default_verify_paths().openssl_cafile, *SYSTEM_STORES)
    return next((path for path in known if Path(path).is_file()), True)


def _config(settings: Settings) -> Config:
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.read_timeout,
        "tcp_keepalive": True,
        "max_pool_connections": settings.connections,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "ignore_configured_endpoint_urls": True,
        # An empty dictionary is not None: botocore does not look into the environment then.
        "proxies": {"http": settings.proxy, "https": settings.proxy} if settings.proxy else {},
        "s3": {
            "addressing_style": settings.addressing_style,
            "payload_signing_enabled": _must_sign_bodies(settings),
            "us_east_1_regional_endpoint": "regional",
        },
    }
    return Config(**options)


def _must_sign_bodies(settings: Settings) -> bool:
    """Over TLS the sum is enough; over plain http only to this very machine, with nobody in between."""
    url = urlsplit(settings.endpoint_url or "https://")
    if url.scheme != "http":
        return False
    if settings.proxy is not None:
        return True
    try:
        return not ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        return url.hostname != "localhost"


def _check_ca_file(ca_file: str | None) -> None:
    if ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one too
        raise LockedOut(
            f"the CA file {ca_file} cannot be used: {error.strerror or error}",
            code="tls",
            hint="destination.ca_file must be a readable file of PEM certificates",
        ) from error


def _name_owner(owner: str, params: dict[str, Any], model: Any, **_: Any) -> None:
    """In every request that can say so: the bucket must be this account's."""
    if "ExpectedBucketOwner" in model.input_shape.members:
        params["ExpectedBucketOwner"] = owner


def _own_signer(signature_version: Any, **_: Any) -> str | None:
    return SIGNER if signature_version == "s3v4" else None


def _never_redirect(context: Mapping[str, Any], **_: Any) -> None:
    """Let S3RegionRedirectorv2 believe that it has already redirected: it then leaves every answer as it came."""
    if "s3_redirect" in context:
        context["s3_redirect"]["redirected"] = True
