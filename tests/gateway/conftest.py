"""One gateway for all of these tests, and for each test a bucket and a role of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.estate import Estate
from support.rgw import Gateway, missing
from support.site import NewSite, Site

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    lacking = missing()
    if lacking:
        pytest.skip(
            f"this machine lacks {', '.join(lacking)}: apt-get install radosgw ceph-mon ceph-osd ceph-common openssl curl"
        )
    made = Gateway(tmp_path_factory.mktemp("rgw") / "cluster")
    try:
        made.start()
        yield made
    finally:
        made.wipe()


@pytest.fixture
def estate(gateway: Gateway) -> Estate:
    return Estate(gateway, str(next(_numbers)))


@pytest.fixture
def new_site(estate: Estate, tmp_path: Path) -> Iterator[NewSite]:
    """Makes a site; what runs of it ends with the test."""
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(estate, tmp_path, **options))
        return made[-1]

    yield make
    for site in made:
        site.close()
