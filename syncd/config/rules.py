"""Rules between keys: folders apart from one another, names unique, memory enough for the parts.

They look at the data as read, not at a finished tree, so that they speak up beside other mistakes, not after them.
Values that are themselves wrong are passed over here: the model says what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from syncd.config.model import MIB, Upload
from syncd.config.read import Place
from syncd.config.scalars import absolute_path, folder_name, kms_key
from syncd.config.surroundings import Surroundings
from syncd.config.units import parse_size, size_text

Sound = TypeVar("Sound")


def broken_between_keys(data: Mapping[str, Any], surroundings: Surroundings) -> Iterator[tuple[Place, str]]:
    """Every rule between keys that does not hold, with the place of the key that could mend it."""
    folders = data.get("folders")
    if isinstance(folders, list):
        yield from _folders_apart(folders, surroundings)
        yield from _names_unique(folders)
        yield from _targets_outside(folders, surroundings)
    credentials = data.get("credentials")
    if isinstance(credentials, dict):
        yield from _one_source(credentials)
        yield from _bucket_for_chain(credentials, data.get("destination"))
    api = credentials.get("api") if isinstance(credentials, dict) else None
    if isinstance(api, dict):
        yield from _certificate_with_key(api)
    destination = data.get("destination")
    if isinstance(destination, dict):
        yield from _key_for_kms(destination)
    upload = data.get("upload", {})
    if isinstance(upload, dict):
        yield from _memory_for_parts(upload)


def _folders_apart(folders: list[Any], surroundings: Surroundings) -> Iterator[tuple[Place, str]]:
    written = {index: path for index, folder in enumerate(folders) if (path := _path(folder)) is not None}
    real = {index: Path(surroundings.real_path(str(path))) for index, path in written.items()}
    complaints = _nested(real, " (through a symlink)") | _nested(written, "")
    for index in sorted(complaints):
        yield ("folders", index, "path"), complaints[index]


def _nested(paths: Mapping[int, Path], how: str) -> dict[int, str]:
    """A complaint for each path that is another one, or lies inside it."""
    owners: dict[Path, int] = {}
    complaints = {}
    for index, path in paths.items():
        if owners.setdefault(path, index) != index:
            complaints[index] = f"is the same folder as folders[{owners[path]}].path{how}, expected each once"
    for index, path in paths.items():
        above = next((owners[parent] for parent in path.parents if parent in owners), None)
        if above is not None:
            complaints[index] = f"lies inside folders[{above}].path{how}, expected folders that are apart"
    return complaints


def _targets_outside(folders: list[Any], surroundings: Surroundings) -> Iterator[tuple[Place, str]]:
    """What is moved into a watched folder would be met there as a new file."""
    watched = {index: path for index, folder in enumerate(folders) if (path := _path(folder)) is not None}
    for index, folder in enumerate(folders):
        target = _move_target(folder)
        if target is None:
            continue
        real = Path(surroundings.real_path(str(target)))
        for owner, path in watched.items():
            if target.is_relative_to(path) or real.is_relative_to(surroundings.real_path(str(path))):
                text = f"lies inside folders[{owner}].path, expected a directory outside all watched folders"
                yield ("folders", index, "after_upload", "move", "to"), text
                break


def _move_target(folder: object) -> Path | None:
    rule = folder.get("after_upload") if isinstance(folder, dict) else None
    move = rule.get("move") if isinstance(rule, dict) else None
    return _sound(absolute_path, move.get("to")) if isinstance(move, dict) else None


def _path(folder: object) -> Path | None:
    return _sound(absolute_path, folder.get("path")) if isinstance(folder, dict) else None


def _names_unique(folders: list[Any]) -> Iterator[tuple[Place, str]]:
    owners: dict[str, int] = {}
    for index, folder in enumerate(folders):
        name = _name(folder)
        if name is not None and owners.setdefault(name, index) != index:
            other = f"folders[{owners[name]}]"
            text = f"is the same as that of {other}, expected its own (the default is the last part of path)"
            yield ("folders", index, "name"), text


def _name(folder: object) -> str | None:
    if not isinstance(folder, dict):
        return None
    path = _path(folder)
    name = folder.get("name")
    if name is None:
        name = path.name if path is not None else None
    return _sound(folder_name, name)


def _one_source(credentials: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    given = [name for name in ("api", "chain") if credentials.get(name) is not None]
    if len(given) != 1:
        what = "has both" if given else "has neither"
        yield ("credentials",), f"{what}, expected one of api (with a url) and chain: {{profile: null}}"


def _bucket_for_chain(credentials: dict[str, Any], destination: object) -> Iterator[tuple[Place, str]]:
    named = isinstance(destination, dict) and destination.get("bucket") is not None
    if credentials.get("chain") is not None and credentials.get("api") is None and not named:
        text = "is missing, expected the bucket's name: only a credential API answers with one"
        yield ("destination", "bucket"), text


def _certificate_with_key(api: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    names = {"client_cert": "client_key", "client_key": "client_cert"}
    given = [name for name in names if _sound(absolute_path, api.get(name)) is not None]
    if len(given) == 1 and api.get(names[given[0]]) is None:
        yield ("credentials", "api", given[0]), f"is of no use alone, expected {names[given[0]]} beside it"
    if given and str(api.get("url")).startswith("http://"):
        yield ("credentials", "api", given[0]), "is of no use over http, expected a url with https"


def _key_for_kms(destination: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """A key that nothing is encrypted with would be passed over in silence."""
    given = _sound(kms_key.func, destination.get("kms_key_id"))
    if given and destination.get("server_side_encryption") in (None, "AES256"):
        text = "encrypts nothing, expected server_side_encryption: aws:kms beside it"
        yield ("destination", "kms_key_id"), text


def _memory_for_parts(upload: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """A part larger than its share of the memory is streamed in blocks of 1 MiB, so each needs one such block."""
    fields = Upload.model_fields
    parts = upload.get("parts", fields["parts"].default)
    memory = _sound(parse_size, upload["memory"]) if "memory" in upload else fields["memory"].default
    if isinstance(parts, bool) or not isinstance(parts, int) or memory is None:
        return
    if MIB <= memory < parts * MIB:
        yield (
            ("upload", "memory"),
            f"is too small for upload.parts, expected at least {size_text(parts * MIB)} (1MiB for each part in flight)",
        )


def _sound(read: Callable[[Any], Sound], value: object) -> Sound | None:
    """The value as read, or None where it is wrong in itself."""
    try:
        return read(value)
    except (ValueError, TypeError):
        return None
