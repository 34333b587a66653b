"""The configuration as a JSON Schema, for editors and for those who write it by program: made from the model alone.

It never refuses what `load` takes. What no schema can say (rules between keys, bounds of sizes and durations, what is
on the machine) is for `syncd check`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from syncd.config.meaning import DEFAULTS, MEANING
from syncd.config.model import Config, Console
from syncd.config.units import duration_text, size_text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}
_TEXT = "string"


class _AsWritten(GenerateJsonSchema):
    """Has defaults as they stand in the file."""

    def encode_default(self, dft: Any) -> Any:
        """Called by the base class."""
        return duration_text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The whole of it, as JSON Schema 2020-12."""
    schema = Config.model_json_schema(schema_generator=_AsWritten, mode="validation")
    console = schema["$defs"][Console.__name__]
    console["properties"]["socket"] |= {"default": None}  # the model has it filled in beside the ledger
    console.pop("required", None)
    for section in (schema, *schema["$defs"].values()):
        section.pop("title", None)
        for name, key in section.get("properties", {}).items():
            section["properties"][name] = _key(key)
    for path, key in keys_of(schema, schema["properties"]):
        if path in MEANING:
            key["description"] = MEANING[path]
    return {"$schema": DIALECT, "title": "The configuration of syncd", **schema}


def key_table() -> str:
    """Every key with its default and what it means, as a Markdown table."""
    schema = json_schema()
    rows = [
        f"| `{path}` | {DEFAULTS.get(path) or _default(key)} | {key['description']} |"
        for path, key in keys_of(schema, schema["properties"])
        if path in MEANING
    ]
    return "\n".join(["| Key | Default | Meaning |", "| --- | --- | --- |", *rows, ""])


def _default(key: dict[str, Any]) -> str:
    match key.get("default", ...):
        case str(text) if "{" not in text:
            return f"`{text}`"
        case value if value is ...:
            return "required"
        case value:
            return f"`{json.dumps(value)}`"


def keys_of(
    schema: dict[str, Any], properties: dict[str, Any], above: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """All keys in the model's order, sections themselves included, as (`folders[].path`, its schema)."""
    for name, key in properties.items():
        path = above + name
        yield path, key
        for part in (key, key.get("items", {}), *key.get("anyOf", [])):
            if "$ref" in part:
                below = schema["$defs"][part["$ref"].rpartition("/")[2]]
                yield from keys_of(schema, below["properties"], path + ("[]." if "items" in key else "."))


def _key(key: dict[str, Any]) -> dict[str, Any]:
    """One key, with its default as an operator would write it."""
    key = {name: value for name, value in key.items() if name != "title"}
    match key.get("default", ...):
        case dict():  # of a section: its own keys have theirs
            key.pop("default")
        case None if _NULL not in key.get("anyOf", []):
            key = {
                "anyOf": [{name: value for name, value in key.items() if name != "default"}, _NULL],
                "default": None,
            }
        case int(number) if key.get("type") == _TEXT:
            key["default"] = size_text(number)
    return key
