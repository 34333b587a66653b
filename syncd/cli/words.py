"""Names and numbers as a person reads them on a terminal: as everywhere else, by the words of the console."""

from __future__ import annotations

from syncd.console.words import bytes_text, path_text, plain, span_text

__all__ = ["bytes_text", "path_text", "plain", "span_text"]
