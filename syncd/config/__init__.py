"""One YAML file, read strictly: a typed tree, or every mistake at once with its line and column."""

from syncd.config.loading import load
from syncd.config.model import Config
from syncd.config.surroundings import Surroundings, default_path

__all__ = ["Config", "Surroundings", "default_path", "load"]
