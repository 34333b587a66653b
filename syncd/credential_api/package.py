"""The zip file for the Lambda: this package, and what it imports that the runtime lacks. The runtime brings boto3.

The same sources give the same bytes, on every machine: names in order, one fixed time, nothing compressed (that would
depend on the zlib at hand). So a zip file's digest says what it holds, and nothing is deployed twice.
"""

from __future__ import annotations

import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

DEPENDENCIES: Final = ("structlog",)
"""Distributions of Python alone, without dependencies of their own on the runtime's Python."""

_HERE = Path(__file__).resolve().parent
_ALWAYS = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file knows
_READABLE = 0o644 << 16
_UNIX = 3


def build() -> bytes:
    """The zip file. Raises PackageNotFoundError where a dependency is not installed, OSError."""
    files = sources() | {name: data for each in DEPENDENCIES for name, data in installed(each).items()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(_entry(name), files[name])
    return packed.getvalue()


def sources() -> dict[str, bytes]:
    """What is ours: the package itself, and above it only the version."""
    ours = [_HERE.parent / "__init__.py", *_HERE.rglob("*.py")]
    return {path.relative_to(_HERE.parent.parent).as_posix(): path.read_bytes() for path in ours}


def installed(name: str) -> dict[str, bytes]:
    """A distribution as it is installed here: its modules, its licence, and the METADATA that tell its version."""
    found = distribution(name)
    return {
        path.as_posix(): path.read_binary()
        for path in found.files or ()
        if path.suffix == ".py" or path.name == "METADATA" or "licenses" in path.parts
    }


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ALWAYS)
    entry.create_system = _UNIX
    entry.external_attr = _READABLE
    return entry
