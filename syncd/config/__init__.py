"""One YAML file, read strictly: a typed tree, or every mistake at once with its line and column.

The names below are looked up when first used: pydantic and yaml take a tenth of a second, and a verb that only needs
`units` or `default_path` should not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from syncd.config.loading import load
    from syncd.config.model import Config
    from syncd.config.surroundings import Surroundings, default_path

__all__ = ["Config", "Surroundings", "default_path", "load"]

_HOMES: Final = {
    "Config": "model",
    "Surroundings": "surroundings",
    "default_path": "surroundings",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """The public name from the module it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
