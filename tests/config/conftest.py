"""A machine that is the same everywhere, and a way to read a text as if it were the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.config import Config, Surroundings, load
from syncd.errors import ConfigError


@pytest.fixture
def surroundings() -> Surroundings:
    return Surroundings(
        environ={"STATE_DIRECTORY": "/var/lib/syncd", "RUNTIME_DIRECTORY": "/run/syncd"},
        host_name="cam-07",
        home=Path("/home/op"),
    )


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: making a directory takes longer than most of these tests."""
    return tmp_path_factory.mktemp("config")


@pytest.fixture
def read(directory: Path, surroundings: Surroundings) -> Callable[..., Config]:
    """Load a text (or bytes) as config.yaml; `around` replaces the surroundings."""

    def _read(content: str | bytes, around: Surroundings = surroundings) -> Config:
        path = directory / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(path, around)

    return _read


@pytest.fixture
def problems(read: Callable[..., Config]) -> Callable[..., list[str]]:
    """What is wrong with a text, each mistake without the directory before `config.yaml`."""

    def _problems(content: str | bytes, **around: Surroundings) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(content, **around)
        return [problem[problem.index("config.yaml:") :] for problem in caught.value.problems]

    return _problems


BASE = {
    "credentials.api.url": "https://uploads.example.com/v1/credentials",
    "credentials.api.token_file": "/etc/syncd/token",
    "folders[0].path": "/srv/capture",
}


def _block(tree: dict[str, object], indent: str = "") -> str:
    """A mapping of mappings of raw scalars as block YAML; keys ending in [0] are lists of one."""
    lines = []
    for name, value in tree.items():
        if not isinstance(value, dict):
            lines.append(f"{indent}{name}: {value}")
        elif name.endswith("[0]"):
            item = _block(value, indent + "    ")
            lines.append(f"{indent}{name[:-3]}:\n{indent}  - {item.lstrip()}")
        else:
            lines.append(f"{indent}{name}:\n{_block(value, indent + '  ')}")
    return "\n".join(lines)


@pytest.fixture
def written() -> Callable[[dict[str, str]], str]:
    """A sound minimal configuration with some keys given as raw YAML, by their dotted names."""

    def _written(changes: dict[str, str]) -> str:
        tree: dict[str, object] = {}
        base = BASE
        if any(key.startswith("credentials.chain.") for key in changes):
            base = {"destination.bucket": "captures", "folders[0].path": BASE["folders[0].path"]}
        moves = any(key.startswith("folders[0].after_upload.move.") for key in changes)
        target = {"folders[0].after_upload.move.to": "/srv/sent"} if moves else {}
        for key, raw in (base | target | changes).items():
            *above, name = key.split(".")
            branch = tree
            for step in above:
                branch = branch.setdefault(step, {})  # type: ignore[assignment]  # only mappings here
            branch[name] = raw
        return _block(tree) + "\n"

    return _written
