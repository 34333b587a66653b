"""From the configuration's sections to the policies that the steps obey."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from syncd.act.world import DestinationPolicy, FolderPolicy
from syncd.config.model import Config, Folder
from syncd.decide.dispose import DisposalPolicy
from syncd.decide.keys import parse
from syncd.decide.plan import PlanPolicy
from syncd.decide.select import Selection
from syncd.decide.settle import SettlePolicy
from syncd.model import Algorithm


def folder_policies(config: Config) -> dict[bytes, FolderPolicy]:
    """Every watched folder by its path."""
    own = own_files(config)
    return {policy.path: policy for policy in (folder_policy(folder, own) for folder in config.folders)}


def folder_policy(folder: Folder, own: frozenset[bytes] = frozenset()) -> FolderPolicy:
    """One folder's section as the steps see it; files of our `own` in it are never taken."""
    root = os.fsencode(folder.path)
    inside = frozenset(path.removeprefix(root + b"/") for path in own if path.startswith(root + b"/"))
    return FolderPolicy(
        path=root,
        name=folder.name,
        template=parse(folder.key),
        selection=Selection(
            include=folder.include, exclude=folder.exclude, recursive=folder.recursive, never=inside
        ),
        settle=SettlePolicy(
            quiet_s=folder.complete_when.quiet.total_seconds(),
            check_writer=folder.complete_when.not_open != "off",
            require_answer=folder.complete_when.not_open == "require",
            marker=folder.complete_when.marker,
        ),
        disposal=_disposal(folder),
        rescan_s=folder.rescan.total_seconds(),
        watched=folder.watch != "poll",
        priority=folder.priority,
        require_mount=folder.require_mount,
    )


def _disposal(folder: Folder) -> DisposalPolicy:
    delete, move = folder.after_upload.delete, folder.after_upload.move
    if move is not None:
        return DisposalPolicy(move_to=os.fsencode(move.to), min_age_s=move.min_age.total_seconds())
    if delete is not None:
        return DisposalPolicy(delete=True, min_age_s=delete.min_age.total_seconds())
    return DisposalPolicy()


def own_files(config: Config) -> frozenset[bytes]:
    """The ledger and what proves who we are: they, and what lies beside them, must not go up with the recordings."""
    api = config.credentials.api
    paths = [config.state]
    if api is not None:
        paths += [path for path in (api.token_file, api.client_cert, api.client_key) if path is not None]
    return frozenset(map(os.fsencode, paths))


def destination_policy(config: Config) -> DestinationPolicy:
    """The destination's section as the steps see it."""
    named = config.destination.checksum
    return DestinationPolicy(
        bucket=config.destination.bucket,
        prefix=config.destination.prefix,
        checksum=None if named == "auto" else Algorithm(named),
        endpoint=config.destination.endpoint_url or "aws",
        metadata=config.destination.metadata,
        tags=config.destination.tags,
        storage_class=config.destination.storage_class,
        encryption=config.destination.server_side_encryption,
        kms_key_id=config.destination.kms_key_id,
        overwrite=config.destination.if_exists == "overwrite",
        content_type=_unless_auto(config.destination.content_type),
    )


def _unless_auto(word: str) -> str | None:
    return None if word == "auto" else word


def plan_policy(config: Config) -> PlanPolicy:
    """How files are cut."""
    return PlanPolicy(
        part_size=config.upload.part_size, multipart_threshold=config.upload.multipart_threshold
    )


def proxy_secrets(config: Config) -> tuple[str, ...]:
    """The password in the proxy's URL, as it stands there and as it is meant."""
    password = urlsplit(config.destination.proxy or "").password
    return () if password is None else (password, unquote(password))


def credential_source(config: Config) -> str:
    """Who gives credentials, as the keeper calls it: a host, or the chain."""
    api, chain = config.credentials.api, config.credentials.chain
    if api is not None:
        return urlsplit(api.url).netloc.rpartition("@")[2]
    profile = None if chain is None else chain.profile
    return "chain" if profile is None else f"chain (profile {profile})"
