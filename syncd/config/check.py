"""What `syncd check` sees when it holds a sound configuration against the machine: files, rights, risks.

Looks, never changes or waits: no network, no lock. An `error` keeps the daemon from working; a `warning` is something
that it lives with (a missing folder waits) but that is worth a look.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from syncd.config.model import Api, Config, Folder
from syncd.config.read import key_text
from syncd.config.scalars import is_loopback, sample_refused
from syncd.config.surroundings import Surroundings
from syncd.decide import keys
from syncd.decide.dispose import CERTAIN_AGE_S

# man 7 unix: sun_path has 108 bytes, the last of them NUL.
_LONGEST_SOCKET: Final = 107
_RUN_AS_DAEMON: Final = "run this check as the user that runs syncd"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth saying: how bad, about which key, what, and what to do about it."""

    severity: Literal["error", "warning"]
    where: str
    text: str
    hint: str | None = None


def warnings(config: Config, surroundings: Surroundings, *, on_disk: bool = True) -> list[Finding]:
    """Everything found, in the order of the file; without `on_disk` nothing of folders and ledger as they lie there. Never raises."""
    return [
        *_device(config),
        *_api(config.credentials.api),
        *_endpoint(config.destination.endpoint_url),
        *_ca_file("destination.ca_file", config.destination.ca_file),
        *(_folders(config) if on_disk else ()),
        *_templates(config),
        *_same_keys(config.folders),
        *_reused_names(config.folders),
        *(_uncertain_disposal(config.folders) if on_disk else ()),
        *(_state(config.state) if on_disk else ()),
        *_kept_inside_folders(config, surroundings),
        *_socket(config.socket),
    ]


def _device(config: Config) -> Iterator[Finding]:
    if config.device.partition(".")[0] == "localhost":
        text = "is localhost: a second machine of that name would write to the same keys"
        yield Finding("warning", "device", text, "give each machine a name of its own")


def _api(api: Api | None) -> Iterator[Finding]:
    if api is not None:
        yield from _token_file(api.token_file)
        yield from _ca_file("credentials.api.ca_file", api.ca_file)
        yield from _ca_file("credentials.api.client_cert", api.client_cert)
        yield from _client_key(api.client_key)


def _token_file(path: Path) -> Iterator[Finding]:
    remedy = "put the device's API token there, mode 0640 or 0600"
    return _secret_file("credentials.api.token_file", path, remedy, "name the file that holds the API token")


def _client_key(path: Path | None) -> Iterator[Finding]:
    if path is not None:
        remedy = "put the key of client_cert there, mode 0640 or 0600"
        yield from _secret_file("credentials.api.client_key", path, remedy, "name a PEM file with the key")


def _secret_file(where: str, path: Path, remedy: str, kind: str) -> Iterator[Finding]:
    found = _status(path)
    if isinstance(found, str):
        yield Finding("error", where, f"{path} {found}", remedy)
    elif not stat.S_ISREG(found.st_mode):
        yield Finding("error", where, f"{path} is no regular file", kind)
    elif found.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        who = "others can read it" if found.st_mode & stat.S_IROTH else "someone else can write it"
        text = f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: {who}"
        yield Finding("error", where, text, f"chmod o=,g-w {path}")
    elif not os.access(path, os.R_OK):
        yield Finding("error", where, f"{path} is not readable for this user", _RUN_AS_DAEMON)


def _ca_file(where: str, path: Path | None) -> Iterator[Finding]:
    if path is None:
        return
    found = _status(path)
    if isinstance(found, str):
        yield Finding("error", where, f"{path} {found}", "name a file of PEM certificates, or null")
    elif not stat.S_ISREG(found.st_mode) or not os.access(path, os.R_OK):
        yield Finding("error", where, f"{path} is no readable file", _RUN_AS_DAEMON)


def _endpoint(url: str | None) -> Iterator[Finding]:
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        text = "is http to another machine: recordings travel in the clear"
        yield Finding("warning", "destination.endpoint_url", text, "use https")


def _folders(config: Config) -> Iterator[Finding]:
    for index, folder in enumerate(config.folders):
        where = key_text(("folders", index, "path"))
        found = _status(folder.path)
        if isinstance(found, str):
            text = f"{folder.path} {found}: the folder waits until it is there"
            yield Finding("warning", where, text, "create it, mount it, or take it out")
        elif not stat.S_ISDIR(found.st_mode):
            yield Finding(
                "warning", where, f"{folder.path} is no directory: the folder waits", "name a directory"
            )
        elif not os.access(folder.path, os.R_OK | os.X_OK):
            text = f"{folder.path} is not readable for this user: the folder waits"
            yield Finding("warning", where, text, f"give syncd r-x on it, or {_RUN_AS_DAEMON}")


