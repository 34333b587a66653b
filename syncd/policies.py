"""From the configuration's sections to the policies that the steps obey."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from syncd.act.world import DestinationPolicy, FolderPolicy
from syncd.config.model import Config, Folder
from syncd.decide.keys import parse
from syncd.decide.select import Selection
from syncd.decide.settle import SettlePolicy
from syncd.model import Algorithm


def folder_policies(config: Config) -> dict[bytes, FolderPolicy]:
    """Every watched folder by its path."""
    return {policy.path: policy for policy in map(folder_policy, config.folders)}


def folder_policy(folder: Folder) -> FolderPolicy:
    """One folder's section as the steps see it."""
    return FolderPolicy(
        path=os.fsencode(folder.path),
        name=folder.name,
        template=parse(folder.key),
        selection=Selection(include=folder.include, exclude=folder.exclude, recursive=folder.recursive),
        settle=SettlePolicy(
            quiet_s=folder.complete_when.quiet.total_seconds(),
            check_writer=folder.complete_when.not_open != "off",
            marker=folder.complete_when.marker,
        ),
        rescan_s=folder.rescan.total_seconds(),
    )


def destination_policy(config: Config) -> DestinationPolicy:
    """The destination's section as the steps see it."""
    named = config.destination.checksum
    return DestinationPolicy(
        bucket=config.destination.bucket,
        prefix=config.destination.prefix,
        checksum=None if named == "auto" else Algorithm(named),
        endpoint=config.destination.endpoint_url or "aws",
    )


def credential_source(config: Config) -> str:
    """The host that gives credentials, as the keeper calls it."""
    return urlsplit(config.credentials.api.url).netloc.rpartition("@")[2]
