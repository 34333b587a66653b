"""The credential API and the store, asked as the daemon asks them; and what they tell about this machine's clock."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

from syncd.adapters.credentials.wire import trust
from syncd.adapters.line import Place, Proxy
from syncd.attempt import ALL, NAME, attempt
from syncd.checkup.network import Way
from syncd.config.model import Api, Config
from syncd.decide import doctor
from syncd.decide.findings import Check, Finding, Verdict, skipped, well, without
from syncd.decide.troubles import servers
from syncd.errands import Abroad, Papers, abroad
from syncd.errors import LockedOut, SyncdError
from syncd.household import client_identity
from syncd.model import CredentialSet
from syncd.policies import destination_policy

_OF_THE_LINE: Final = frozenset(
    {"credentials.api.ca_file", "credentials.api.client_cert", "credentials.api.client_key"}
)
_OF_THE_API_KEYS: Final = _OF_THE_LINE | {"credentials.api.token_file"}
_OF_THE_API: Final = (Check.API_NAME, Check.API_LINE, Check.API_ANSWER)
_OF_THE_WAY: Final = (Check.STORE_NAME, Check.STORE_LINE)


class Servers:
    """`broken`: the keys of the configuration that cannot work, so that nothing that leans on them is tried."""

    def __init__(self, config: Config, broken: frozenset[str]) -> None:
        self._config = config
        self._broken = broken
        self._papers = Papers.of(config)
        self._policy = destination_policy(config)

    def checked(self) -> Iterator[Finding]:
        """API, store, clock."""
        told_of_the_clock = False
        for finding in self._both():
            told_of_the_clock = told_of_the_clock or finding.check is Check.CLOCK
            yield finding
        if not told_of_the_clock:
            yield self._clock()

    def _both(self) -> Iterator[Finding]:
        api = self._config.credentials.api
        if api is None:
            yield from skipped(_OF_THE_API, "credentials.chain is configured, no API")
            yield from self._by_chain()
        else:
            yield from self._by_api(api)

    def _clock(self) -> Finding:
        offset = self._papers.server_time.offset()
        if offset is None:
            return skipped([Check.CLOCK], "no server told the time")[0]
        return doctor.clock(offset)

    # -- credentials

    def _by_chain(self) -> Iterator[Finding]:
        try:
            found = self._papers.own.current()
        except SyncdError as error:
            yield servers.NO_CHAIN.found(error=error)
            yield from self._without_credentials()
        else:
            yield from self._with(found)

    def _by_api(self, api: Api) -> Iterator[Finding]:
        missing = Check.CONFIGURATION if self._broken & _OF_THE_API_KEYS else None
        for finding in self._way_to_api(api):
            missing = finding.check if finding.verdict is Verdict.FAIL else missing
            yield finding
        if missing is None:
            yield from self._asked(api)
        else:
            yield from without([Check.API_ANSWER, Check.CREDENTIALS], missing)
            yield from self._without_credentials()

    def _way_to_api(self, api: Api) -> Iterator[Finding]:
        if self._broken & _OF_THE_LINE:
            yield from without([Check.API_NAME, Check.API_LINE], Check.CONFIGURATION)
            return
        place = Place.of(api.url)
        yield from Way(
            name=Check.API_NAME,
            line=Check.API_LINE,
            place=place,
            key="credentials.api.url",
            ca_key="credentials.api.ca_file",
            trust=lambda: trust(api.ca_file, place.host, client_identity(api)),
            now=self._papers.server_time.now,
        ).walked()

    def _asked(self, api: Api) -> Iterator[Finding]:
        try:
            found = self._papers.own.current()
        except SyncdError as error:
            yield doctor.api_trouble(error, device=self._config.device)
            yield from without([Check.CREDENTIALS], Check.API_ANSWER)
            yield from self._without_credentials()
        else:
            yield well(Check.API_ANSWER, f"{Place.of(api.url).host} gives credentials")
            yield from self._with(found)

    def _with(self, found: CredentialSet) -> Iterator[Finding]:
        bucket = self._policy.bucket_for(found)
        if bucket is None:
            yield servers.NO_BUCKET.found()
            yield from self._without_credentials()
            return
        prefix = self._policy.prefix_for(found, self._config.device)
        left = None if found.expires_at is None else found.expires_at - self._papers.server_time.now()
        whose = found.role_arn or found.access_key
        yield doctor.credentials(whose, f"s3://{bucket}/{prefix}", left, found.expires_at)
        with abroad(self._config, self._papers) as there:
            yield from self._store(there)

    # -- the store

    def _without_credentials(self) -> Iterator[Finding]:
        """The way is looked at where the configuration alone says which it is."""
        url = self._config.destination.endpoint_url
        if url is None:
            yield from without(_OF_THE_WAY, Check.CREDENTIALS)
        else:
            yield from self._way_to_store(url)
        yield from without(ALL, Check.CREDENTIALS)

    def _store(self, there: Abroad) -> Iterator[Finding]:
        met = []
        try:
            url = there.store.address(there.bucket, f"{there.prefix}{NAME}")
        except SyncdError as error:
            yield servers.UNUSABLE_FILE.found(at=Check.STORE_LINE, error=error, hint=error.hint or "")
            yield from without(ALL, Check.STORE_LINE)
            return
        for finding in self._way_to_store(url):
            met.append(finding)
            yield finding
        failed = next((each.check for each in met if each.verdict is Verdict.FAIL), None)
        if failed is not None:
            yield from without(ALL, failed)
        else:
            yield from attempt(there, self._policy, self._config.device)

    def _way_to_store(self, url: str) -> Iterator[Finding]:
        where = self._config.destination
        yield from Way(
            name=Check.STORE_NAME,
            line=Check.STORE_LINE,
            place=Place.of(url),
            key="destination.endpoint_url",
            ca_key="destination.ca_file",
            trust=self._trust_in_store,
            now=self._papers.server_time.now,
            proxy=None if where.proxy is None else Proxy.of(where.proxy),
        ).walked()

    def _trust_in_store(self) -> ssl.SSLContext:
        """Whom the S3 client believes. Raises LockedOut."""
        from syncd.adapters.s3.client import system_store  # noqa: PLC0415 - botocore: not for importing this

        system = system_store()
        ca_file = self._config.destination.ca_file or (system if isinstance(system, str) else None)
        try:
            return ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise LockedOut(
                f"the CA file {ca_file} cannot be used: {error.strerror or error}",
                code="tls",
                hint="destination.ca_file must be a readable file of PEM certificates",
            ) from error