def _templates(config: Config) -> Iterator[Finding]:
    """Templates that park every file, or every file but the first."""
    # What the API may answer is not known here; without an answer the prefix is the device's.
    prefix = f"{config.device}/" if config.destination.prefix is None else config.destination.prefix
    for index, folder in enumerate(config.folders):
        where, template = key_text(("folders", index, "key")), keys.parse(folder.key)
        refused = sample_refused(template, prefix, config.device, folder.name)
        if refused is not None:
            text = f"parks every file while the prefix is {prefix!r}: {refused}"
            yield Finding("warning", where, text, "a prefix is used as it is, with the / at its end")
        if not any(map(template.uses, ("path", "name", "stem"))):
            text = "has no {path}, {name} or {stem}: files meet in one key, and all but the first are parked"
            yield Finding("warning", where, text, "put {path} into it")


def _same_keys(folders: tuple[Folder, ...]) -> Iterator[Finding]:
    owners: dict[str, int] = {}
    for index, folder in enumerate(folders):
        owner = owners.setdefault(folder.key, index)
        if owner != index and not keys.parse(folder.key).uses("folder"):
            text = f"is the same template as that of folders[{owner}] and has no {{folder}}: two files can meet in one key"
            yield Finding(
                "warning", key_text(("folders", index, "key")), text, "put {folder} into both templates"
            )


def _reused_names(folders: tuple[Folder, ...]) -> Iterator[Finding]:
    for index, folder in enumerate(folders):
        if _disposes(folder) and not keys.parse(folder.key).uses("mtime"):
            text = "deletes or moves files whose key has no time in it: a name that is used again is parked"
            hint = "put {mtime:%Y-%m-%dT%H%M%S} into the key, unless names are never used twice"
            yield Finding("warning", key_text(("folders", index, "after_upload")), text, hint)


def _uncertain_disposal(folders: tuple[Folder, ...]) -> Iterator[Finding]:
    for index, folder in enumerate(folders):
        rule = folder.after_upload.delete or folder.after_upload.move
        if rule is None:
            continue
        where = key_text(("folders", index, "after_upload"))
        if folder.complete_when.not_open == "off" and not _certain_by_rule(folder, rule.min_age):
            text = "keeps every file: with not_open: off nothing says that a file is finished for certain"
            yield Finding("warning", where, text, "set complete_when.marker, or a min_age of 1h or more")
        if folder.path.is_dir() and not os.access(folder.path, os.W_OK):
            text = f"{folder.path} is not writable for this user: no file can be deleted or moved"
            yield Finding("warning", where, text, _RUN_AS_DAEMON)


def _certain_by_rule(folder: Folder, min_age: timedelta) -> bool:
    return folder.complete_when.marker is not None or min_age.total_seconds() >= CERTAIN_AGE_S


def _disposes(folder: Folder) -> bool:
    return folder.after_upload.delete is not None or folder.after_upload.move is not None


def _state(path: Path) -> Iterator[Finding]:
    directory = path.parent
    while isinstance(_status(directory), str) and directory != directory.parent:
        directory = directory.parent
    if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
        yield Finding("error", "state", f"{directory} is not writable for this user", _RUN_AS_DAEMON)


def _kept_inside_folders(config: Config, surroundings: Surroundings) -> Iterator[Finding]:
    """Our own files in a watched folder are never uploaded, but whoever works in that folder meets them."""
    api = config.credentials.api
    private = {
        "state": config.state,
        "credentials.api.token_file": None if api is None else api.token_file,
        "credentials.api.client_key": None if api is None else api.client_key,
    }
    for where, path in private.items():
        if path is None:
            continue
        real = Path(surroundings.real_path(str(path)))
        for index, folder in enumerate(config.folders):
            if real.is_relative_to(surroundings.real_path(str(folder.path))):
                text = f"lies inside folders[{index}].path, where others work"
                yield Finding("warning", where, text, "keep it outside the watched folders")


def _socket(path: Path) -> Iterator[Finding]:
    size = len(os.fsencode(path))
    if size > _LONGEST_SOCKET:
        text = f"has {size} bytes, a Unix socket's path at most {_LONGEST_SOCKET}"
        yield Finding("warning", "console.socket", text, "give a shorter path")


def _status(path: Path) -> os.stat_result | str:
    """What stat says, or half a sentence about why it says nothing."""
    try:
        return path.stat()
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
